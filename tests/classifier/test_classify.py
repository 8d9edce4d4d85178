import logging
from dataclasses import replace

import numpy as np
import pytest

from kembar.classifier.classify import classify, evidence_table, passed_over
from kembar.classifier.pair_classifier import PairClassifier
from kembar.config import SHIPPED, Config
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.evidence.scorers import CONFLICT, Scorer, scorers_of
from kembar.matcher import Matcher
from kembar.posts.catalog import Catalog
from kembar.synthesis import synthesize

POSTS = 600


@pytest.fixture(scope="module")
def shop() -> tuple[Pairs, tuple[Scorer, ...]]:
    """Pairs of a drawn shop as the rules left them."""
    posts = synthesize(POSTS).posts
    catalog = Catalog.read(posts.select("posting_id", "title"))
    matcher = Matcher(Config.of({"title": False, "model": "rules"}))
    return matcher.match(catalog).pairs, scorers_of(catalog.titles.str.to_lowercase())


@pytest.fixture(scope="module")
def shipped() -> PairClassifier:
    return replace(PairClassifier.load(SHIPPED), veto=False)


def test_pairs_below_the_gate_are_passed_over_and_the_others_stay(
    shop: tuple[Pairs, tuple[Scorer, ...]], shipped: PairClassifier
) -> None:
    pairs, scorers = shop
    every = classify(pairs, POSTS, scorers, replace(shipped, gate=0.0), {})
    found = classify(pairs, POSTS, scorers, shipped, {})
    unlike = (pairs.evidence[SIMILARITY] < np.float32(shipped.gate)) & (pairs.evidence[CONFLICT] == 0)
    assert 0.1 < unlike.mean() < 0.9
    np.testing.assert_array_equal(passed_over(found, shipped), unlike)
    np.testing.assert_array_equal(found.evidence[SIMILARITY], np.where(unlike, 0, every.evidence[SIMILARITY]))


def test_a_conflict_of_quantities_is_looked_at_however_unlike_the_two_are(
    shop: tuple[Pairs, tuple[Scorer, ...]], shipped: PairClassifier
) -> None:
    pairs, scorers = shop
    against = pairs.evidence[CONFLICT] > 0
    found = classify(pairs, POSTS, scorers, shipped, {})
    assert against.any()
    assert (found.evidence[SIMILARITY][against] > 0).all()


def test_other_evidence_can_still_speak_for_a_pair_below_the_gate(
    shop: tuple[Pairs, tuple[Scorer, ...]], shipped: PairClassifier
) -> None:
    pairs, scorers = shop
    seen = pairs.with_evidence(photo=np.full(len(pairs), 0.5, dtype=np.float32))
    gated = classify(seen, POSTS, scorers, shipped, {"photo": ""})
    every = classify(seen, POSTS, scorers, replace(shipped, gate=0.0), {"photo": ""})
    np.testing.assert_array_equal(gated.evidence[SIMILARITY], every.evidence[SIMILARITY])


def test_drift_looks_at_pairs_from_all_over(
    shop: tuple[Pairs, tuple[Scorer, ...]], shipped: PairClassifier, caplog: pytest.LogCaptureFixture
) -> None:
    """The first pairs are as usual, the others are not: whoever looks at the first alone sees nothing."""
    pairs, scorers = shop
    usual = evidence_table(pairs, POSTS, scorers, shipped, np.arange(len(pairs)))
    tested = replace(shipped, profiles=(shipped.profiles[0].of(usual, shipped.names),))
    with caplog.at_level(logging.WARNING):
        classify(pairs, POSTS, scorers, tested, {})
        assert not caplog.records
        changed = {name: column.copy() for name, column in pairs.evidence.items()}
        for name in ("word", "char", SIMILARITY):
            changed[name][len(pairs) // 8 :] = 1
        classify(Pairs(pairs.left, pairs.right, changed), POSTS, scorers, tested, {})
    assert "have changed" in caplog.text
