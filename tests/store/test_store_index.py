from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import kembar
from kembar import Catalog, Live
from kembar.errors import ConfigError
from kembar.matcher import Matcher
from kembar.newcomers import Part, Prepared, fitted_on, prepared
from kembar.posts.patterns import _compiled
from kembar.store import index as rooms
from kembar.store.index import Index
from kembar.synthesis import Drawing, synthesize, write_shop


@pytest.fixture(scope="module")
def shop() -> Catalog:
    return Catalog.read(synthesize(120).posts.select("posting_id", "title"))


@pytest.fixture(scope="module")
def ready(shop: Catalog) -> Prepared:
    return prepared(shop, Matcher())


def test_an_add_indexes_no_more_than_the_last_part_anew(ready: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "_TAIL", 8)
    model = fitted_on(ready, Matcher())
    whole = Part.of(ready.compared, ready.vectors, model)
    index = Index.of(model, whole.take(np.arange(20)), np.arange(20))
    for row in range(20, 120):
        index = index.with_part(whole.take(np.array([row])), np.array([row]))
        sizes = [len(part) for part in index.base.parts]
        assert len(sizes) <= 3
        assert sum(sizes) == row + 1
        assert len(sizes) < 3 or sizes[2] < 8
    np.testing.assert_array_equal(index.rows[index.place], np.arange(120))


def test_a_store_of_links_is_reviewed_and_takes_no_posts(shop: Catalog, tmp_path: Path) -> None:
    rows = np.arange(len(shop))
    run = kembar.link(shop.take(rows[::2]), shop.take(rows[1::2]))
    with Live.create(tmp_path / "store", run=run) as live:
        names = run.groups.ids.gather(run.groups.labels)
        linked = dict(zip(run.catalog.ids, names, strict=True))
        assert {post: live.post(post).group for post in linked} == linked
        assert live.regroup().body["moved"] == {}
        with pytest.raises(ConfigError, match="two linked catalogues"):
            live.add(shop.take(rows[:1]))
        with pytest.raises(ConfigError, match="two linked catalogues"):
            live.update(run.catalog.take(rows[:1]))
        a, b = next((a, b) for a in linked for b in linked if a < b and linked[a] == linked[b])
        live.decide(a, b, "different", by="ann")
        assert live.post(a).group != live.post(b).group


def test_warming_a_store_writes_nothing_and_spares_look_ups_what_is_done_once(shop: Catalog, tmp_path: Path) -> None:
    with Live.create(tmp_path / "store") as live:
        live.warm()
        live.add(shop)
        before = live.counts()
        _compiled.cache_clear()  # as in a process that has read no title
        live.warm()
        warmed = _compiled.cache_info().misses
        live.lookup(replace(shop.take(np.array([0])), titles=pl.Series(["😊 sabun mandi 250 мл"])))
        assert 0 < warmed == _compiled.cache_info().misses
        assert live.counts() == before


@pytest.mark.parametrize("kind", ["photos", "hashes", "links"])
def test_a_store_of_any_kind_is_warmed(shop: Catalog, kind: str, tmp_path: Path) -> None:
    drawn = write_shop(tmp_path / "shop", 40, photos=Drawing(32) if kind == "photos" else False).posts
    drawn = drawn.with_columns(title=pl.lit(""))
    if kind == "links":
        run = kembar.link(shop.take(np.arange(0, 40)), shop.take(np.arange(40, 80)))
    else:
        run = Matcher().match(Catalog.read(drawn, images=tmp_path / "shop" / "photos" if kind == "photos" else None))
    with Live.create(tmp_path / "store", run=run) as live:
        live.warm()
