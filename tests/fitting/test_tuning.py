import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold

from kembar import Catalog, Config, ConfigError, Embeddings, EvidenceError, FolderError, Matcher, tune
from kembar.encoders.resources import Resources
from kembar.evidence.edges import select
from kembar.evidence.gathering import blended
from kembar.fitting.tuning import Fitting, edge_scores, fold_numbers, group_scores
from kembar.grouping.average_link import average_link
from kembar.grouping.decision import decide
from kembar.grouping.matches import row_shares
from kembar.results.scores import score_edges
from properties import examples

ONE = ({"advanced.blend.threshold": 0.6, "advanced.blend.min2": 0.33, "advanced.blend.keep": 0.5},)
TWO = (*ONE, {"advanced.blend.threshold": 0.8, "advanced.blend.min2": 0.44, "advanced.blend.keep": 0.0})


def of(*changes: str) -> Config:
    return Config.read(None, ["model=rules", "title=false", *changes])


def dealt(labels: np.ndarray, folds: int) -> list[np.ndarray]:
    return [test for _, test in GroupKFold(folds).split(labels, groups=labels)]


@examples(60)
@given(labels=st.lists(st.integers(-1, 12), min_size=1, max_size=60), folds=st.integers(2, 5))
def test_folds_are_those_of_scikit_learn(labels: list[int], folds: int) -> None:
    codes = np.array(labels)
    known = np.flatnonzero(codes >= 0)
    found = fold_numbers(codes, folds)
    assert found[codes < 0].tolist() == [row % folds for row in np.flatnonzero(codes < 0)]
    if len(set(codes[known])) >= folds:
        for number, test in enumerate(dealt(codes[known], folds)):
            assert set(np.flatnonzero(found[known] == number)) == set(test)


# --- cross-validation


def test_a_fold_is_scored_with_what_is_best_on_the_others(catalog: Catalog) -> None:
    """Redo the whole pool by hand, for the threshold rule, with the plain functions."""
    labels, config = catalog.labels, of("rule=threshold")
    assert labels is not None
    found = tune(catalog, config, blends=ONE, how=Fitting(folds=3))
    folds = dealt(labels, 3)
    evidence = Matcher.evidence(catalog, config, {})
    pairs = blended(evidence, of(*(f"{key}={value}" for key, value in ONE[0].items())))
    sums = []
    for trial in found.trials.iter_rows(named=True):
        threshold, min2 = trial["advanced.decide.threshold"], trial["advanced.decide.min2"]
        ends = pairs.left, pairs.right, pairs.evidence["similarity"]
        source, target, _ = select(*ends, len(labels), threshold=threshold, min2=min2)
        sums.append([score_edges(source, target, labels, rows).f1 * len(rows) for rows in folds])
        assert trial["f1"] == pytest.approx(score_edges(source, target, labels).f1)
    table = np.array(sums)
    for f, row in enumerate(found.folds.iter_rows(named=True)):
        others = np.delete(table, f, axis=1).sum(axis=1)
        best = int(others.argmax())
        assert row["f1"] == pytest.approx(table[best, f] / len(folds[f]))
        assert row["advanced.decide.threshold"] == found.trials["advanced.decide.threshold"][best]
        assert row["advanced.decide.min2"] == found.trials["advanced.decide.min2"][best]
        assert (row["posts"], row["pool"]) == (len(folds[f]), 300)
    assert (
        found.config.advanced.decide.threshold
        == found.trials["advanced.decide.threshold"][int(table.sum(axis=1).argmax())]
    )


def test_a_fold_that_is_a_pool_of_its_own(catalog: Catalog) -> None:
    """Redo folds as pools by hand, for groups."""
    labels, config = catalog.labels, of("advanced.pool.slope=0")
    assert labels is not None
    found = tune(catalog, config, blends=ONE, how=Fitting(folds=3, pool="fold"))
    folds = dealt(labels, 3)
    cuts = found.trials["cut"].to_list()
    table = np.zeros((len(cuts), 3))
    for f, rows in enumerate(folds):
        part = catalog.take(np.sort(rows))
        assert part.labels is not None
        pairs = blended(Matcher.evidence(part, config, {}), of(*(f"{key}={value}" for key, value in ONE[0].items())))
        for trial, cut in enumerate(cuts):
            groups = average_link(pairs.left, pairs.right, pairs.evidence["similarity"], len(part), cut=cut)
            source, target = np.nonzero((groups[:, None] == groups[None]) & ~np.eye(len(part), dtype=bool))
            table[trial, f] = score_edges(source, target, part.labels).f1 * len(part)
    for f, row in enumerate(found.folds.iter_rows(named=True)):
        best = int(np.delete(table, f, axis=1).sum(axis=1).argmax())
        assert row["cut"] == pytest.approx(cuts[best])
        assert row["f1"] == pytest.approx(table[best, f] / len(folds[f]))
    assert found.config.advanced.pool.size == found.folds["pool"][0] == len(folds[0])


def test_chisel_learns_lengths_from_the_other_folds(catalog: Catalog) -> None:
    labels, config = catalog.labels, of("rule=chisel", "advanced.blend.steps=0")
    assert labels is not None
    found = tune(catalog, config, how=Fitting(folds=3))
    pairs = Matcher.evidence(catalog, config, {}).pairs
    for f, rows in enumerate(dealt(labels, 3)):
        shares = row_shares(np.delete(labels, rows))
        (source, target, _), _ = decide(pairs, len(labels), config, shares)
        assert found.folds["f1"][f] == pytest.approx(score_edges(source, target, labels, rows).f1)


def test_folds_hold_whole_groups_and_every_post(catalog: Catalog) -> None:
    found = tune(catalog, of("rule=threshold"), blends=ONE, how=Fitting(folds=5))
    assert found.folds["posts"].sum() == 300
    assert found.folds["fold"].to_list() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("rule", ["group", "threshold", "chisel"])
@pytest.mark.parametrize("pool", ["whole", "fold"])
@pytest.mark.parametrize("steps", [0, 1])
def test_every_rule_in_both_pools(catalog: Catalog, rule: str, pool: str, steps: int) -> None:
    found = tune(
        catalog,
        of(f"rule={rule}", f"advanced.blend.steps={steps}"),
        blends=TWO if steps else None,
        how=Fitting(folds=2, pool=pool),
    )
    mean, spread = found.f1()
    assert mean == pytest.approx(found.folds["f1"].mean())
    assert spread == pytest.approx(found.folds["f1"].std())
    assert 0.7 < mean < 1
    assert found.trials["f1"].max() >= mean - 0.05
    for row in found.folds.iter_rows(named=True):
        assert min(row["precision"], row["recall"]) > 0.5
    assert found.config.rule == rule
    assert found.config.advanced.blend.steps == steps
    if steps:
        assert found.config.advanced.blend.threshold in (0.6, 0.8)
    assert "Cross-validated F1" in str(found)
    assert str(found).count("fold ") == 2


def test_the_tuned_configuration_reaches_its_score_on_the_same_posts(catalog: Catalog) -> None:
    for rule in ("group", "threshold"):
        found = tune(catalog, of(f"rule={rule}"), blends=TWO, how=Fitting(folds=3))
        result = Matcher(found.config).match(catalog)
        assert result.config == found.config  # tuned for this very pool: no cut moves
        assert result.scores()["f1"] == pytest.approx(found.trials["f1"].max(), abs=2e-3)
        assert result.scores()["f1"] > Matcher(of(f"rule={rule}")).match(catalog).scores()["f1"]


def test_the_order_of_rows_hardly_matters(catalog: Catalog) -> None:
    order = np.random.default_rng(2).permutation(len(catalog))
    one, other = (tune(c, blends=ONE, how=Fitting(folds=3)) for c in (catalog, catalog.take(order)))
    assert one.trials["f1"].to_list() == pytest.approx(other.trials["f1"].to_list(), abs=5e-3)


def test_posts_without_a_label_stand_in_the_pool_and_are_not_scored(posts: pl.DataFrame) -> None:
    known = pl.int_range(len(posts), eager=True) < 200
    some = posts.with_columns(label_group=pl.when(known).then(pl.col("label_group")))
    for pool in ("whole", "fold"):
        found = tune(Catalog.read(some), blends=ONE, how=Fitting(folds=2, pool=pool))
        assert found.folds["posts"].sum() == 200
        assert found.folds["pool"][0] == (300 if pool == "whole" else pytest.approx(150, abs=25))


def test_vectors_take_part(catalog: Catalog, oracle_vectors: np.ndarray) -> None:
    with_vectors = tune(
        catalog, embeddings={"clip": Embeddings.of(oracle_vectors)}, blends=ONE, how=Fitting(folds=2, pool="fold")
    )
    assert (
        with_vectors.trials["f1"].max()
        != tune(catalog, blends=ONE, how=Fitting(folds=2, pool="fold")).trials["f1"].max()
    )


def test_the_default_grid_of_blends_and_progress(posts: pl.DataFrame) -> None:
    heard: list[tuple[str, int, int]] = []
    found = tune(
        Catalog.read(posts.head(80)),
        how=Fitting(folds=2),
        resources=Resources(progress=lambda *call: heard.append(call)),
    )
    trials = [(done, total) for stage, done, total in heard if stage == "trials"]
    assert trials == [(done, 8) for done in range(1, 9)]
    assert found.trials.select("advanced.blend.threshold", "advanced.blend.keep").unique().height == 8


# --- the file


def test_the_saved_folder_holds_a_configuration(catalog: Catalog, tmp_path: Path) -> None:
    found = tune(catalog, of("advanced.decide.min2=none", "target_size=none"), blends=ONE, how=Fitting(folds=2))
    folder = tmp_path / "tuned"
    found.save(folder)
    assert Config.read(folder / "config.toml") == found.config
    assert found.config.by_rules
    text = (folder / "config.toml").read_text()
    assert text.startswith("# Cross-validated F1")
    assert tomllib.loads(text)["advanced"]["pool"]["size"] == 300
    found.save(folder, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["tuned"]
    with pytest.raises(FolderError, match="which exists"):
        found.save(folder)


# --- what is refused


def test_what_is_refused(catalog: Catalog, posts: pl.DataFrame) -> None:
    with pytest.raises(ConfigError, match="at least 2 folds"):
        tune(catalog, how=Fitting(folds=1))
    with pytest.raises(ConfigError, match="'whole' or 'fold'"):
        tune(catalog, how=Fitting(pool="half"))
    with pytest.raises(EvidenceError, match="0 known groups for 4 folds"):
        tune(Catalog.read(posts.drop("label_group")))
    one = posts.head(5).with_columns(label_group=pl.lit(1))
    with pytest.raises(EvidenceError, match="1 known groups for 2 folds"):
        tune(Catalog.read(one), how=Fitting(folds=2))


@examples(100)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 2)), min_size=1, max_size=12), st.integers(0, 99))
def test_posts_of_unknown_group_count_neither_for_nor_against(posts, seed):
    parts, labels = (np.array(column, dtype=np.int64) for column in zip(*posts, strict=True))
    known = labels >= 0
    if not known.any():
        return
    alone = group_scores(np.unique(parts[known], return_inverse=True)[1], labels[known])
    np.testing.assert_allclose(group_scores(parts, labels)[known], alone)
    source, target = np.nonzero(np.random.default_rng(seed).random((len(labels),) * 2) < 0.4)
    source, target = source[source != target], target[source != target]
    place = np.cumsum(known) - 1
    both = known[source] & known[target]
    alone = edge_scores(place[source[both]], place[target[both]], labels[known])
    np.testing.assert_allclose(edge_scores(source, target, labels)[known], alone)
