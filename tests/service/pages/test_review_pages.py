"""The pages of the review on real stores: every route, hostile texts, several people, without a script."""

import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest
from fastapi.testclient import TestClient

from kembar import Catalog, Config, Drawing, Matcher, write_shop
from kembar.posts.labels import read_pairs
from kembar.service.app import create_app
from kembar.service.pages.views import safe_path
from kembar.service.security import CSRF_COOKIE, CSRF_FIELD
from kembar.service.settings import Settings
from kembar.store import Live
from kembar.store.review import next_item

OPEN = {"script", "style", "iframe", "object", "embed", "base"}
ID = '"><img src=x onerror=alert(1)>/../é "\u202e🧴'
TITLES = [
    "<script>alert('a')</script> sabun 500 ml",
    "sabun 250 ml \u202eesrever <b>bold</b> {{ 7*7 }}",
    "' OR 1=1; DROP TABLE posts; -- sabun",
    "\x1b[31msabun\x07 500ml & &lt;i&gt;",
    "صابون <svg onload=alert(1)> 🧴🧴",
]


class Seen(HTMLParser):
    """The elements and attributes of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def forms(self) -> list[dict[str, str]]:
        """The hidden fields of each form."""
        found: list[dict[str, str]] = []
        for tag, given in self.elements:
            if tag == "form":
                found.append({"action": given.get("action") or ""})
            elif tag == "input" and found and given.get("type") in ("hidden", "checkbox"):
                found[-1].setdefault(given["name"], given.get("value") or "")
        return found


def checked(page: str) -> Seen:
    """What holds of every page: nothing inline, nothing remote, labels, one heading, the script and style of ours."""
    seen = Seen(page)
    names = [tag for tag, _ in seen.elements]
    for tag, given in seen.elements:
        assert not [name for name in given if name == "style" or name.startswith("on")], (tag, given)
        for name in ("src", "href", "action", "formaction"):
            link = given.get(name)
            assert link is None or (link.startswith(("/", "#")) and not link.startswith("//")), link
        if tag == "script":
            assert given["src"] in ("/static/htmx.min.js", "/static/review.js")
        if tag == "img":
            assert "alt" in given
        if tag in ("input", "select") and given.get("type") != "hidden":
            assert any(other.get("for") == given["id"] for label, other in seen.elements if label == "label")
    assert not set(names) & (OPEN - {"script"})
    assert names.count("script") == 2
    assert names.count("h1") == 1
    assert names.count("main") == 1
    ids = [given["id"] for _, given in seen.elements if "id" in given]
    assert len(ids) == len(set(ids))
    return seen


class Person:
    """Somebody with a browser."""

    def __init__(self, live: Live, name: str) -> None:
        self.client = TestClient(create_app(live, Settings()), base_url="http://localhost")
        self.get("/review/reviewer")
        if name:
            self.send("/review/reviewer", name=name)

    def get(self, path: str, status: int = 200) -> Seen:
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe-inline" not in answer.headers["content-security-policy"]
        self.page = answer
        return checked(answer.text)

    def send(self, path: str, status: int = 200, **fields: object) -> Seen:
        answer = self.client.post(path, data={CSRF_FIELD: self.client.cookies[CSRF_COOKIE], **fields})
        assert answer.status_code == status, answer.text
        self.page = answer
        return checked(answer.text)

    def asked(self) -> dict[str, str]:
        """The fields of the form of the pair that is shown; empty where nothing is left."""
        forms = [form for form in Seen(self.client.get("/review").text).forms() if form["action"] == "/review/answer"]
        return forms[0] if forms else {}

    def say(self, verdict: str) -> Seen:
        form = self.asked()
        return self.send("/review/answer", **{**form, "verdict": verdict})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of sixty posts with photos, closed."""
    folder = tmp_path_factory.mktemp("reviewed")
    write_shop(folder / "shop", 60, seed=2, photos=Drawing(size=48, threads=1))
    run = Matcher(Config()).match(Catalog.read(folder / "shop" / "posts.csv", images=folder / "shop" / "photos"))
    Live.create(folder / "store", run=run).close()
    return folder / "store"


@pytest.fixture
def live(made: Path, tmp_path: Path) -> Iterator[Live]:
    """A store of one's own."""
    shutil.copytree(made, tmp_path / "store")
    with Live.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A store of posts whose ids and texts would harm a careless page."""
    ids = [
        ID,
        "../../etc/passwd",
        "a?b=c&d#e",
        "'; DROP TABLE posts; --",
        "x" * 3000,
        *(f"plain {n}" for n in range(7)),
    ]
    titles = [*TITLES, *(f"sabun mandi {n // 2} 500 ml <em>{n}</em>" for n in range(7))]
    frame = pl.DataFrame(
        {"posting_id": ids, "title": titles, "brand": ["<u>Vibe</u>"] * 12, "price": [12.5, None, 1e9, 0.01, 3, 4] * 2}
    )
    run = Matcher(Config(single=0.3)).match(Catalog.read(frame))
    with Live.create(tmp_path_factory.mktemp("hostile") / "store", run=run) as opened:
        yield opened


def groups_of(live: Live, least: int = 2) -> list[str]:
    found = live.reading().execute(
        """SELECT g.id FROM groups g JOIN posts p ON p.group_row = g.row WHERE p.removed IS NULL
        GROUP BY g.row HAVING count(*) >= ? ORDER BY count(*) DESC""",
        (least,),
    )
    return [group for (group,) in found]


def checkboxes(page: Seen) -> list[str]:
    """The groups of an overview."""
    return [given["value"] for _, given in page.elements if given.get("name") == "group"]


def decided(live: Live) -> int:
    return int(live.reading().execute("SELECT count(*) FROM decisions WHERE undone IS NULL").fetchone()[0])


def test_a_name_is_asked_for_once(live: Live) -> None:
    person = Person(live, "")
    assert "Who reviews?" in person.get("/review").text
    assert "Who reviews?" in person.send("/review/answer", a="x", b="y", verdict="same").text
    assert decided(live) == 0
    person.send("/review/reviewer", name="  Ana \n <b>\u202e ", then="/review/progress")
    assert person.page.url.path == "/review/progress"
    assert "Ana <b>\\u202e" in person.get("/review").text
    assert "That did not work" in person.send("/review/reviewer", 422, name=" ").text


def test_forms_of_other_sites_are_refused(live: Live) -> None:
    person = Person(live, "Ana")
    form = {**person.asked(), "verdict": "same"}
    del form[CSRF_FIELD]
    assert person.client.post("/review/answer", data=form).status_code == 403
    assert person.client.post("/review/answer", data={**form, CSRF_FIELD: "guessed"}).status_code == 403
    forms = [form for form in person.get("/review").forms() if form["action"].startswith("/review/")]
    assert all(CSRF_FIELD in form for form in forms)
    assert decided(live) == 0


def test_a_pair_is_shown_with_all_that_is_known(live: Live) -> None:
    person = Person(live, "Ana")
    page = person.get("/review")
    for words in ("What tells them apart", "Evidence", "Same", "Cannot tell", "doubtful left"):
        assert words in page.text
    (path,) = [given["hx-get"] for _, given in page.elements if given.get("hx-trigger", "").startswith("load")]
    why = person.get(path)
    assert "before looking at the two" in why.text
    assert [tag for tag, given in why.elements if given.get("id") == "why"] == ["section"]
    photos = [given["href"] for tag, given in page.elements if tag == "a" and given.get("class") == "zoom"]
    assert len(photos) == 2
    for path in photos:
        assert person.client.get(path).headers["content-type"] == "image/jpeg"
    keys = {given["data-key"] for _, given in page.elements if "data-key" in given}
    assert keys == set("sdvcj")


def test_answers_go_on_to_another_pair_and_are_taken_back(live: Live) -> None:
    person = Person(live, "Ana")
    seen = []
    for verdict in ("same", "different", "variant", "unsure", "skip"):
        form = person.asked()
        seen.append((form["a"], form["b"]))
        person.say(verdict)
    assert len(set(seen)) == 5
    assert decided(live) == 5
    now = person.asked()
    page = person.get("/review?back=1")
    assert "You answered this pair: Skip" in page.text
    page = person.get("/review?back=5")
    (form,) = (form for form in page.forms() if form["action"] == "/review/answer")
    assert (form["a"], form["b"]) == seen[0]
    person.send("/review/answer", **{**form, "verdict": "unsure"})
    told = live.reading().execute("SELECT verdict FROM decisions WHERE undone IS NULL ORDER BY event").fetchall()
    assert sorted(each for (each,) in told) == ["different", "skip", "unsure", "unsure", "variant"]
    assert person.get("/review?back=999").text.count("You answered") == 0
    event = live.events(0, 1000)[-1].number
    person.send("/review/undo", event=event)
    assert decided(live) == 4
    assert (person.asked()["a"], person.asked()["b"]) != (now["a"], now["b"]) or decided(live) == 4


def test_undo_shows_the_same_pair_again(live: Live) -> None:
    person = Person(live, "Ana")
    before = person.asked()
    page = person.say("unsure")
    event = next(given["value"] for _, given in page.elements if given.get("id") == "go-undo")
    person.send("/review/undo", event=event)
    after = person.asked()
    assert (after["a"], after["b"]) == (before["a"], before["b"])
    assert after["key"] != before["key"]


def test_a_double_click_is_one_answer(live: Live) -> None:
    person = Person(live, "Ana")
    form = {**person.asked(), "verdict": "unsure"}
    person.send("/review/answer", **form)
    person.send("/review/answer", **form)
    assert decided(live) == 1


def test_answers_that_are_none_and_pairs_that_are_none(live: Live) -> None:
    person = Person(live, "Ana")
    form = person.asked()
    assert "the answer 'maybe'" in person.send("/review/answer", 422, **{**form, "verdict": "maybe"}).text
    person.send("/review/answer", 404, a="nobody", b=form["b"], verdict="same")
    person.send("/review/answer", 422, a=form["b"], b=form["b"], verdict="same")
    person.send("/review/answer", 422, verdict="same")
    person.send("/review/answer", 422, **{**form, "verdict": "same", "again": "12345"})
    person.send("/review/undo", 404, event=10**9)
    person.send("/review/undo", 422, event="all")
    assert decided(live) == 0


def test_the_queue_ends(live: Live) -> None:
    person = Person(live, "Ana")
    while (item := next_item(live.reading(), "Ana")) is not None:
        live.decide(item.a, item.b, "unsure", by="Ana", note=item.note)
    page = person.get("/review")
    assert "Nothing doubtful is left" in page.text or "Nothing is left to ask you" in page.text
    quiet = person.get("/review?quiet=1")
    if "Nothing is left" not in quiet.text:
        assert "Drawn at random" in quiet.text
        (form,) = (form for form in quiet.forms() if form["action"] == "/review/answer")
        person.send("/review/answer", **{**form, "verdict": "same"})
        assert person.page.url.query == b"quiet=1"


def test_quiet_cases_are_measured_and_answers_become_labels(live: Live, tmp_path: Path) -> None:
    person = Person(live, "Ana")
    for turn in range(25):
        person.say("different" if turn % 3 else "same")
    page = person.get("/review/progress")
    measured = re.findall(r"(\d+) of (\d+) answers", page.text)
    assert sum(int(of) for _, of in measured[:2]) == 5
    assert sum(int(of) for _, of in measured[:3]) == 25
    assert "95 % interval" in page.text
    text = person.client.get("/review/labels.csv")
    assert text.headers["content-type"].startswith("text/csv")
    (tmp_path / "labels.csv").write_bytes(text.content)
    ids = pl.Series([post for (post,) in live.reading().execute("SELECT id FROM posts")])
    found = read_pairs(tmp_path / "labels.csv", ids)
    assert 0 < found.same.sum() < len(found.left)


def test_people_who_disagree_are_listed(live: Live) -> None:
    ana, ben = Person(live, "Ana"), Person(live, "Ben")
    group = live.group(groups_of(live)[0])
    a, b = group.members[0].id, group.members[1].id
    path = f"/review/pair?a={quote(a, safe='')}&b={quote(b, safe='')}"
    assert "You looked these two up" in ana.get(path).text
    assert "None: wherever two people answered" in ana.get("/review/disagreements").text
    ana.send("/review/answer", a=a, b=b, verdict="same")
    assert "Ana said Same" in ben.get(path).text
    ben.send("/review/answer", a=a, b=b, verdict="different")
    page = ana.get("/review/disagreements")
    assert re.search(r"Ana:\s*Same;\s*Ben:\s*Different", page.text)
    assert live.post(a).group != live.post(b).group
    assert "1disagreements" in "".join(ana.get("/review/progress").text.split())
    third = live.group(live.post(a).group).members
    if len(third) > 1:  # A is B and B is C, but A is not C
        c = next(post.id for post in third if post.id != a)
        ana.send("/review/answer", a=a, b=c, verdict="same")
        ana.send("/review/answer", a=c, b=b, verdict="same")
        assert "Answers that cannot all hold" in ana.get("/review/disagreements").text


def test_what_one_settled_another_is_not_asked_but_as_a_second_opinion(live: Live) -> None:
    ben = Person(live, "Ben")
    settled = set()
    for _ in range(12):
        item = next_item(live.reading(), "Ana")
        settled.add(frozenset((item.a, item.b)))
        live.decide(item.a, item.b, "different", by="Ana", note=item.note)
    for _ in range(12):
        form = ben.asked()
        page = ben.get("/review")
        assert (frozenset((form["a"], form["b"])) in settled) == ("Another reviewer has answered" in page.text)
        ben.say("unsure")


def test_groups_come_thirty_at_a_time_each_once(live: Live) -> None:
    person, seen, path = Person(live, "Ana"), [], "/review/groups?size=1"
    while path:
        page = person.get(path)
        seen += checkboxes(page)
        links = [given["href"] for tag, given in page.elements if tag == "a" and "after=" in (given.get("href") or "")]
        path = links[0] if links else ""
        assert not links or len(seen) % 30 == 0
    assert sorted(seen) == sorted(set(groups_of(live, 1)) - set(groups_of(live, 2)))


def test_groups_are_filtered(live: Live) -> None:
    person = Person(live, "Ana")
    group = live.group(groups_of(live)[0])
    word = max(group.members[0].title.split(), key=len)
    shown = set(checkboxes(person.get(f"/review/groups?q={word.upper()}")))
    assert group.id in shown
    for id in shown:
        assert any(word.lower() in post.title.lower() for post in live.group(id).members)
    assert "No group is like that" in person.get("/review/groups?q=%25%25%25nothing").text
    assert "No group is like that" in person.get("/review/groups?category=none&source=none").text
    person.get("/review/groups?size=nonsense&seen=nonsense")
    person.get("/review/groups?after=-1", 422)


def test_groups_are_accepted_together(live: Live) -> None:
    person = Person(live, "Ana")
    page = person.get("/review/groups")
    shown = checkboxes(page)
    page = person.send("/review/groups/accept", group=shown[:3], then="/review/groups")
    left = set(checkboxes(page))
    assert not left & set(shown[:3])
    assert set(shown[3:]) <= left
    assert "Undo" in page.text
    everything = set(checkboxes(person.get("/review/groups?seen=all")))
    assert set(shown) <= everything
    event = live.events(0, 1000)[-1]
    assert event.kind == "accept"
    person.send("/review/undo", event=event.number, then="/review/groups")
    assert decided(live) == 0
    person.send("/review/groups/accept", then="/review/groups")  # none was checked
    assert live.events(0, 1000)[-1].kind == "undo"
    person.send("/review/groups/accept", 404, group=["nobody"])
    assert "Progress" in person.get("/review/progress").text


def test_a_post_is_taken_out_and_comes_back(live: Live) -> None:
    person = Person(live, "Ana")
    id = groups_of(live, 3)[0]
    group = live.group(id)
    path = f"/review/group?id={quote(id, safe='')}"
    page = person.get(path)
    assert "The weakest link" in page.text
    assert f"{group.weakest[2]:.2f}" in page.text
    moves = [form for form in page.forms() if form["action"] == "/review/move"]
    assert [form["id"] for form in moves] == [post.id for post in sorted(group.members, key=lambda post: post.id)]
    out = moves[1]
    page = person.send("/review/move", **out)
    assert len(live.group(live.post(moves[0]["id"]).group).members) == len(group.members) - 1
    assert "Undo" in page.text
    event = next(form["event"] for form in page.forms() if form["action"] == "/review/undo")
    page = person.send("/review/undo", event=event, then=path)
    assert {post.id for post in live.group(id).members} == {post.id for post in group.members}
    assert "Ana" in page.text  # the history says who


def test_groups_are_merged_by_search(live: Live) -> None:
    person = Person(live, "Ana")
    left, right = groups_of(live)[:2]
    post = live.group(right).members[0].id
    page = person.get(f"/review/group?id={quote(left, safe='')}&q={quote(post, safe='')}")
    (form,) = (form for form in page.forms() if form["action"] == "/review/merge")
    assert (form["left"], form["right"]) == (left, right)
    page = person.send("/review/merge", **form)
    assert live.post(post).group == live.group(live.post(post).group).id
    assert len(live.group(live.post(post).group).members) > len(
        live.group(left).members if left != live.post(post).group else ()
    )
    assert "Undo" in page.text
    person.send("/review/merge", 422, left=right, right=right)


def test_posts_are_found_by_id_and_words(live: Live) -> None:
    person = Person(live, "Ana")
    post = live.group(groups_of(live)[0]).members[0]
    assert post.id in person.get(f"/review/search?q={quote(post.id, safe='')}").text
    words = " ".join(post.title.split()[:2])
    assert post.id in person.get(f"/review/search?q={quote(words, safe='')}").text
    assert "No post has this id" in person.get("/review/search?q=qqqqqq").text
    person.get("/review/search?q=%20")
    person.get(f"/review/search?q={'x' * 401}", 422)
    many = person.get("/review/search?q=a")
    assert sum(given.get("class") == "post" for _, given in many.elements) <= 60


def test_unknown_things_are_told_on_a_page(live: Live) -> None:
    person = Person(live, "Ana")
    for path in ("/review/group?id=nobody", "/review/pair?a=nobody&b=nobody"):
        assert "That did not work" in person.get(path, 404).text
    id = live.group(groups_of(live)[0]).members[0].id
    assert "one post twice" in person.get(f"/review/pair?a={id}&b={id}", 422).text
    for path in ("/review/pair?a=x", "/review/group", "/review?back=x", "/review?back=-1", "/review?quiet=2"):
        assert "That did not work" in person.get(path, 422).text


def test_hostile_texts_are_shown_as_text_on_every_page(hostile: Live) -> None:
    person = Person(hostile, "</title><script>alert(1)</script>")
    ids = [post for (post,) in hostile.reading().execute("SELECT id FROM posts ORDER BY row")]
    paths = ["/review", "/review/groups?size=1", "/review/groups", "/review/progress", "/review/disagreements"]
    paths += [f"/review/search?q={quote(word, safe='')}" for word in ("sabun", "<script>", ID, "صابون", "%", "_", "\\")]
    paths += [f"/review/pair?a={quote(a, safe='')}&b={quote(b, safe='')}" for a, b in pairwise(ids[:7])]
    paths += [f"/review/group?id={quote(hostile.post(id).group, safe='')}&q=sabun" for id in ids[:6]]
    texts = "".join(person.get(path).text for path in paths)
    assert "<script>alert('a')</script>" in texts
    assert "\\u202eesrever" in texts
    assert "{{ 7*7 }}" in texts
    assert "\x1b" not in texts
    assert "\u202e" not in texts
    found = person.get(f"/review/search?q={quote(ID, safe='')}")
    assert "onerror=alert(1)" in found.text  # as text


def test_hostile_ids_can_be_answered_moved_and_merged(hostile: Live) -> None:
    person = Person(hostile, "Ana")
    other = "'; DROP TABLE posts; --"
    page = person.get(f"/review/pair?a={quote(ID, safe='')}&b={quote(other, safe='')}")
    (form,) = (form for form in page.forms() if form["action"] == "/review/answer")
    assert form["a"] == ID  # the form carries the very id, whatever is shown
    page = person.send("/review/answer", **{**form, "verdict": "same"})
    assert hostile.post(ID).group == hostile.post(other).group
    person.send("/review/move", id=ID)
    assert hostile.post(ID).group != hostile.post(other).group
    left, right = hostile.post(ID).group, hostile.post("../../etc/passwd").group
    person.send("/review/merge", left=left, right=right)
    assert hostile.post(ID).group == hostile.post("../../etc/passwd").group
    text = person.client.get("/review/labels.csv").text
    assert "\r'=" not in text
    assert hostile.counts().posts == 12


def test_photos_are_scaled_down_and_nothing_else_is_served(live: Live) -> None:
    person = Person(live, "Ana")
    row, image = live.reading().execute("SELECT row, image FROM posts WHERE image <> '' ORDER BY row").fetchone()
    small = person.client.get(f"/review/small/{row}")
    assert small.status_code == 200
    assert small.headers["content-type"] == "image/jpeg"
    assert small.content[:3] == b"\xff\xd8\xff"
    (live.photos / image).unlink()
    assert person.client.get(f"/review/small/{row + 10**6}").status_code == 404
    assert person.client.get("/review/small/x").status_code == 422


@pytest.mark.parametrize("name", ["review.css", "review.js", "htmx.min.js", "htmx-LICENSE.txt", "icon.svg"])
def test_static_files(live: Live, name: str) -> None:
    client = Person(live, "Ana").client
    answer = client.get(f"/static/{name}")
    assert answer.status_code == 200
    again = client.get(f"/static/{name}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "http://" not in answer.text.replace("http://www.w3.org/", "") or name == "htmx.min.js"


@pytest.mark.parametrize("name", ["nothing.css", "..%2Fviews.py", "%2e%2e%2fviews.py", "templates"])
def test_other_files_are_not_served(live: Live, name: str) -> None:
    assert Person(live, "Ana").client.get(f"/static/{name}").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "https://evil.example/review",
        "/review@evil",
        "/other",
        "javascript:alert(1)",
        "/reviews",
        "/review/\n",
    ],
)
def test_nobody_is_sent_to_another_site(path: str) -> None:
    assert safe_path(path) == "/review"
    assert safe_path(path, done=3) == "/review?done=3"


def test_ways_back_keep_what_was_asked() -> None:
    assert safe_path("/review/group?id=a%2Fb", done=3) == "/review/group?id=a%2Fb&done=3"
    assert safe_path("/review") == "/review"
