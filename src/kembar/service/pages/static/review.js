// Keys, zoom, drag and drop, and "accept once seen". Every page works without this file.
"use strict";
(() => {
  const KEYS_OFF = "kembar-keys-off";
  const typing = (element) => element.closest("input:not([type=checkbox]):not([type=hidden]), textarea, select") !== null;

  // Keys: a letter presses what has it as data-key.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
    if (localStorage.getItem(KEYS_OFF) || typing(event.target)) return;
    const key = event.key.toLowerCase();
    if (key === "z") {
      document.querySelectorAll(".two .zoom").forEach((link) => zoom(link));
      return;
    }
    const found = [...document.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
    if (!found) return;
    event.preventDefault();
    if (key === "a") ready(found);
    if (!found.disabled) found.click();
  });

  const toggle = document.getElementById("keys");
  if (toggle) {
    const show = () => {
      const on = !localStorage.getItem(KEYS_OFF);
      toggle.textContent = `Shortcut keys: ${on ? "on" : "off"}`;
      toggle.setAttribute("aria-pressed", String(on));
      document.documentElement.classList.toggle("no-keys", !on);
    };
    toggle.hidden = false;
    toggle.addEventListener("click", () => {
      if (localStorage.getItem(KEYS_OFF)) localStorage.removeItem(KEYS_OFF);
      else localStorage.setItem(KEYS_OFF, "1");
      show();
    });
    show();
  }

  // Photos: larger in place, the part under the pointer in view.
  const zoom = (link) => {
    const image = link.querySelector("img");
    if (image.dataset.large && image.src !== image.dataset.large) image.src = image.dataset.large;
    link.classList.toggle("near");
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.zoom");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    zoom(link);
  });
  document.addEventListener("pointermove", (event) => {
    const link = event.target.closest && event.target.closest("a.zoom.near");
    if (!link) return;
    const box = link.getBoundingClientRect();
    link.style.setProperty("--x", `${(100 * (event.clientX - box.left)) / box.width}%`);
    link.style.setProperty("--y", `${(100 * (event.clientY - box.top)) / box.height}%`);
  });

  // Accepting a page of groups: once its end was in view, or by the key.
  const ready = (button) => {
    button.disabled = false;
  };
  const accept = document.querySelector("[data-once-seen]");
  if (accept && "IntersectionObserver" in window) {
    const end = document.querySelector(".strips > li:last-child");
    accept.disabled = true;
    new IntersectionObserver((entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      ready(accept);
      observer.disconnect();
    }).observe(end);
  }

  // A post is dragged out of its group: its own form is sent.
  const drop = document.getElementById("drop");
  if (drop) {
    let dragged = null;
    drop.hidden = false;
    document.addEventListener("dragstart", (event) => {
      const post = event.target.closest("[data-post]");
      if (!post) return;
      dragged = document.getElementById(post.dataset.post);
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", post.dataset.post);
      drop.classList.add("open");
    });
    document.addEventListener("dragend", () => drop.classList.remove("open", "over"));
    drop.addEventListener("dragover", (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      if (dragged) dragged.requestSubmit();
    });
  }

  // What went wrong between pages.
  const tell = (words) => {
    const told = document.getElementById("told");
    if (told) told.textContent = words;
  };
  document.addEventListener("htmx:responseError", (event) => {
    const page = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
    const notice = page.querySelector("#item .notice");
    tell(notice ? notice.textContent : "That was refused. Reload the page and try again.");
  });
  document.addEventListener("htmx:sendError", () => tell("The service cannot be reached. Nothing was saved."));
})();
