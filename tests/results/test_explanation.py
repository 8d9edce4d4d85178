import json
from dataclasses import replace
from typing import get_args

import numpy as np
import polars as pl
import pytest

from kembar import Catalog, CatalogError, Config, Explanation, Matcher, Result
from kembar.grouping.decision import RULES as RULES_OF_MATCHES
from kembar.grouping.links import LINKS

RULES = Config.read(None, ["model=rules"])
ALIKE, NEAR, OTHER = "94974f937d4c2433", "94974f937d4c2430", "6b68b06c82b3dbcc"
POSTS = {
    "coffee": ("Kopi Kapal Api Special 165 gr", ALIKE),
    "coffee2": ("kopi kapal api special mix 165gram", NEAR),
    "coffee3": ("kopi kapal api special 380 gr", ALIKE),
    "bag": ("Tas Ransel Sekolah Anak", OTHER),
    "bare": (None, ALIKE),
    "plain": ("kopi kapal api special 165 gr", None),
}


def run(*changes: str) -> Result:
    rows = [(name, title, photo) for name, (title, photo) in POSTS.items()]
    frame = pl.DataFrame(rows, schema=["posting_id", "title", "image_phash"], orient="row")
    config = Config.read(None, ["model=rules", "advanced.pool.slope=0", "advanced.group.cut=0.5", *changes])
    return Matcher(config).match(Catalog.read(frame))


@pytest.fixture(scope="module")
def result() -> Result:
    return run()


def holds(explanation: Explanation, *parts: str) -> None:
    for part in parts:
        assert part in str(explanation)


def test_a_match(result: Result) -> None:
    found = result.explain("coffee", "coffee2")
    assert found.matched
    assert found.same_group
    assert found.titles == (POSTS["coffee"][0], POSTS["coffee2"][0])
    assert list(found.evidence) == list(result.pairs.evidence)
    assert found.evidence["hash"] == pytest.approx(1 - 2 / 64, abs=1e-4)
    holds(
        found,
        "coffee and coffee2 match.",
        "words in both titles: api, kapal, kopi, special",
        "words in one only: 165, 165gram, gr, mix",
        "differ in 2 of 64 bits",
        "average link put both into a group of",
        "cosine of the words",
        "after blending with sure neighbours",
    )


def test_it_reads_the_same_from_both_ends(result: Result) -> None:
    one, other = result.explain("coffee", "coffee3"), result.explain("coffee3", "coffee")
    assert one.evidence == other.evidence
    assert (one.matched, one.same_group) == (other.matched, other.same_group)
    assert (one.a, one.b) == (other.b, other.a)


def test_quantities_that_conflict(result: Result) -> None:
    found = result.explain("coffee", "coffee3")
    assert not found.matched
    assert found.evidence["conflict"] == 1
    assert found.evidence["similarity"] == 0
    holds(found, "do not match", "contradict each other: the unit veto sets", "quantities: 165 g | 380 g")
    off = run("advanced.fusion.veto=false").explain("coffee", "coffee3")
    holds(off, "contradict each other: the unit veto is off")
    assert off.evidence["similarity"] == pytest.approx(1, abs=0.2)


def test_posts_that_were_never_compared(result: Result) -> None:
    found = result.explain("coffee", "bag")
    assert found.evidence == {}
    assert not found.matched
    holds(found, "never compared", "words in both titles: none", "quantities: ", "| nothing", "kept their groups apart")
    assert "Evidence" not in str(found)


def test_evidence_that_a_post_lacks(result: Result) -> None:
    found = result.explain("coffee", "bare")
    assert found.evidence["word"] is None
    assert found.evidence["hash"] == 1
    holds(found, "missing", "left out, for a post lacks it: word, char")
    holds(result.explain("coffee", "plain"), "at least one post has no perceptual hash", "lacks it: hash")


def test_what_each_rule_says() -> None:
    threshold = ("rule=threshold", "advanced.decide.threshold=0.999", "advanced.decide.min2=0.3")
    assert "matches are the members" in str(run().explain("coffee", "coffee2"))
    close = run(*threshold).explain("coffee", "coffee2")
    holds(close, "is below the threshold 0.999; it reaches min2 0.300")
    holds(run(*threshold[:1]).explain("coffee", "coffee2"), "reaches the threshold 0.600")
    holds(run("rule=chisel").explain("coffee", "coffee2"), "chisel cuts the lists of all posts")
    holds(run("advanced.group.link=any").explain("coffee", "coffee2"), "connected components put both into a group")
    holds(run("target_size=2").explain("coffee", "coffee2"), "(target size 2)")
    pair = run("advanced.group.cut=0.99", "advanced.decide.min2=none").explain("coffee", "bag")
    holds(pair, "kept their groups apart: mean similarity between them 0.000, cut 0.990")


RULE = get_args(Config.model_fields["rule"].annotation)


@pytest.mark.parametrize("changes", [(), ("advanced.decide.mutual=true",), ("advanced.decide.cap=3",)])
@pytest.mark.parametrize("rule", RULE)
def test_what_a_rule_says_is_what_it_did(catalog: Catalog, rule: str, changes: tuple[str, ...]) -> None:
    config = Config.read(None, ["model=rules", f"rule={rule}", *changes])
    some = catalog.take(np.arange(60))
    if rule in LINKS:  # between two sources
        some = replace(some, sources=pl.Series([f"shop {row % 2}" for row in range(60)]))
    result = Matcher(config).match(some)
    drawn = np.random.default_rng(0).choice(len(result.pairs), min(15, len(result.pairs)), replace=False)
    for left, right in zip(result.pairs.left[drawn].tolist(), result.pairs.right[drawn].tolist(), strict=True):
        found = result.explain(catalog.ids[left], catalog.ids[right])
        told = "\n".join(found.reasons)
        assert ("threshold" in told, "F1" in told, "chisel" in told) == tuple(
            rule == name for name in ("threshold", "expected", "chisel")
        )
        if rule == "group":
            continue
        listed = [right in result.matches[left], left in result.matches[right]]
        expected = ("neither lists the other", "one of the two lists the other", "both list the other")[sum(listed)]
        assert expected in told
        if "reaches the threshold" in told and not all(listed):
            assert "both posts choose" in told or "lists are cut" in told


def test_every_rule_can_be_told() -> None:
    assert {*RULES_OF_MATCHES, *LINKS} == set(RULE)


def test_a_mean_similarity_is_that_of_the_pairs(catalog: Catalog) -> None:
    result = Matcher().match(catalog)
    group = int(result.groups.sizes().argmax())
    members = np.flatnonzero(result.groups.labels == group)
    i, j = members[:2].tolist()
    pairs = result.pairs
    similarity = np.zeros((len(catalog), len(catalog)))
    similarity[pairs.left, pairs.right] = similarity[pairs.right, pairs.left] = pairs.evidence["similarity"]
    means = [similarity[row, members].sum() / (len(members) - 1) for row in (i, j)]
    found = result.explain(catalog.ids[i], catalog.ids[j])
    holds(found, f"a group of {len(members)}", f"{means[0]:.3f} and {means[1]:.3f}")
    other = np.flatnonzero(result.groups.labels == (group + 1) % len(result.groups))
    between = similarity[np.ix_(members, other)].mean()
    holds(result.explain(catalog.ids[i], catalog.ids[int(other[0])]), f"between them {between:.3f}")


def test_as_a_dict_it_is_json(result: Result) -> None:
    for other in ("coffee2", "coffee3", "bag", "bare"):
        found = result.explain("coffee", other)
        tree = found.as_dict()
        assert set(tree) == {
            *("a", "b", "titles", "matched", "same_group", "evidence", "facts", "reasons", "contributions"),
            "difference",
        }
        back = json.loads(json.dumps(tree, allow_nan=False))
        assert back["evidence"] == found.evidence
        assert tuple(back["reasons"]) == found.reasons
        assert back["matched"] is found.matched


def test_vectors_are_named(catalog: Catalog, oracle_vectors: np.ndarray) -> None:
    from kembar import Embeddings

    result = Matcher(RULES).match(catalog, embeddings={"clip": Embeddings.of(oracle_vectors)})
    a, b = catalog.ids[int(result.pairs.left[0])], catalog.ids[int(result.pairs.right[0])]
    holds(result.explain(a, b), "cosine of the vectors 'clip'", "vectors 'clip', after blending")


def test_an_unknown_post_names_the_nearest(result: Result) -> None:
    with pytest.raises(CatalogError, match=r"'coffe9', which is not in the run.*Nearest: .*'coffee'"):
        result.explain("coffe9", "bag")
    with pytest.raises(CatalogError, match="'zzzzzz'"):
        result.explain("bag", "zzzzzz")


def test_a_post_and_itself_is_refused(result: Result) -> None:
    with pytest.raises(CatalogError, match="two different posts"):
        result.explain("bag", "bag")
