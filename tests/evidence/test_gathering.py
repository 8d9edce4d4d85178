from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from kembar import Catalog, Config, Embeddings, EvidenceError
from kembar.config import FUSION_RULES as RULES
from kembar.evidence.gathering import CONFLICT, Evidence, blended, fused, gather
from kembar.evidence.pairs import BLENDED, SIMILARITY, Pairs
from kembar.evidence.views import DenseView, HashView, SparseView, build_views
from kembar.matcher import Matcher
from kembar.posts.titles import normalize

ALIKE = "94974f937d4c2433"
OTHER = "6b68b06c82b3dbcc"  # every bit of it differs from ALIKE


def of(settings: Sequence[str] = ()) -> Config:
    return Config.read(None, settings)


def evidence_of(posts: pl.DataFrame | Catalog, config: Config, **embeddings: np.ndarray) -> Evidence:
    catalog = posts if isinstance(posts, Catalog) else Catalog.read(posts)
    return Matcher.evidence(catalog, config, {name: Embeddings.of(vectors) for name, vectors in embeddings.items()})


def shelf(titles: Sequence[str | None], hashes: Sequence[str | None] | None = None) -> pl.DataFrame:
    columns = {"posting_id": [f"p{i}" for i in range(len(titles))], "title": titles}
    return pl.DataFrame(columns if hashes is None else {**columns, "image_phash": hashes})


def at(pairs: Pairs, left: int, right: int, column: str = SIMILARITY) -> float:
    found = np.flatnonzero((pairs.left == left) & (pairs.right == right))
    assert len(found) == 1, f"{left}, {right} is no candidate"
    return float(pairs.evidence[column][found[0]])


def slow_fused(pairs: Pairs, config: Config, suffix: str = "") -> np.ndarray:
    """The soft or of a weighted mean within title and photo, pair by pair."""
    floors = {
        "word": config.advanced.word.floor,
        "char": config.advanced.char.floor,
        "hash": config.advanced.hash.floor,
    }
    weights = {
        "word": config.advanced.word.weight,
        "char": config.advanced.char.weight,
        "hash": config.advanced.hash.weight,
    }
    values = []
    for row in range(len(pairs)):
        none_alike = 1.0
        for views in (("word", "char"), ("hash",)):
            total = weight = 0.0
            for name in views:
                similarity = float(pairs.evidence.get(name + suffix, pairs.evidence[name])[row])
                if not np.isnan(similarity):
                    total += weights[name] * min(1.0, max(0.0, (similarity - floors[name]) / (1 - floors[name])))
                    weight += weights[name]
            none_alike *= 1 - (total / weight if weight else 0.0)
        values.append(1 - none_alike)
    return np.array(values)


def slow_blended(evidence: Evidence, config: Config) -> dict[str, np.ndarray]:
    """Blend with dense matrices, post by post."""
    n, similarity = evidence.posts, np.zeros((evidence.posts, evidence.posts))
    pairs = evidence.pairs
    similarity[pairs.left, pairs.right] = similarity[pairs.right, pairs.left] = pairs.evidence[SIMILARITY]
    found = {}
    for view in evidence.views:
        if isinstance(view, SparseView):
            rows = view.vectors.toarray().astype(float)
            new = rows.copy()
            for i in range(n):
                sure = np.flatnonzero(similarity[i] >= config.advanced.blend.threshold)
                if (
                    not len(sure)
                    and config.advanced.blend.min2 is not None
                    and similarity[i].max() >= config.advanced.blend.min2
                ):
                    sure = np.array([similarity[i].argmax()])
                new[i] += similarity[i, sure] @ rows[sure]
                new[i] /= np.linalg.norm(new[i]) or 1
            found[view.name] = new @ new.T
    return found


# --- before blending


def test_candidates_are_the_neighbours_of_all_views(catalog: Catalog) -> None:
    evidence = evidence_of(catalog, Config())
    expected = set()
    for near in evidence.neighbors:
        for row, others in enumerate(near.index):
            expected |= {(min(row, int(o)), max(row, int(o))) for o in others if o >= 0 and o != row}
    assert set(zip(evidence.pairs.left.tolist(), evidence.pairs.right.tolist(), strict=True)) == expected
    assert list(evidence.pairs.evidence) == ["word", "char", "hash", CONFLICT, SIMILARITY]


def test_similarity_equals_a_slow_twin(catalog: Catalog) -> None:
    config = of(["advanced.word.weight=3", "advanced.char.floor=0.1", "advanced.fusion.veto=false"])
    pairs = evidence_of(catalog, config).pairs
    assert np.allclose(pairs.evidence[SIMILARITY], slow_fused(pairs, config), atol=1e-5)


def test_the_unit_veto_sets_conflicting_pairs_to_0_and_no_other(catalog: Catalog) -> None:
    config = Config()
    pairs = evidence_of(catalog, config).pairs
    conflict = pairs.evidence[CONFLICT] == 1
    assert 0 < conflict.sum() < len(pairs) / 2
    expected = np.where(conflict, 0, slow_fused(pairs, config))
    assert np.allclose(pairs.evidence[SIMILARITY], expected, atol=1e-5)


def test_categories_limit_the_veto() -> None:
    posts = shelf(["susu bubuk anak 400 gr", "susu bubuk anak 800 gr"])
    assert at(evidence_of(posts, Config()).pairs, 0, 1) == 0
    assert at(evidence_of(posts, of(['categories=["volume", "pieces"]'])).pairs, 0, 1) > 0.5


def test_missing_evidence_is_left_out_and_not_a_zero() -> None:
    posts = shelf(["kopi hitam kapal", "kopi hitam kapal", "kopi hitam kapal", None], [ALIKE, OTHER, None, ALIKE])
    pairs = evidence_of(posts, of(["advanced.fusion.rule=mean", "advanced.hash.radius=64"])).pairs
    assert at(pairs, 0, 2) == pytest.approx(1)  # the titles alone
    assert at(pairs, 0, 3) == pytest.approx(1)  # the photos alone
    assert at(pairs, 0, 1) == pytest.approx(0.5)  # both, and the photos have nothing in common
    assert np.isnan(at(pairs, 0, 2, "hash"))
    assert np.isnan(at(pairs, 0, 3, "word"))
    assert (2, 3) not in set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))  # nothing to compare


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_stays_in_range_and_knows_twins(rule: str) -> None:
    posts = shelf(["kopi hitam kapal api", "kopi hitam kapal api", "tas sekolah anak"], [ALIKE, ALIKE, OTHER])
    pairs = evidence_of(posts, of([f"advanced.fusion.rule={rule}"])).pairs
    assert at(pairs, 0, 1) == pytest.approx(1)
    assert ((pairs.evidence[SIMILARITY] >= 0) & (pairs.evidence[SIMILARITY] <= 1)).all()


def test_union_takes_a_cut_for_each_modality() -> None:
    posts = shelf(["kopi hitam kapal api", "kopi hitam besar luwak"], [ALIKE, OTHER])
    config = of(
        [
            "advanced.fusion.rule=union",
            "advanced.fusion.thresholds.title=0.3",
            "advanced.fusion.thresholds.photo=0.9",
            "char=false",
        ]
    )
    pairs = evidence_of(posts, config).pairs
    assert at(pairs, 0, 1) == pytest.approx(at(pairs, 0, 1, "word") / 0.3 / 2, abs=1e-5)


def test_weights_and_floors_of_views() -> None:
    posts = shelf(["kopi hitam kapal api", "kopi hitam kapal luwak"])
    plain = evidence_of(posts, of(["advanced.fusion.rule=mean", "advanced.word.weight=3"])).pairs
    word, char = at(plain, 0, 1, "word"), at(plain, 0, 1, "char")
    assert at(plain, 0, 1) == pytest.approx((3 * word + char) / 4, abs=1e-5)
    floored = evidence_of(posts, of(["char=false", f"advanced.word.floor={word / 2}"])).pairs
    assert at(floored, 0, 1) == pytest.approx((word - word / 2) / (1 - word / 2), abs=1e-5)


def test_views_follow_the_configuration_and_what_posts_have(catalog: Catalog, oracle_vectors: np.ndarray) -> None:
    titles = normalize(catalog.titles)
    brought = {"clip": Embeddings.of(oracle_vectors), "none": Embeddings.of(np.zeros((len(catalog), 4)))}

    def names(*settings: str) -> list[str]:
        return [view.name for view in build_views(catalog, titles, of(settings), brought)]

    assert names() == ["word", "char", "clip", "hash"]
    assert names("word=false", "hash=false") == ["char", "clip"]
    assert names("vectors.clip.modality=title") == ["word", "char", "clip", "hash"]
    assert names("vectors.clip.use=false", "char=false") == ["word", "hash"]
    views = build_views(
        catalog, titles, of(["vectors.clip.k=7", "vectors.clip.weight=2", "advanced.hash.radius=5"]), brought
    )
    assert [type(view) for view in views] == [SparseView, SparseView, DenseView, HashView]
    assert isinstance(views[2], DenseView)
    assert isinstance(views[3], HashView)
    assert (views[2].k, views[2].weight, views[2].modality, views[3].radius) == (7, 2, "photo", 5)


def test_query_expansion_by_the_post_alone_changes_nothing_and_by_more_does(catalog: Catalog) -> None:
    plain = evidence_of(catalog, Config()).pairs
    alone = evidence_of(catalog, of(["advanced.blend.expansion=1"])).pairs
    assert np.array_equal(plain.left, alone.left)
    assert np.allclose(plain.evidence["word"], alone.evidence["word"], atol=1e-5, equal_nan=True)
    near = evidence_of(catalog, of(["advanced.blend.expansion=3"])).pairs
    strong = near.evidence["word"] > 0.6
    both = {(a, b) for a, b in zip(plain.left.tolist(), plain.right.tolist(), strict=True)}
    kept = [i for i in np.flatnonzero(strong) if (near.left[i], near.right[i]) in both][:50]
    changes = [near.evidence["word"][i] - at(plain, near.left[i], near.right[i], "word") for i in kept]
    assert np.mean(changes) > 0.01


def test_nothing_to_compare_is_refused() -> None:
    for posts in (shelf(["", None]), shelf([" ", "!!"], None)):
        config = of(["hash=false"])
        catalog = Catalog.read(posts)
        views = () if posts["title"][0] == "" else build_views(catalog, normalize(catalog.titles), config, {})
        if views:
            assert len(gather(views, normalize(catalog.titles), config).pairs) == 0
        else:
            with pytest.raises(EvidenceError, match="at least one kind of evidence"):
                gather(views, normalize(catalog.titles), config)


@pytest.mark.parametrize("name", ["word", "hash", "similarity", "conflict", "left", "clip_blended", ""])
def test_vectors_under_the_name_of_other_evidence_are_refused(name: str) -> None:
    with pytest.raises(EvidenceError, match="another name"):
        evidence_of(shelf(["kopi", "teh"], [ALIKE, ALIKE]), Config(), **{name: np.eye(2)})


# --- blending


def test_no_step_changes_nothing(catalog: Catalog) -> None:
    evidence = evidence_of(catalog, Config())
    assert blended(evidence, of(["advanced.blend.steps=0"])) is evidence.pairs


@pytest.mark.parametrize("search", ["true", "false"])
@pytest.mark.parametrize("min2", ["none", "0.3"])
def test_one_step_equals_a_slow_twin(catalog: Catalog, min2: str, search: str) -> None:
    settings = [f"advanced.blend.min2={min2}", "advanced.blend.threshold=0.6", "advanced.blend.keep=0.4"]
    config = of([*settings, f"advanced.blend.search={search}"])
    evidence = evidence_of(catalog, config)
    pairs = blended(evidence, config)
    for name, cosines in slow_blended(evidence, config).items():
        both = ~np.isnan(pairs.evidence[name + BLENDED])
        expected = cosines[pairs.left[both], pairs.right[both]]
        assert np.allclose(pairs.evidence[name + BLENDED][both], expected, atol=1e-5)
    mixture = 0.4 * slow_fused(pairs, config) + 0.6 * slow_fused(pairs, config, BLENDED)
    expected = np.where(pairs.evidence[CONFLICT] == 1, 0, mixture)
    assert np.allclose(pairs.evidence[SIMILARITY], expected, atol=1e-5)
    assert "hash" + BLENDED not in pairs.evidence


def test_blending_adds_candidates_where_it_searches_and_takes_none(catalog: Catalog) -> None:
    evidence = evidence_of(catalog, Config())
    before = set(zip(evidence.pairs.left.tolist(), evidence.pairs.right.tolist(), strict=True))
    sizes = []
    for steps in range(3):
        settings = [f"advanced.blend.steps={steps}"]
        pairs = blended(evidence, of([*settings, "advanced.blend.search=true"]))
        assert blended(evidence, of(settings)).left.tolist() == evidence.pairs.left.tolist()
        after = set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
        assert before <= after
        sizes.append(len(after))
    assert sizes[0] < sizes[1]


def test_keeping_all_of_the_unblended_similarity_is_the_unblended_similarity(catalog: Catalog) -> None:
    config = of(["advanced.blend.keep=1"])
    evidence = evidence_of(catalog, config)
    pairs = blended(evidence, config)
    expected = np.where(pairs.evidence[CONFLICT] == 1, 0, fused(pairs, evidence.views, config))
    assert np.allclose(pairs.evidence[SIMILARITY], expected)


@pytest.mark.parametrize(("quantities", "blends"), [(("", ""), True), (("400 gr", "800 gr"), False)])
def test_a_single_view_makes_a_sure_neighbour_unless_quantities_conflict(
    quantities: tuple[str, str], blends: bool
) -> None:
    titles = [f"susu bubuk anak {quantities[0]}", f"minuman bubuk sehat {quantities[1]}", "minuman susu sehat", "sabun"]
    posts = shelf(titles, [ALIKE, ALIKE, OTHER, OTHER])
    settings = [
        "advanced.fusion.rule=mean",
        "advanced.blend.threshold=0.95",
        "advanced.blend.min2=none",
        "advanced.hash.weight=1",
    ]
    evidence = evidence_of(posts, of(settings))
    assert at(evidence.pairs, 0, 1) < 0.95
    plain = blended(evidence, of(settings))
    lifted = blended(evidence, of([*settings, "advanced.blend.single.hash=0.9"]))
    assert at(plain, 0, 1, "word" + BLENDED) == pytest.approx(at(plain, 0, 1, "word"), abs=1e-5)
    gain = at(lifted, 0, 1, "word" + BLENDED) - at(plain, 0, 1, "word" + BLENDED)
    assert gain > 0.3 if blends else gain == pytest.approx(0, abs=1e-6)


def test_a_direct_cut_makes_a_certain_pair_unless_quantities_conflict(catalog: Catalog) -> None:
    posts = pl.concat([catalog.frame(), catalog.frame().with_columns(posting_id=pl.col("posting_id") + "b")])
    posts = posts.with_columns(title=pl.col("title") + pl.Series([f" {1 + row % 2} kg" for row in range(len(posts))]))
    evidence = evidence_of(posts, Config())
    plain = blended(evidence, Config()).evidence[SIMILARITY]
    pairs = blended(evidence, of(["advanced.blend.direct.hash=0.9"]))
    scaled = (pairs.evidence["hash"] - Config().advanced.hash.floor) / (1 - Config().advanced.hash.floor)
    reached, conflict = scaled >= 0.9, pairs.evidence[CONFLICT] == 1
    assert (reached & conflict).any()
    assert (reached & ~conflict & (plain < 1)).any()
    assert (pairs.evidence[SIMILARITY][reached & ~conflict] == 1).all()
    assert (pairs.evidence[SIMILARITY][conflict] == 0).all()
    assert np.array_equal(pairs.evidence[SIMILARITY][~reached], plain[~reached])


@pytest.mark.parametrize("part", ["single", "direct"])
def test_a_cut_for_an_unknown_view_is_refused_and_for_one_that_posts_lack_is_not(part: str) -> None:
    posts = shelf(["kopi hitam", "kopi hitam"])
    evidence = evidence_of(posts, Config())
    assert at(blended(evidence, of([f"blend.{part}.hash=0.9"])), 0, 1) == pytest.approx(1)
    assert at(blended(evidence, of([f"blend.{part}.clip=0.9", "vectors.clip.k=9"])), 0, 1) == pytest.approx(1)
    with pytest.raises(EvidenceError, match=r"cut for view 'hsh'.*word, char, title, hash, photo"):
        blended(evidence, of([f"blend.{part}.hsh=0.9"]))


def test_posts_whose_lists_are_full_in_some_view_are_cut_off() -> None:
    posts = shelf(["kopi susu"] * 5 + ["teh manis", "teh manis", "jahe"], [ALIKE] * 3 + [OTHER] * 5)
    settings = ["title=false", "char=false", "model=rules", "advanced.word.k=4", "advanced.hash.k=6"]
    assert evidence_of(posts, of(settings)).cut_off().tolist() == [True] * 5 + [False] * 3
    assert not evidence_of(posts, of([*settings, "advanced.word.k=6"])).cut_off().any()
