"""Review a drawn shop in Chromium as a person would: by keys, then check what stayed, contrast and labels, and look.

python bench/review_browser.py [--axe AXE_FOLDER] [--pictures FOLDER] [--figures FOLDER] [--run RUN]

Needs Debian's chromium, `pip install playwright`, and for the check of accessibility `npm pack axe-core`, unpacked.
Ends with an error where anything is not as it should be. --figures docs/figures takes the pictures of the docs:
docs/figures/review-queue.png, docs/figures/review-groups.png, docs/figures/review-group.png and
docs/figures/review-progress.png.
"""

import argparse
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import kembar
from kembar.service.app import create_app
from kembar.service.settings import Settings
from kembar.store.progress import progress
from kembar.store.records import SURE
from kembar.store.review import next_item

POSTS, SEED, SIDE = 300, 4, 320
PAIRS = 20
WIDTHS = {1280: 900, 360: 740}
COLORS, WIDE = 256, 900
ACCEPTED = """SELECT a.id, b.id FROM pairs p JOIN posts a ON a.row = p.left JOIN posts b ON b.row = p.right
    WHERE a.group_row = b.group_row AND p.probability >= ?"""
NOWHERE = "/review/group?id=none"
SHOWN = {"queue": "review-queue", "groups": "review-groups", "group": "review-group", "progress": "review-progress"}


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--axe", type=Path, help="folder of axe-core, with axe.min.js")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each page at each width")
    parser.add_argument(
        "--figures", type=Path, help="only answer truthfully and take the pictures of the docs to this folder"
    )
    parser.add_argument("--run", type=Path, help="run folder to review a copy of, instead of a drawn shop")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as open_ones:
        run = Path(folder) / "run"
        drawn(run) if chosen.run is None else shutil.copytree(chosen.run, run)
        live, address = open_ones.enter_context(served(run))
        chromium = open_ones.enter_context(browser())
        if chosen.figures is not None:
            figures(chromium, address, chosen.figures, ("queue",))
            print(truthful(live, kembar.Result.load(run)))
            figures(chromium, address, chosen.figures, ("groups", "group", "progress"))
            return
        told = [reviewed(chromium, address, live)]
        told += [corrected(chromium, address, live), without_script(chromium, address), by_two(chromium, address, live)]
        if chosen.axe is not None:
            told.append(accessible(chromium, address, chosen.axe / "axe.min.js"))
        if chosen.pictures is not None:
            pictured(chromium, address, chosen.pictures)
        print(*told, sep="\n")


def drawn(run: Path) -> None:
    """Draw a shop and match it."""
    shop = run.with_name("shop")
    kembar.write_shop(shop, POSTS, seed=SEED, singles=0.1, photos=kembar.Drawing(size=SIDE))
    kembar.match(shop / "posts.csv", images=shop / "photos").save(run)


@contextmanager
def served(run: Path) -> Iterator[tuple[Any, str]]:
    """Serve the store of a run, as `kembar review` does."""
    with kembar.Live.beside(run) as live:
        config = uvicorn.Config(create_app(live, Settings(port=0)), port=0, log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            thread.join(0.05)
        try:
            yield live, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        raise SystemExit("no chromium and no google-chrome: install one of them")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield found
        finally:
            found.close()


def opened(chromium: Browser, address: str, name: str, **context: Any) -> Page:
    """Begin as a person: a new browser, the name asked for once. What the console says is an error."""
    page = chromium.new_context(**context).new_page()
    page.on("pageerror", lambda error: fail(f"script: {error}"))
    page.on("console", heard)
    page.goto(f"{address}/review")
    page.fill("#name", name)
    page.click("button.say")
    page.wait_for_selector(".verdicts")
    return page


def heard(message: Any) -> None:
    """Take an error that the console tells for one; but for the page of a group that is not there."""
    if message.type == "error" and NOWHERE not in message.location["url"]:
        fail(f"console: {message.text} {message.location}")


def reviewed(chromium: Browser, address: str, live: Any) -> str:
    """Answer twenty pairs with keys alone, take one back, go back and on, reload."""
    page = opened(chromium, address, "Ana")
    seen = [pair_of(page)]
    for turn in range(PAIRS):
        pressed(page, "sdvc"[turn % 4])
        seen.append(pair_of(page))
    check(len(set(seen)) == PAIRS + 1, "a pair was shown twice")
    check(said(live, "Ana") == PAIRS, f"{said(live, 'Ana')} answers are stored, not {PAIRS}")
    pressed(page, "u")
    check(pair_of(page) == seen[-2], "undo does not show the pair again")
    check(said(live, "Ana") == PAIRS - 1, "undo took nothing back")
    pressed(page, "s")
    pressed(page, "k")
    check(pair_of(page) == seen[-2], "K does not show the pair before")
    check("You answered this pair" in page.content(), "an earlier pair does not tell its answer")
    pressed(page, "d")
    check(said(live, "Ana") == PAIRS, "an answer in the place of another counts twice")
    now = pair_of(page)
    page.reload()
    check(pair_of(page) == now, "a reload shows another pair")
    pressed(page, "j")
    check(pair_of(page) != now, "skip does not go on")
    page.keyboard.press("z")
    check(page.locator(".zoom.near").count() == 2, "Z does not enlarge the photos")
    page.click("#keys")
    now = pair_of(page)
    page.keyboard.press("s")
    page.wait_for_timeout(300)
    check(pair_of(page) == now, "keys work although they are off")
    return f"{PAIRS} pairs by keys, undo, back, again, reload, skip, zoom: as they should be"


def corrected(chromium: Browser, address: str, live: Any) -> str:
    """Take a post out of a group by dragging and by the button, undo, merge two groups, accept a page of groups."""
    page = opened(chromium, address, "Ben")
    page.goto(f"{address}/review/groups?size=3-5")
    page.locator(".strip .more").first.click()
    id, size = page.locator("h1 bdi").inner_text(), page.locator(".grid .post").count()
    page.locator(".grid .post").nth(1).drag_to(page.locator("#drop"))
    page.wait_for_url("**done=*")
    check(page.locator(".grid .post").count() == size - 1, "dragging took nothing out")
    page.reload()
    check(len(live.group(id).members) == size - 1, "a reload lost what was dragged")
    with page.expect_navigation():
        page.keyboard.press("u")
    check(page.locator(".grid .post").count() == size, "undo did not bring it back")
    with page.expect_navigation():
        page.get_by_role("button", name="Take out").first.press("Enter")
    check(page.locator(".grid .post").count() < size, "the button took nothing out")
    word = page.locator(".grid .title").first.inner_text().split()[0]
    page.fill("#q", word)
    with page.expect_navigation():
        page.press("#q", "Enter")
    before = live.counts().groups
    with page.expect_navigation():
        page.get_by_role("button", name="Merge").last.click()
    check(live.counts().groups == before - 1, "two groups were not merged")
    page.goto(f"{address}/review/groups")
    first = page.locator(".strip bdi").first.inner_text()
    check(page.locator("[data-once-seen]").is_disabled(), "a page can be accepted before it was seen")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_selector("[data-once-seen]:not([disabled])")
    with page.expect_navigation():
        page.keyboard.press("a")
    page.goto(f"{address}/review/groups")
    check(page.locator(".strip bdi").first.inner_text() != first, "accepted groups are still to be accepted")
    return "dragged out, undone, taken out, merged, accepted: as they should be"


def without_script(chromium: Browser, address: str) -> str:
    """Answer three pairs with scripts turned off."""
    page = opened(chromium, address, "Cid", java_script_enabled=False)
    seen = {pair_of(page)}
    for name in ("Same", "Different", "Cannot tell"):
        page.get_by_role("button", name=name).first.click()
        seen.add(pair_of(page))
    check(len(seen) == 4, "without a script the queue does not go on")
    return "3 pairs without a script: as they should be"


def by_two(chromium: Browser, address: str, live: Any) -> str:
    """Have two people disagree about a pair, and find it listed."""
    left, right = live.reading().execute("SELECT id FROM posts WHERE removed IS NULL LIMIT 2").fetchall()
    for name, verdict in (("Dee", "Different"), ("Eve", "Same")):
        page = opened(chromium, address, name)
        page.goto(f"{address}/review/pair?a={left[0]}&b={right[0]}")
        page.get_by_role("button", name=verdict).first.click()
        page.wait_for_timeout(300)
    page.goto(f"{address}/review/disagreements")
    check("Dee" in page.content() and left[0] in page.content(), "a disagreement is not listed")
    return "two who disagree are listed"


def places(page: Page, address: str, size: str = "3-5") -> dict[str, str]:
    """Name each page and its address."""
    page.goto(f"{address}/review/groups?size={size}")
    group = page.locator(".strip .more").nth(2).get_attribute("href")
    paths = {name: f"/review/{name}" for name in ("groups", "progress", "disagreements", "reviewer")}
    more = {"group": str(group), "search": "/review/search?q=super", "none": NOWHERE}
    return {"queue": "/review", "previous": "/review?back=1", **paths, **more}


def accessible(chromium: Browser, address: str, axe: Path) -> str:
    """Look for serious and critical findings of axe-core on each page, light and dark, wide and narrow."""
    found, looked = [], 0
    for scheme in ("light", "dark"):
        for width, height in WIDTHS.items():
            size = {"width": width, "height": height}
            page = opened(chromium, address, "Ana", viewport=size, color_scheme=scheme, bypass_csp=True)
            for name, path in places(page, address).items():
                answered(page, f"{address}{path}")
                page.add_script_tag(path=axe)
                result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
                looked += 1
                for each in result["violations"]:
                    where = [node["target"] for node in each["nodes"]][:3]
                    found.append((each["impact"], f"{name} {scheme} {width}: {each['id']} ({each['impact']}) {where}"))
                wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                check(wide <= 0, f"{name} at {width} is {wide} pixels too wide")
    print(*(words for _, words in found), sep="\n")
    check(not [1 for impact, _ in found if impact in ("serious", "critical")], "axe-core found barriers")
    return f"axe-core on {looked} pages: no serious or critical finding, {len(found)} lesser ones"


def answered(page: Page, address: str) -> None:
    """Open a page, whatever its status, and wait for its photos."""
    page.goto(address)
    page.wait_for_load_state("networkidle")


def pictured(chromium: Browser, address: str, folder: Path) -> None:
    """Take a picture of each page at each width, light and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        for width, height in WIDTHS.items():
            page = opened(chromium, address, "Ana", viewport={"width": width, "height": height}, color_scheme=scheme)
            for name, path in places(page, address).items():
                answered(page, f"{address}{path}")
                file = folder / f"{SHOWN.get(name, name)}-{width}-{scheme}.png"
                page.screenshot(path=file, full_page=width < 700)
                with Image.open(file) as picture:
                    picture.convert("RGB").quantize(COLORS).save(file, optimize=True)


def truthful(live: Any, run: kembar.Result) -> str:
    """Have two people answer by the known groups; tell the precision that quiet cases measure, and the true one."""
    known = dict(zip(run.catalog.ids, run.labels().tolist(), strict=True))
    before = precision(live, known)
    for by, count in (("Ana", 150), ("Ben", 60)):
        for _ in range(count):
            item = next_item(live.reading(), by, against=live.contradictions())
            if item is None:
                break
            live.decide(
                item.a, item.b, "same" if known[item.a] == known[item.b] else "different", by=by, note=item.note
            )
    found = progress(live.reading()).accepted
    return (
        f"precision of accepted pairs {before} before, {precision(live, known)} after; measured {found.value or 0:.3f} "
        f"({found.low:.3f} to {found.high:.3f}) from {found.of} quiet cases"
    )


def precision(live: Any, known: dict[str, int]) -> str:
    """Tell the true precision of the pairs that are accepted now."""
    pairs = live.reading().execute(ACCEPTED, (SURE,)).fetchall()
    return f"{sum(known[a] == known[b] for a, b in pairs) / len(pairs):.3f} (n = {len(pairs)})"


def figures(chromium: Browser, address: str, folder: Path, names: tuple[str, ...]) -> None:
    """Take pictures of the docs."""
    page = opened(chromium, address, "Ana", viewport={"width": 1280, "height": 1130})
    paths = places(page, address, "6-20")
    for name in names:
        file = SHOWN[name]
        answered(page, f"{address}{paths[name]}")
        page.wait_for_timeout(500)
        shot = folder / f"{file}.png"
        page.screenshot(path=shot)
        with Image.open(shot) as picture:
            size = (WIDE, round(picture.height * WIDE / picture.width))
            picture.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(COLORS).save(shot, optimize=True)


def pair_of(page: Page) -> str:
    """Name the pair that is shown."""
    page.wait_for_selector(".verdicts")
    return " ".join(page.locator(f".verdicts input[name={end}]").input_value() for end in ("a", "b"))


def pressed(page: Page, key: str) -> None:
    """Press a key, and wait for what it brings."""
    token = page.evaluate("document.getElementById('item').dataset.seen = '1'")
    check(token == "1", "no pair is shown")
    page.keyboard.press(key)
    page.wait_for_selector("#item:not([data-seen])")


def said(live: Any, by: str) -> int:
    """Count the answers of one person that hold."""
    found = live.reading().execute("SELECT count(*) FROM decisions WHERE by = ? AND undone IS NULL", (by,))
    return int(found.fetchone()[0])


def check(holds: bool, otherwise: str) -> None:
    """End with an error where something does not hold."""
    if not holds:
        fail(otherwise)


def fail(words: str) -> None:
    """End with an error."""
    raise SystemExit(words)


if __name__ == "__main__":
    main()
