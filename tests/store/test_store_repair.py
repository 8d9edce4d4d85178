"""Damaged stores: what `kembar store check` says of them, and what `kembar store repair` saves."""

import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from conftest import Cli
from kembar import Catalog, Matcher, Result
from kembar.errors import InputError, StoreError
from kembar.store import Live
from kembar.store.checking import checked, looked_at
from kembar.store.repairing import repaired
from kembar.store.replay import differences, events_of, replayed, stored
from small_stores import check_decisions, filled, groups_of, ids_of, looked_up, posts

PAGE = 4096


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with some of everything."""
    folder = tmp_path_factory.mktemp("stores") / "store"
    with filled(folder) as live:
        live.add(posts(50, 51, 52), key="later")
        live.rematch()
    return folder


@pytest.fixture
def copy(store: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(store, tmp_path / "copy"))


@contextmanager
def written(folder: Path) -> Iterator[sqlite3.Connection]:
    """Write into the file of a store as no store does."""
    connection = sqlite3.connect(folder / "store.sqlite", isolation_level=None)
    connection.execute("PRAGMA foreign_keys = 0")
    try:
        yield connection
    finally:
        connection.close()


def same_state(one: Path, other: Path) -> list[str]:
    """How two stores differ in posts, groups, removals and decisions."""
    with looked_at(one) as a, looked_at(other) as b:
        return differences(stored(a), stored(b)) + differences(stored(b), stored(a))


def root(folder: Path, table: str) -> int:
    """The first page of a table."""
    with looked_at(folder) as read:
        return int(read.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0])


def blank(folder: Path, page: int) -> None:
    """Destroy a page."""
    data = bytearray((folder / "store.sqlite").read_bytes())
    data[(page - 1) * PAGE : page * PAGE] = b"\xa5" * PAGE
    (folder / "store.sqlite").write_bytes(data)


def test_a_whole_store(store: Path, cli: Cli) -> None:
    found = checked(store)
    assert found.whole
    assert "The store is whole." in str(found)
    outcome = cli("store", "check", store)
    assert outcome.exit_code == 0
    assert "whole" in outcome.output


def test_a_store_that_is_open_can_be_checked(copy: Path) -> None:
    with Live.open(copy) as live:
        live.add(posts(60))
        found = checked(copy)
        assert found.whole
        assert found.posts == live.counts().posts


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE posts SET group_row = (SELECT max(row) FROM groups) WHERE row = 1", "in another group than the log"),
        ("UPDATE posts SET title = title || 'x' WHERE row = 2", "content is not what the log tells"),
        ("UPDATE posts SET removed = 1 WHERE row = 3", "removed in the tables alone"),
        ("UPDATE decisions SET verdict = 'variant' WHERE verdict = 'same'", "decisions that are not what the log"),
        ("DELETE FROM decisions", "decisions that the log tells of and the tables lack"),
        ("DELETE FROM posts WHERE row = 4", "posts that the log tells of and the tables lack"),
        ("UPDATE posts SET group_row = 9999 WHERE row = 5", "name rows of groups that are not there"),
        ("INSERT INTO pairs SELECT row, row + 1, 2.0 FROM posts WHERE row = 999", ""),
        ("UPDATE pairs SET probability = 2", "probabilities that are none"),
        ("INSERT INTO vectors VALUES (1, 'photo', x'0102')", "vectors that are cut off"),
        ("DROP TRIGGER events_remain; DELETE FROM events WHERE number = 3", "events 3 to 3 are missing"),
        ("DROP TRIGGER events_stay; UPDATE events SET body = 'x' WHERE number = 2", "whose text is damaged"),
        ("DROP TRIGGER events_stay; UPDATE events SET body = '[]' WHERE number = 3", "is not what an event is"),
        ("UPDATE about SET value = '9' WHERE key = 'version'", "raises"),
    ],
)
def test_what_is_wrong_is_told(copy: Path, cli: Cli, statement: str, said: str) -> None:
    with written(copy) as connection:
        connection.executescript(statement)
    outcome = cli("store", "check", copy)
    if said == "raises":
        with pytest.raises(StoreError, match="version 9"):
            checked(copy)
    else:
        found = checked(copy)
        assert found.whole == (said == "")
        assert said in str(found)
    assert outcome.exit_code == (0 if said == "" else 2)


def test_photos_that_are_missing_are_noted(tmp_path: Path, shop: Path) -> None:
    with Live.create(tmp_path / "store") as live:
        live.add(Catalog.read(shop / "posts.csv", images=shop / "photos"))
        gone = live.catalog().images[0]
    assert checked(tmp_path / "store").notes == ()
    (tmp_path / "store" / "photos" / gone).unlink()
    found = checked(tmp_path / "store")
    assert found.whole
    assert gone in found.notes[0]
    told = repaired(tmp_path / "store", tmp_path / "mended")
    assert told.lost == ()
    assert len(list((tmp_path / "mended" / "photos").iterdir())) == len(list((tmp_path / "store" / "photos").iterdir()))


def test_a_whole_store_is_mended_to_the_same(copy: Path, tmp_path: Path) -> None:
    before = (copy / "store.sqlite").read_bytes()
    told = repaired(copy, tmp_path / "mended")
    assert (copy / "store.sqlite").read_bytes() == before
    assert told.lost == ()
    assert same_state(copy, tmp_path / "mended") == []
    assert checked(tmp_path / "mended").whole
    with Live.open(copy) as live:
        expected = looked_up(live), groups_of(live)
        event = live.events(limit=1000)[-1]
    with Live.open(tmp_path / "mended") as live:
        assert groups_of(live) == expected[1]
        assert len(live.add(posts(50, 51, 52), key="later")) == 3  # the request is known
        live.rematch()
        assert live.events(after=event.number)


@pytest.mark.parametrize("table", ["posts", "groups", "decisions", "pairs", "vectors", "merges", "fitted", "about"])
def test_a_lost_table_comes_back_from_the_log(copy: Path, store: Path, tmp_path: Path, table: str) -> None:
    blank(copy, root(copy, table))
    assert not checked(copy).whole
    told = repaired(copy, tmp_path / "mended")
    assert same_state(store, tmp_path / "mended") == []
    assert checked(tmp_path / "mended").whole
    assert any(table in line or "configuration" in line for line in told.lost) or table in (
        "vectors",
        "merges",
        "fitted",
    )
    with Live.open(tmp_path / "mended") as live:
        check_decisions(live)
        live.rematch()
        assert live.add(posts(70))


def test_a_lost_log_is_told_anew_from_the_tables(copy: Path, store: Path, tmp_path: Path) -> None:
    blank(copy, root(copy, "events"))
    told = repaired(copy, tmp_path / "mended")
    assert told.events == 0
    assert told.lost
    assert same_state(store, tmp_path / "mended") == []
    found = checked(tmp_path / "mended")
    assert found.whole
    assert "were lost before a repair" in found.notes[0]
    with Live.open(tmp_path / "mended") as live:
        a, b = ids_of(live)[:2]
        live.decide(a, b, "same", by="ann")
        with pytest.raises(InputError):
            live.undo(1, by="ann")
    assert checked(tmp_path / "mended").whole
    assert repaired(tmp_path / "mended", tmp_path / "again").lost == ()


def test_a_store_of_a_run_comes_back_from_its_log(tmp_path: Path) -> None:
    result = Matcher().match(posts(*range(60)))
    Live.create(tmp_path / "store", run=result).close()
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    blank(tmp_path / "copy", root(tmp_path / "copy", "posts"))
    repaired(tmp_path / "copy", tmp_path / "mended")
    assert same_state(tmp_path / "store", tmp_path / "mended") == []


def test_the_list_of_tables_can_be_lost(copy: Path, store: Path, tmp_path: Path) -> None:
    blank(copy, 1)
    assert not checked(copy).whole
    repaired(copy, tmp_path / "mended")
    assert same_state(store, tmp_path / "mended") == []


def test_damage_anywhere_is_mended_or_told(store: Path, tmp_path: Path) -> None:
    size = (store / "store.sqlite").stat().st_size
    saved = 0
    for seed in range(12):
        rng, place = random.Random(seed), tmp_path / f"copy{seed}"
        shutil.copytree(store, place)
        data = bytearray((place / "store.sqlite").read_bytes())
        if seed % 3:
            page = rng.randrange(size // PAGE)
            data[page * PAGE : (page + 1) * PAGE] = rng.randbytes(PAGE)
        else:
            for _ in range(30):
                data[rng.randrange(size)] ^= rng.randrange(1, 256)
        (place / "store.sqlite").write_bytes(data)
        checked(place)
        told = repaired(place, tmp_path / f"mended{seed}")
        assert checked(tmp_path / f"mended{seed}").whole
        wrong = same_state(store, tmp_path / f"mended{seed}")
        assert not wrong or told.lost
        saved += not wrong
    assert saved >= 8


def test_what_cannot_be_mended(tmp_path: Path, copy: Path) -> None:
    (copy / "store.sqlite").write_bytes(random.Random(0).randbytes(20 * PAGE))
    with pytest.raises(StoreError, match="nothing can be read"):
        repaired(copy, tmp_path / "mended")
    assert not (tmp_path / "mended").exists()
    with pytest.raises(StoreError, match="holds no"):
        repaired(tmp_path, tmp_path / "mended")


def test_a_store_in_use_is_not_mended(copy: Path, tmp_path: Path) -> None:
    with Live.open(copy), pytest.raises(StoreError, match="another process"):
        repaired(copy, tmp_path / "mended")


def test_the_log_replays_to_the_tables(store: Path) -> None:
    with looked_at(store) as read:
        told = replayed(events_of(read))
        assert told.gaps == []
        assert differences(told, stored(read)) == []
        assert len(told.posts) == 43
        assert len(told.removed) == 1
        assert sum(said[3] is not None for said in told.decisions.values()) == 1


# --- the commands


def test_the_commands(tmp_path: Path, cli: Cli) -> None:
    result = Matcher().match(posts(*range(30)))
    result.save(tmp_path / "run")
    outcome = cli("store", "create", tmp_path / "store", "--run", tmp_path / "run")
    assert outcome.exit_code == 0, outcome.output
    assert "30 posts" in outcome.output
    outcome = cli("store", "info", tmp_path / "store")
    assert "posts: 30" in outcome.output
    assert "decisions: 0" in outcome.output
    for name in ("posts.csv", "posts.parquet"):
        assert cli("store", "export", tmp_path / "store", "-o", tmp_path / name).exit_code == 0
    table = pl.read_parquet(tmp_path / "posts.parquet")
    groups = Result.load(tmp_path / "run").groups
    assert table["group"].n_unique() == len(groups.ids)
    assert pl.read_csv(tmp_path / "posts.csv", infer_schema_length=0)["posting_id"].to_list() == (
        table["posting_id"].to_list()
    )
    again = cli("store", "export", tmp_path / "store", "-o", tmp_path / "posts.csv")
    assert again.exit_code == 2
    assert cli("store", "export", tmp_path / "store", "-o", tmp_path / "posts.txt").exit_code == 2
    outcome = cli("store", "repair", tmp_path / "store", "-o", tmp_path / "mended")
    assert outcome.exit_code == 0
    assert "Saved 30 posts" in outcome.output


def test_an_empty_store_and_what_is_in_the_way(tmp_path: Path, cli: Cli) -> None:
    assert cli("store", "create", tmp_path / "store", "--set", "photo=false").exit_code == 0
    with looked_at(tmp_path / "store") as read:
        about = dict(read.execute("SELECT key, value FROM about").fetchall())
    assert json.loads(about["config"])["photo"] is False
    for words in (
        ("create", tmp_path / "store"),
        ("create", tmp_path / "other", "--run", tmp_path / "none"),
        ("create", tmp_path / "other", "--run", tmp_path / "none", "--set", "photo=false"),
        ("check", tmp_path / "none"),
        ("info", tmp_path / "none"),
        ("repair", tmp_path / "none", "-o", tmp_path / "mended"),
        ("repair", tmp_path / "store", "-o", tmp_path / "store"),
        ("export", tmp_path / "none", "-o", tmp_path / "posts.csv"),
    ):
        outcome = cli("store", *words)
        assert outcome.exit_code == 2, words
        assert outcome.stderr.startswith("kembar: ")
