"""What may go wrong around a store: the same twice, unknown names, many at once, a full disk, a clock going back."""

import gc
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kembar import Matcher
from kembar.errors import CatalogError, ConfigError, InputError, StoreError, TakenError, UnknownError
from kembar.store import Live, database
from small_stores import (
    SHOP,
    check_decisions,
    check_whole,
    groups_of,
    ids_of,
    last,
    looked_up,
    posts,
    retitled,
)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """A store with twelve posts."""
    with Live.create(tmp_path / "store") as live:
        live.add(posts(*range(12)))
        yield live
        check_whole(live)
        check_decisions(live)


# --- the same twice, and other content


def test_the_same_request_does_nothing_twice(live: Live) -> None:
    first = live.add(posts(3, 20, 21), by="shop", key="one")
    assert [each.how == "known" for each in first] == [True, False, False]
    before = live.counts()
    again = live.add(posts(3, 20, 21), by="shop", key="one")
    assert [(each.id, each.how, each.group) for each in again] == [(each.id, each.how, each.group) for each in first]
    assert live.counts() == before


def test_the_same_post_is_known_without_a_key(live: Live) -> None:
    before = live.counts()
    assert [each.how for each in live.add(posts(3, 4))] == ["known", "known"]
    assert live.counts() == before


def test_other_content_under_an_id_is_refused(live: Live) -> None:
    before = live.counts(), groups_of(live)
    other = retitled(3, "something else")
    with pytest.raises(TakenError, match="other content"):
        live.add(other)
    assert (live.counts(), groups_of(live)) == before
    assert [each.how for each in live.update(other)] == ["updated"]
    assert live.post(other.ids[0]).title == "something else"


@pytest.mark.parametrize(
    "other",
    [
        lambda live: live.add(posts(31), key="one"),
        lambda live: live.update(posts(3), key="one"),
        lambda live: live.remove(["post_0000003"], key="one"),
        lambda live: live.decide("post_0000003", "post_0000004", "same", by="ann", key="one"),
    ],
)
def test_a_key_is_for_one_request(live: Live, other: Callable[[Live], Any]) -> None:
    live.add(posts(30), key="one")
    before = live.counts()
    with pytest.raises(TakenError, match="key"):
        other(live)
    assert live.counts() == before


def test_decisions_and_removals_have_keys_too(live: Live) -> None:
    a, b, c = ids_of(live)[:3]
    said = live.decide(a, b, "same", by="ann", key="said")
    gone = live.remove([c], key="gone")
    assert live.decide(a, b, "same", by="ann", key="said") == said
    assert live.remove([c], key="gone") == gone
    with pytest.raises(TakenError):
        live.decide(a, b, "different", by="ann", key="said")


# --- what is not there


def test_unknown_posts_and_groups(live: Live) -> None:
    a = ids_of(live)[0]
    before = live.counts(), groups_of(live)
    for asked in (
        lambda: live.remove([a, "nobody"]),
        lambda: live.update(posts(50)),
        lambda: live.decide(a, "nobody", "same", by="ann"),
        lambda: live.move(a, "nowhere", by="ann"),
        lambda: live.merge("nowhere", live.post(a).group, by="ann"),
        lambda: live.accept(["nowhere"], by="ann"),
        lambda: live.post("nobody"),
        lambda: live.group("nowhere"),
        lambda: live.undo(999, by="ann"),
        lambda: live.explain(a, "nobody"),
    ):
        with pytest.raises(UnknownError):
            asked()
    with pytest.raises(ConfigError):
        live.decide(a, ids_of(live)[1], "perhaps", by="ann")
    with pytest.raises(InputError):
        live.decide(a, a, "same", by="ann")
    assert (live.counts(), groups_of(live)) == before


def test_a_store_without_posts(tmp_path: Path) -> None:
    with Live.create(tmp_path / "store") as live:
        assert live.lookup(posts(1))[0].candidates == ()
        with pytest.raises(InputError):
            live.rematch()
    with Live.open(tmp_path / "store") as live:
        assert live.counts().posts == 0
        check_whole(live)


def test_all_posts_removed_and_one_put_back_after_reopening(tmp_path: Path) -> None:
    with Live.create(tmp_path / "store") as live:
        live.add(posts(*range(6)))
        before = groups_of(live)
        gone = live.remove(ids_of(live))
        assert live.lookup(posts(1))[0].candidates == ()
    with Live.open(tmp_path / "store") as live:
        assert ids_of(live) == []
        live.undo(gone.number, by="ann")
        assert groups_of(live) == before
        check_whole(live)


# --- undo


def test_undo_of_every_kind(live: Live) -> None:
    a, b, c, d = ids_of(live)[:4]
    for done in (
        lambda: live.add(posts(40, 41)),
        lambda: live.update(retitled(2, "another title of this")),
        lambda: live.remove([a, b]),
        lambda: live.decide(a, d, "same", by="ann"),
        lambda: live.decide(a, b, "different", by="ann"),
        lambda: live.move(c, None, by="ann"),
        lambda: (
            live.merge(live.post(a).group, live.post(d).group, by="ann")
            if live.post(a).group != live.post(d).group
            else live.decide(b, c, "variant", by="ann")
        ),
        lambda: live.accept([live.post(a).group], by="ann"),
        live.rematch,
    ):
        before = groups_of(live), live.counts().decisions
        titles = dict(zip(ids_of(live), live.catalog().titles, strict=True))
        done()
        event = last(live)
        if event.kind == "refit":  # of a re-match
            event = live.events(limit=1000)[-2]
        live.undo(event.number, by="bob")
        assert (groups_of(live), live.counts().decisions) == before, event
        assert dict(zip(ids_of(live), live.catalog().titles, strict=True)) == titles
        with pytest.raises(InputError, match="undone"):
            live.undo(event.number, by="bob")
        with pytest.raises(InputError):
            live.undo(last(live).number, by="bob")  # an undo


def test_undo_after_later_moves_is_refused(live: Live) -> None:
    groups = groups_of(live)
    a = ids_of(live)[0]
    c = next(post for post in groups if groups[post] != groups[a])
    event = live.decide(a, c, "same", by="ann")
    moved = list(event.body["moved"])
    later = live.move(moved[0], None, by="bob")
    before = groups_of(live)
    with pytest.raises(InputError, match="Undo the later events first"):
        live.undo(event.number, by="ann")
    assert groups_of(live) == before
    live.undo(later.number, by="bob")
    live.undo(event.number, by="ann")
    assert groups_of(live) == groups


def test_undo_of_an_update_that_was_updated_again_is_refused(live: Live) -> None:
    live.update(retitled(2, "first"))
    first = last(live).number
    live.update(retitled(2, "second"))
    with pytest.raises(InputError, match="changed again"):
        live.undo(first, by="ann")
    live.undo(last(live).number, by="ann")
    assert live.post("post_0000002").title == "first"
    live.undo(first, by="ann")
    assert live.post("post_0000002").title == posts(2).titles[0]


def test_undo_of_a_removal_after_the_post_was_added_again_is_refused(live: Live) -> None:
    gone = live.remove(["post_0000002"])
    live.add(posts(2))
    with pytest.raises(InputError, match="added again"):
        live.undo(gone.number, by="ann")
    live.remove(["post_0000002"])
    with pytest.raises(InputError, match="added again"):
        live.undo(gone.number, by="ann")


# --- what was said holds


def test_what_was_said_holds_when_a_post_comes_back_or_changes(live: Live) -> None:
    groups = groups_of(live)
    a = "post_0000000"
    b = next(post for post in groups if groups[post] != groups[a])
    live.decide(a, b, "same", by="ann")
    live.remove([b])
    live.add(posts(int(b.removeprefix("post_"))))
    assert live.post(a).group == live.post(b).group
    placed = live.update(retitled(0, "nothing that any other post says"))
    assert live.post(a).group == live.post(b).group == placed[0].group


def test_a_contradiction_is_shown_and_resolved_by_an_undo(live: Live) -> None:
    a, b, c = ids_of(live)[:3]
    numbers = [live.decide(a, b, "same", by="ann").number, live.decide(b, c, "same", by="ann").number]
    numbers.append(live.decide(a, c, "different", by="bob").number)
    (told,) = live.contradictions()
    assert {told.a, told.b} == {a, c}
    assert list(told.events) == numbers
    assert live.post(a).group == live.post(c).group
    live.undo(numbers[1], by="ann")
    assert live.contradictions() == []
    assert live.post(a).group != live.post(c).group


def test_a_contradiction_ends_when_the_post_between_goes(live: Live) -> None:
    a, b, c = ids_of(live)[:3]
    live.decide(a, b, "same", by="ann")
    live.decide(b, c, "same", by="ann")
    live.decide(a, c, "variant", by="bob")
    gone = live.remove([b])
    assert live.post(a).group != live.post(c).group
    live.undo(gone.number, by="ann")
    assert live.post(a).group == live.post(b).group == live.post(c).group


def test_two_people_who_disagree_about_a_pair(live: Live) -> None:
    a, b = ids_of(live)[:2]
    live.decide(a, b, "same", by="ann")
    event = live.decide(a, b, "different", by="bob")
    assert [(each.a, each.b) for each in live.contradictions()] == [(a, b)]
    assert live.post(a).group != live.post(b).group  # the later one
    live.undo(event.number, by="bob")
    assert live.post(a).group == live.post(b).group


# --- many at once


def at_once(tasks: list[Callable[[], Any]]) -> list[Any]:
    """Do things in threads that begin together; errors are outcomes."""
    outcomes: list[Any] = [None] * len(tasks)
    gate = threading.Barrier(len(tasks))

    def run(at: int) -> None:
        gate.wait()
        try:
            outcomes[at] = tasks[at]()
        except InputError as error:
            outcomes[at] = error

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_the_same_post_from_many_threads_is_added_once(live: Live) -> None:
    outcomes = at_once([lambda: live.add(posts(60))] * 5)
    assert sorted(each[0].how == "known" for each in outcomes) == [False, True, True, True, True]
    assert len({each[0].group for each in outcomes}) == 1
    keyed = at_once([lambda: live.add(posts(61), key="k")] * 4)
    assert len({each[0].how for each in keyed}) == 1
    assert len(ids_of(live)) == 14


def test_one_id_with_two_contents_from_two_threads(live: Live) -> None:
    outcomes = at_once([lambda: live.add(retitled(60, "one")), lambda: live.add(retitled(60, "two"))])
    assert sorted(type(each).__name__ for each in outcomes) == ["TakenError", "list"]


def test_all_at_once(live: Live) -> None:
    ids = ids_of(live)
    tasks: list[Callable[[], Any]] = [lambda at=at: live.add(posts(at)) for at in range(70, 76)]
    tasks += [lambda: live.remove([ids[0]]), lambda: live.decide(ids[1], ids[2], "same", by="ann")]
    tasks += [lambda: live.decide(ids[1], ids[2], "different", by="bob"), live.rematch]
    tasks += [lambda: live.lookup(posts(5)), lambda: live.post(ids[3]), lambda: live.update(retitled(4, "x"))]
    for outcome in at_once(tasks):
        assert not isinstance(outcome, Exception)
    assert len(ids_of(live)) == 17
    assert [event.number for event in live.events(limit=1000)] == list(range(1, live.counts().events + 1))


def test_connections_of_threads_end_with_the_threads(live: Live) -> None:
    for _ in range(8):
        at_once([lambda: groups_of(live)] * 3)
    gc.collect()
    assert len(live._database._readers) <= 2  # of this thread, and of one that counts words


# --- who has it, and what version


def test_a_second_opening_is_refused_also_from_another_process(live: Live) -> None:
    with pytest.raises(StoreError, match="another process has open"):
        Live.open(live.folder)
    code = f"from kembar.store import Live; Live.open({str(live.folder)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "another process has open" in done.stderr
    live.add(posts(80))


def test_where_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no"):
        Live.open(tmp_path)
    (tmp_path / "store.sqlite").write_bytes(b"")
    with pytest.raises(StoreError):
        Live.open(tmp_path)
    (tmp_path / "store.sqlite").write_bytes(b"something else" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        Live.open(tmp_path)


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(StoreError):
            Live.create(place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("version", ["2", "0", "one", "-1"])
def test_another_version(tmp_path: Path, version: str) -> None:
    Live.create(tmp_path / "store").close()
    with sqlite3.connect(tmp_path / "store" / "store.sqlite") as connection:
        connection.execute("UPDATE about SET value = ? WHERE key = 'version'", (version,))
    connection.close()
    with pytest.raises(StoreError, match="version 2" if version == "2" else "does not say"):
        Live.open(tmp_path / "store")


def test_damaged_settings_are_told(tmp_path: Path) -> None:
    Live.create(tmp_path / "store").close()
    with sqlite3.connect(tmp_path / "store" / "store.sqlite") as connection:
        connection.execute("UPDATE about SET value = 'x' WHERE key = 'config'")
    connection.close()
    with pytest.raises(StoreError, match="damaged configuration"):
        Live.open(tmp_path / "store")


# --- the disk and the clock


def test_a_full_disk_changes_nothing(live: Live) -> None:
    before = live.counts(), groups_of(live), looked_up(live)
    writer = live._database._writer
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages}")
    many = posts(*range(20, 110))
    for asked in (lambda: live.add(many), lambda: live.update(retitled(1, "word " * 40_000))):
        with pytest.raises(StoreError, match="full disk"):
            asked()
        assert (live.counts(), groups_of(live), looked_up(live)) == before
    writer.execute("PRAGMA max_page_count = 1000000")
    assert len(live.add(many)) == 90


LIMITED = """
import resource, signal, sys
from pathlib import Path
from kembar import Catalog
from kembar.store import Live
import polars as pl
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
table = pl.read_parquet(sys.argv[2])
with Live.open(sys.argv[1]) as live:
    size = max(path.stat().st_size for path in Path(sys.argv[1]).glob("store.sqlite*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 150_000, resource.RLIM_INFINITY))
    done = 0
    for at in range(12, 100, 4):
        try:
            live.add(Catalog.read(table[at : at + 4]))
        except Exception as error:
            print(type(error).__name__, error, flush=True)
            break
        done += 4
    print(done, flush=True)
"""


def test_a_file_that_may_not_grow_loses_nothing_acknowledged(tmp_path: Path) -> None:
    with Live.create(tmp_path / "store") as live:
        live.add(posts(*range(12)))
    SHOP.posts.drop("label_group").write_parquet(tmp_path / "posts.parquet")
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "store"), str(tmp_path / "posts.parquet")]
    done = subprocess.run(command, capture_output=True, text=True)
    error, count = done.stdout.splitlines()
    assert error.startswith("StoreError"), done.stdout + done.stderr
    with Live.open(tmp_path / "store") as live:
        assert live.counts().posts == 12 + int(count)
        check_whole(live)


def test_a_clock_that_goes_backwards(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    class Back(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime(2001, 1, 1, tzinfo=UTC)

    a, b = ids_of(live)[:2]
    live.decide(a, b, "same", by="ann")
    monkeypatch.setattr(database, "datetime", Back)
    live.decide(a, b, "different", by="bob")
    events = live.events(limit=1000)
    assert events[-1].at < events[-2].at
    assert live.post(a).group != live.post(b).group  # the later by number holds
    assert events[-1].number == len(events)


# --- the log


def test_a_store_begun_with_a_run_replays(tmp_path: Path) -> None:
    result = Matcher().match(posts(*range(80)))
    with Live.create(tmp_path / "store", run=result) as live:
        check_whole(live)
        assert [event.kind for event in live.events()][:2] == ["create", "create"]
        expected = groups_of(live)
        live.move(ids_of(live)[0], None, by="ann")
        live.undo(last(live).number, by="ann")
        assert groups_of(live) == expected
        with pytest.raises(InputError):
            live.undo(2, by="ann")
        check_whole(live)


def test_the_log_cannot_be_changed(live: Live) -> None:
    with sqlite3.connect(live.folder / "store.sqlite") as connection:
        for statement in ("DELETE FROM events", "UPDATE events SET note = 'x'"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                connection.execute(statement)
    connection.close()


def test_events_can_be_read_as_json(live: Live) -> None:
    for event in live.events(limit=1000):
        assert json.loads(json.dumps(event.body)) == event.body


def test_ids_and_titles_of_any_signs(live: Live) -> None:
    odd = [
        "a/../b",
        "'; DROP TABLE posts; --",
        "with \"quotes\" and 'more'",
        "  blanks\tinside",
        "\U0001f642",
        "x" * 9000,
    ]
    new = posts(*range(90, 90 + len(odd)), ids=odd)
    try:
        placed = live.add(new)
    except CatalogError:  # what a catalogue does not take as an id is told before anything is added
        return
    for each in placed:
        assert live.post(each.id).group == each.group
        live.group(each.group)
    live.remove([each.id for each in placed])


def test_what_is_only_asked_about_is_forgotten(live: Live) -> None:
    model = live._index.known
    known = [len(model.fitted.titles.vocabulary), len(model.fitted.tokens.vocabulary)]
    before = looked_up(live)
    for at in range(20):
        live.lookup(retitled(3, f"unheard{at} of{at * 7919} words{at}xyz"))
    assert [len(model.fitted.titles.vocabulary), len(model.fitted.tokens.vocabulary)] == known
    live.add(retitled(100, "unheard1 of7919 words1xyz"))
    found = live.lookup(retitled(3, "unheard1 of7919 words1xyz"))[0]
    assert found.candidates[0].id == "post_0000100"
    live.remove(["post_0000100"])
    assert [each[0] for each in before] == [each[0] for each in looked_up(live)]
