from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar import Catalog, Config, FolderError, Matcher, synthesize
from kembar.classifier.match_weights import log_odds
from kembar.classifier.pair_classifier import PairClassifier
from kembar.classifier.pool_cut import FIGURES, PoolCut, figures
from kembar.config import SHIPPED
from kembar.regrouping import regroup
from kembar.store import Live
from properties import examples

ZERO = np.zeros(len(FIGURES))


def rule(base: float = 0.0, **weights: float) -> PoolCut:
    """A rule by some figures, which has seen pools of every kind."""
    weight = np.array([weights.get(name.replace(" ", "_").replace(".", ""), 0.0) for name in FIGURES])
    return PoolCut(ZERO - 1e9, ZERO + 1e9, weight, base)


@st.composite
def pools(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    n = draw(st.integers(1, 9))
    every = list(combinations(range(n), 2))
    ends = draw(st.lists(st.sampled_from(every), unique=True)) if every else []
    p = draw(st.lists(st.sampled_from([0, 0.01, 0.3, 0.5, 0.7, 0.9, 1]), min_size=len(ends), max_size=len(ends)))
    left, right = (np.array([pair[side] for pair in ends], dtype=np.int64) for side in (0, 1))
    return left, right, np.array(p, dtype=np.float32), n


def slow_figures(left: np.ndarray, right: np.ndarray, probability: np.ndarray, n: int) -> list[float]:
    pairs = {(int(a), int(b)): float(p) for a, b, p in zip(left, right, probability, strict=True)}
    of = {post: [p for pair, p in pairs.items() if post in pair] for post in range(n)}
    best = [max(of[post], default=0.0) for post in range(n)]
    likely = [p for p in pairs.values() if p > 0.02]
    sure = [pair for pair, p in pairs.items() if p >= 0.5]
    mutual = [pair for pair in sure if all(pairs[pair] == best[post] for post in pair)]
    group = list(range(n))
    for _ in range(n):
        for a, b in sure:
            group[a] = group[b] = min(group[a], group[b])
    within = [pair for pair in combinations(range(n), 2) if group[pair[0]] == group[pair[1]]]
    return [
        *np.quantile(best, [0.1, 0.25, 0.5, 0.75, 0.9]),
        sum(sum(each) for each in of.values()) / n,
        len(sure) / n,
        sum(likely) / len(likely) if likely else 0.0,
        len(mutual) / len(sure) if sure else 1.0,
        len(sure) / len(within) if sure else 1.0,
    ]


@given(pools())
@examples(60)
def test_figures_are_those_of_the_slow_twin(pool: tuple[np.ndarray, np.ndarray, np.ndarray, int]) -> None:
    np.testing.assert_allclose(figures(*pool), slow_figures(*pool), atol=1e-9)
    assert len(figures(*pool)) == len(FIGURES)


@given(pools(), st.floats(0.05, 0.97), st.floats(-20, 20))
@examples(60)
def test_a_cut_moves_by_the_log_odds_and_no_further_than_its_bounds(
    pool: tuple[np.ndarray, np.ndarray, np.ndarray, int], cut: float, base: float
) -> None:
    found = rule(base).moved(cut, *pool)
    assert min(cut, 0.2) - 5e-4 <= found <= max(cut, 0.95) + 5e-4
    if 0.21 < found < 0.94:
        by = base * pool[3] / (pool[3] + 100)  # few posts have little to say
        assert log_odds(np.array([found]))[0] == pytest.approx(log_odds(np.array([cut]))[0] - by, abs=0.01)


def test_figures_beyond_those_of_training_count_as_the_last_that_were_seen() -> None:
    known = replace(rule(sure=2.0), least=ZERO, most=ZERO + 0.4)
    assert known.shift(ZERO + 9, 10**9) == pytest.approx(0.8, abs=1e-6)
    assert known.shift(ZERO - 9, 10**9) == 0


@pytest.fixture(scope="module")
def shop() -> Catalog:
    return Catalog.read(synthesize(400, seed=11, hashes=True).posts)


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped classifier with a rule that asks for more in every pool."""
    folder = tmp_path_factory.mktemp("models") / "careful"
    replace(PairClassifier.load(SHIPPED), pool=rule(-1.5), cut=0.5).save(folder)
    return folder


def test_a_run_takes_the_cut_of_its_pool_and_writes_it_down(shop: Catalog, careful: Path) -> None:
    run = Matcher(Config(model=str(careful))).match(shop)
    low, high = (Matcher(Config(model=str(careful), cut=cut)).match(shop) for cut in (0.5, run.config.cut))
    assert run.config.cut == pytest.approx(1 / (1 + np.exp(-1.5 * 400 / 500)), abs=0.002)
    assert (low.config.cut, high.config.cut) == (0.5, run.config.cut)
    np.testing.assert_array_equal(run.groups.labels, high.groups.labels)
    assert len(run.groups) > len(low.groups)


def test_deciding_again_finds_the_same_cut(shop: Catalog, careful: Path) -> None:
    run = Matcher(Config(model=str(careful))).match(shop)
    again = regroup(regroup(run, ["cut=0.3"]), ["cut=auto"])
    assert again.config == run.config
    np.testing.assert_array_equal(again.groups.labels, run.groups.labels)


def test_a_store_takes_the_cut_of_a_rematch_and_keeps_it(shop: Catalog, careful: Path, tmp_path: Path) -> None:
    posts, config = shop.take(np.arange(200)), Config(model=str(careful))
    batch = Matcher(config).match(replace(posts, labels=None))
    with Live.create(tmp_path / "store", config=config) as live:
        live.add(posts.take(np.arange(150)))
        live.add(posts.take(np.arange(150, 200)))
        assert live.catalog().ids.len() == 200
        assert cut_of(live) == 0.5
        live.rematch()
        assert cut_of(live) == batch.config.cut
        groups = {post: live.post(post).group for post in posts.ids}
        live.regroup()
        live.seal()
        assert {post: live.post(post).group for post in posts.ids} == groups
    with Live.open(tmp_path / "store") as live:
        assert cut_of(live) == batch.config.cut
        live.add(shop.take(np.arange(200, 400)))  # words are counted anew
        assert cut_of(live) == batch.config.cut
    found = [[groups[a] == groups[b] for a in posts.ids] for b in posts.ids]
    np.testing.assert_array_equal(found, batch.groups.labels[:, None] == batch.groups.labels)


def cut_of(live: Live) -> float | None:
    return live._index.known.config.cut


def test_a_rule_is_saved_and_what_is_none_is_refused(tmp_path: Path) -> None:
    known = replace(PairClassifier.load(SHIPPED), pool=rule(0.5, sure=2.0))
    known.save(tmp_path / "model")
    pools = [classifier.pool for classifier in (known, PairClassifier.load(tmp_path / "model"))]
    assert [pool and pool.tree() for pool in pools] == [rule(0.5, sure=2.0).tree()] * 2
    path = tmp_path / "model" / "classifier.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"sureness"', '"size"'), encoding="utf-8")
    with pytest.raises(FolderError, match="figures"):
        PairClassifier.load(tmp_path / "model")
