// What a keyboard and a screen reader need: a name for the search, and wide tables that can be scrolled.
document.querySelector(".md-search")?.setAttribute("aria-label", "Search");

function reachable(wrap) {
  wrap.tabIndex = 0;
  wrap.setAttribute("role", "region");
  wrap.setAttribute("aria-label", "Table");
}

new MutationObserver(() => document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])").forEach(reachable)).observe(
  document.body,
  { childList: true, subtree: true },
);
