from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kembar
from kembar import Catalog, Config, Embeddings, EvidenceError, Matcher, Pairs, Result
from kembar.config import FUSION_RULES as RULES
from kembar.encoders.protocol import Encoder
from kembar.encoders.registry import open_encoder
from kembar.evidence.photo_hashes import with_photo_hashes
from kembar.grouping.average_link import average_link
from kembar.grouping.decision import decide, partition
from kembar.grouping.matches import within_groups
from kembar.plan import Clock
from kembar.posts.titles import normalize
from kembar.results.scores import b_cubed, score_edges
from properties import examples

RULE_OF_DECISION = ("group", "threshold", "chisel")


@cache
def title_encoder() -> Encoder:
    return open_encoder(Config().title_encoder)


KNOWN: dict[str, np.ndarray] = {}


def title_vectors(catalog: Catalog) -> np.ndarray:
    """What the encoder of the defaults makes of titles, each once: hundreds of runs here see the same ones."""
    titles = normalize(catalog.titles).to_list()
    new = sorted(set(titles) - set(KNOWN))
    KNOWN.update(zip(new, title_encoder().encode(new), strict=True))
    return np.stack([KNOWN[title] for title in titles])


def run(catalog: Catalog, *changes: str, **embeddings: np.ndarray) -> Result:
    """Match by the rules."""
    config = Config.read(None, ["model=rules", *changes])
    if config.title and len(catalog):
        embeddings = {"title": title_vectors(catalog), **embeddings}
    vectors = {name: Embeddings.of(given) for name, given in embeddings.items()}
    return Matcher(config).match(catalog, embeddings=vectors)


@pytest.fixture(scope="module")
def some(catalog: Catalog) -> Catalog:
    """150 posts: enough for what holds of any catalogue."""
    return catalog.take(np.arange(150))


def by_id(result: Result) -> tuple[dict[str, list[str]], dict[str, str], dict[tuple[str, str], tuple[float, ...]]]:
    """What was found, in ids alone."""
    ids = result.catalog.ids
    lists = {ids[row]: ids.gather(result.matches[row]).to_list() for row in range(len(result))}
    groups = dict(zip(ids.to_list(), result.groups.ids.gather(result.groups.labels).to_list(), strict=True))
    frame = result.pairs.frame(ids).fill_nan(None)  # NaN is not equal to itself
    names = frame.columns[2:]
    pairs = {tuple(sorted((row["left"], row["right"]))): tuple(row[n] for n in names) for row in frame.to_dicts()}
    return lists, groups, pairs  # type: ignore[return-value]


def check(result: Result) -> None:
    """Hold what must always hold."""
    n, cap = len(result), result.config.advanced.decide.cap
    assert len(result.matches) == len(result.groups.labels) == n
    offsets = result.matches.offsets
    assert (result.matches.rows[offsets[:-1]] == np.arange(n)).all()  # self first
    assert (np.diff(offsets) <= cap).all()
    for row in range(n):
        assert len(set(result.matches[row].tolist())) == len(result.matches[row])
    labels = result.groups.labels
    assert set(labels.tolist()) == set(range(len(result.groups.ids)))  # a partition, numbered densely
    assert all(result.catalog.ids[int(np.flatnonzero(labels == g)[0])] is not None for g in range(len(result.groups)))
    if result.config.rule == "group":
        source, target = result.matches.edges()
        assert (labels[source] == labels[target]).all()
        if not result.config.advanced.decide.mutual:
            assert np.array_equal(np.diff(offsets), np.minimum(result.groups.sizes()[labels], cap))
    similarity = result.pairs.evidence["similarity"]
    assert ((similarity >= 0) & (similarity <= 1)).all()


def edges_by_similarity(result: Result) -> list[list[float]]:
    pairs = result.pairs
    found = {(a, b): s for a, b, s in zip(pairs.left, pairs.right, pairs.evidence["similarity"], strict=True)}
    return [
        [float(found.get((min(row, m), max(row, m)), 0)) for m in result.matches[row][1:]] for row in range(len(result))
    ]


# --- the order of rows, threads, repetition


@pytest.mark.parametrize("rule", RULE_OF_DECISION)
@pytest.mark.parametrize("steps", [0, 2])
def test_the_order_of_rows_changes_nothing(some: Catalog, rule: str, steps: int) -> None:
    changes = (f"rule={rule}", f"advanced.blend.steps={steps}", "advanced.blend.search=true")
    expected = by_id(run(some, *changes))
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(len(some))
        assert by_id(run(some.take(order), *changes)) == expected


def test_the_order_of_rows_changes_nothing_with_vectors(some: Catalog, oracle_vectors: np.ndarray) -> None:
    expected = by_id(run(some, clip=oracle_vectors[:150]))
    order = np.random.default_rng(9).permutation(len(some))
    assert by_id(run(some.take(order), clip=oracle_vectors[order])) == expected


words = st.lists(st.sampled_from(["kopi", "teh", "susu", "1kg", "2kg", "merah", "isi 3", ""]), max_size=4)
hashes = st.sampled_from([None, "94974f937d4c2433", "94974f937d4c2432", "6b68b06c82b3dbcc"])


@examples(12)
@given(st.lists(st.tuples(words, hashes), min_size=1, max_size=14), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing_among_many_ties(posts: list[tuple[list[str], str | None]], chance) -> None:
    rows = [(f"p{i}", " ".join(title), photo) for i, (title, photo) in enumerate(posts)]
    rows.append(("last", "kopi", "94974f937d4c2433"))
    frame = pl.DataFrame(rows, schema=["posting_id", "title", "image_phash"], orient="row")
    few = ("title=false", "rule=threshold", "advanced.word.k=3", "advanced.char.k=2", "advanced.hash.k=2")
    first = run(Catalog.read(frame), *few)
    check(first)
    chance.shuffle(rows)
    again = pl.DataFrame(rows, schema=["posting_id", "title", "image_phash"], orient="row")
    assert by_id(run(Catalog.read(again), *few)) == by_id(first)


def test_threads_and_repetition_change_nothing(
    some: Catalog, oracle_vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for count in ("1", "3", "1"):
        monkeypatch.setenv("OMP_NUM_THREADS", count)
        settings = ("advanced.blend.steps=2", "advanced.blend.search=true")
        found.append(by_id(run(some, *settings, clip=oracle_vectors[:150])))
    assert found[0] == found[1] == found[2]


# --- every way through


@pytest.mark.parametrize("rule", RULE_OF_DECISION)
@pytest.mark.parametrize("link", ["average", "any"])
@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("expansion", [0, 2])
def test_every_way_through(some: Catalog, rule: str, link: str, steps: int, expansion: int) -> None:
    changes = (
        f"rule={rule}",
        f"advanced.group.link={link}",
        f"advanced.blend.steps={steps}",
        f"advanced.blend.expansion={expansion}",
    )
    result = run(some, *changes)
    check(result)
    assert result.scores()["f1"] > (0.45 if link == "any" else 0.6)  # among so few posts low cuts chain them
    for similarities in edges_by_similarity(result):
        assert similarities == sorted(similarities, reverse=True)  # best first


@pytest.mark.parametrize("fusion", RULES)
def test_every_rule_of_fusion(some: Catalog, fusion: str) -> None:
    result = run(some, f"advanced.fusion.rule={fusion}", "advanced.group.cut=0.3")
    check(result)
    assert result.scores()["pair_recall"] > 0.15


@pytest.mark.parametrize("rule", RULE_OF_DECISION)
def test_mutual_matches_are_symmetric_and_a_cap_holds(some: Catalog, rule: str) -> None:
    result = run(some, f"rule={rule}", "advanced.decide.mutual=true", "advanced.decide.cap=51")
    source, target = result.matches.edges()
    edges = set(zip(source.tolist(), target.tolist(), strict=True))
    assert edges == {(b, a) for a, b in edges}
    capped = run(some, f"rule={rule}", "advanced.decide.cap=3")
    check(capped)
    assert np.diff(capped.matches.offsets).max() == 3
    assert np.diff(run(some, "advanced.decide.cap=1").matches.offsets).max() == 1


def test_threshold_and_min2_decide_as_they_say(catalog: Catalog) -> None:
    result = run(
        catalog, "rule=threshold", "advanced.decide.threshold=0.7", "advanced.decide.min2=0.5", "advanced.pool.size=300"
    )
    assert result.config.advanced.decide.threshold == 0.7
    similarity = np.zeros((len(catalog), len(catalog)))
    pairs = result.pairs
    similarity[pairs.left, pairs.right] = similarity[pairs.right, pairs.left] = pairs.evidence["similarity"]
    for row in range(len(catalog)):
        near = set(np.flatnonzero(similarity[row] >= 0.7).tolist())
        if not near and similarity[row].max() >= 0.5:
            near = {int(similarity[row].argmax())}
        assert set(result.matches[row][1:].tolist()) == near


def test_cuts_move_with_the_pool(catalog: Catalog) -> None:
    fixed = run(catalog, "advanced.pool.slope=0", "advanced.group.cut=0.5")
    moved = run(catalog, f"advanced.pool.size={4 * len(catalog)}", "advanced.pool.slope=0.05", "advanced.group.cut=0.6")
    assert fixed.config.advanced.group.cut == moved.config.advanced.group.cut == 0.5
    assert moved.config.advanced.pool.size == len(catalog)


def test_groups_reach_a_target_size(catalog: Catalog) -> None:
    result = run(catalog, "target_size=3")
    assert len(catalog) / len(result.groups) == pytest.approx(3, rel=0.02)


def test_any_link_is_never_finer_than_average_link(some: Catalog) -> None:
    average, chained = run(some).groups, run(some, "advanced.group.link=any").groups
    for group in range(len(average)):
        assert len(set(chained.labels[average.labels == group].tolist())) == 1


def test_the_unit_veto_parts_sizes_of_one_product() -> None:
    titles = ["susu bubuk dancow 400 gr", "susu bubuk dancow 400 gram", "susu bubuk dancow 800 gr"]
    catalog = Catalog.read(pl.DataFrame({"posting_id": ["a", "b", "c"], "title": titles}))
    with_veto, without = (
        run(catalog, "advanced.group.cut=0.5"),
        run(catalog, "advanced.fusion.veto=false", "advanced.group.cut=0.3"),
    )
    assert with_veto.groups.labels.tolist() == [0, 0, 1]
    assert without.groups.labels.tolist() == [0, 0, 0]


def test_the_unit_veto_helps(catalog: Catalog) -> None:
    assert run(catalog).scores()["precision"] > run(catalog, "advanced.fusion.veto=false").scores()["precision"]


def test_a_direct_cut_and_a_single_cut_reach_the_decision(some: Catalog) -> None:
    direct = run(
        some,
        "rule=threshold",
        "advanced.decide.threshold=1",
        "advanced.decide.min2=none",
        "advanced.blend.direct.hash=1",
    )
    same = (direct.pairs.evidence["hash"] == 1) & (direct.pairs.evidence["conflict"] == 0)
    source, target = direct.matches.edges()
    found = set(zip(source.tolist(), target.tolist(), strict=True))
    assert set(zip(direct.pairs.left[same].tolist(), direct.pairs.right[same].tolist(), strict=True)) <= found
    strict = (
        "advanced.pool.slope=0",
        "advanced.fusion.rule=mean",
        "advanced.blend.threshold=0.99",
        "advanced.blend.min2=none",
    )
    single = run(some, *strict, "advanced.blend.single.hash=0.8", "advanced.blend.single.word=0.9")
    check(single)
    assert single.scores()["recall"] > run(some, *strict).scores()["recall"]


# --- missing evidence


def test_missing_evidence(posts: pl.DataFrame) -> None:
    some = pl.int_range(len(posts), eager=True) % 2 == 0
    shops = {
        "titles": posts.with_columns(image_phash=pl.lit(None, dtype=pl.String)),
        "photos": posts.with_columns(title=pl.lit("")),
        "half": posts.with_columns(
            title=pl.when(some).then(pl.col("title")), image_phash=pl.when(~some).then(pl.col("image_phash"))
        ),
        "most": posts.with_columns(image_phash=pl.when(some).then(pl.col("image_phash"))),
        "both": posts,
    }
    results = {name: run(Catalog.read(frame)) for name, frame in shops.items()}
    for result in results.values():
        check(result)
    f1 = {name: result.scores()["f1"] for name, result in results.items()}
    assert f1["titles"] > 0.7
    assert f1["both"] > f1["photos"] > 0.35
    assert f1["both"] > f1["half"] > 0.3
    half = results["half"]
    titled = half.catalog.has_titles
    assert (titled[half.pairs.left] == titled[half.pairs.right]).all()  # the two halves have nothing to compare


def test_photos_are_hashed_and_bad_ones_counted(shop, tmp_path) -> None:
    catalog = Catalog.read(shop / "posts.csv", images=shop / "photos")
    assert not catalog.hashed.any()
    hashed = with_photo_hashes(catalog, Config())
    assert hashed.hashed.all()
    assert with_photo_hashes(hashed, Config()) is hashed  # nothing left to do
    assert with_photo_hashes(catalog, Config.read(None, ["hash=false"])) is catalog
    names = pl.Series([name if row % 3 else f"no{row}.jpg" for row, name in enumerate(catalog.images)])
    broken = Catalog.read(catalog.frame().with_columns(image=names), images=shop / "photos")
    result = Matcher().match(broken)
    check(result)
    assert result.report["with"] == {"title": 60, "image": 60, "hash": 40, "label": 60}
    assert result.report["problems"]["posts"] == 20
    assert {row["part"] for row in result.report["problems"]["list"]} == {"image"}
    assert set(result.catalog.problems["posting_id"]) == set(catalog.ids.gather_every(3))


def test_given_hashes_are_kept_and_only_missing_ones_computed(shop) -> None:
    frame = Catalog.read(shop / "posts.csv").frame()
    given = pl.Series(["94974f937d4c2433" if row % 2 else None for row in range(len(frame))])
    catalog = Catalog.read(frame.with_columns(image_phash=given), images=shop / "photos")
    hashed = with_photo_hashes(catalog, Config())
    assert (hashed.hashes[1::2] == 0x94974F937D4C2433).all()
    computed = with_photo_hashes(Catalog.read(frame, images=shop / "photos"), Config())
    assert np.array_equal(hashed.hashes[::2], computed.hashes[::2])


# --- vectors of the user


def test_vectors_are_a_view_and_help(catalog: Catalog, oracle_vectors: np.ndarray) -> None:
    plain, with_vectors = run(catalog), run(catalog, clip=oracle_vectors)
    check(with_vectors)
    assert {"clip", "clip_blended"} <= set(with_vectors.pairs.evidence)
    assert with_vectors.scores()["oracle_f1"] >= plain.scores()["oracle_f1"]
    others = [f"{name}=false" for name in ("word", "char", "title", "hash")]
    alone = run(catalog, *others, clip=oracle_vectors)
    assert set(alone.pairs.evidence) == {"clip", "clip_blended", "conflict", "similarity"}
    alone = [f"{name}=false" for name in ("word", "char", "title")]
    cut = ("rule=threshold", "advanced.decide.threshold=0.75", "advanced.pool.slope=0", *alone)
    helped = run(catalog, *cut, "vectors.clip.modality=title", clip=oracle_vectors).scores()
    assert helped["f1"] > run(catalog, *cut).scores()["f1"] + 0.1


def test_vectors_of_some_posts_only(catalog: Catalog, oracle_vectors: np.ndarray) -> None:
    some = oracle_vectors.copy()
    some[::2] = 0
    result = run(catalog, clip=some)
    check(result)
    lacking = (result.pairs.left % 2 == 0) | (result.pairs.right % 2 == 0)
    assert np.array_equal(np.isnan(result.pairs.evidence["clip"]), lacking)


def test_vectors_that_do_not_fit_are_refused(catalog: Catalog, oracle_vectors: np.ndarray) -> None:
    with pytest.raises(EvidenceError, match="299 vectors 'clip' for 300 posts"):
        run(catalog, clip=oracle_vectors[:299])
    with pytest.raises(EvidenceError, match="vectors named 'word'"):
        run(catalog, word=oracle_vectors)


# --- how good


def test_f1_on_drawn_photos_with_the_defaults(pictured: Catalog) -> None:
    assert run(pictured).scores()["f1"] > 0.84  # 0.866 when written


def test_f1_on_drawn_photos_is_above_that_of_every_single_view(pictured: Catalog) -> None:
    def best(*changes: str) -> float:
        """The F1 of the best cut."""
        ends = run(pictured, *changes, "advanced.pool.slope=0").pairs
        left, right, similarity = ends.left, ends.right, ends.evidence["similarity"]
        found = []
        for cut in (0.45, 0.5, 0.55, 0.6):
            groups = average_link(left, right, similarity, len(pictured), cut=cut)
            source, target, _ = within_groups(groups, left, right, similarity)
            found.append(score_edges(source, target, pictured.labels).f1)
        return max(found)

    together = best()
    assert together > 0.9  # 0.915 when written
    views = ("word", "char", "title", "hash")
    for view in views:
        assert together > best(*(f"{other}=false" for other in views if other != view)) + 0.03, view


def test_f1_on_real_posts(shopee: Catalog) -> None:
    scores = run(shopee).scores()
    print(scores)
    assert scores["f1"] > 0.75
    assert scores["oracle_f1"] > 0.9


# --- the parts


def test_decide_and_partition_on_pairs_alone() -> None:
    left, right = np.array([0, 0, 1, 3]), np.array([1, 2, 2, 4])
    pairs = Pairs(left, right, {"similarity": np.array([0.9, 0.1, 0.7, 0.5], dtype=np.float32)})
    shares = np.array([0, 0.4, 0.6])

    def lists(*changes: str) -> list[set[int]]:
        (source, target, _), _ = decide(pairs, 6, Config.read(None, ["model=rules", *changes]), shares)
        return [set(target[source == row].tolist()) for row in range(6)]

    assert lists("rule=threshold", "advanced.decide.threshold=0.6", "advanced.decide.min2=0.4") == [
        {1},
        {0, 2},
        {1},
        {4},
        {3},
        set(),
    ]
    assert lists("rule=threshold", "advanced.decide.threshold=0.6", "advanced.decide.min2=none") == [
        {1},
        {0, 2},
        {1},
        set(),
        set(),
        set(),
    ]
    assert lists("advanced.group.cut=0.8") == [{1}, {0}, set(), set(), set(), set()]
    assert lists("advanced.group.cut=0.6", "advanced.group.link=any") == [{1, 2}, {0, 2}, {0, 1}, set(), set(), set()]
    assert partition(pairs, 6, Config.read(None, ["model=rules", "advanced.group.cut=0.39"])).tolist() == [
        0,
        0,
        0,
        1,
        1,
        2,
    ]
    assert sorted(map(len, lists("rule=chisel"))) == [0, 0, 1, 1, 1, 1]


def test_a_vetoed_pair_never_fills_a_list() -> None:
    pairs = Pairs(np.array([0]), np.array([1]), {"similarity": np.zeros(1, dtype=np.float32)})
    for rule in RULE_OF_DECISION:
        edges, labels = decide(pairs, 2, Config.read(None, ["model=rules", f"rule={rule}"]), np.array([0, 0, 1.0]))
        assert len(edges[0]) == 0, rule
        assert labels.tolist() == [0, 1]


def test_progress_names_the_stages_in_order(catalog: Catalog) -> None:
    heard: list[str] = []
    result = Matcher().match(catalog, progress=lambda stage, done, total: heard.append(stage))
    stages = ["photo hashes", "placeholders", "encoders", "settings", "copies", "vectors", "neighbours", "blending"]
    stages += ["classifier", "identifiers", "decisions", "results"]
    assert [stage for stage in heard if stage != "encode titles"] == stages == list(result.seconds)
    assert all(value >= 0 for value in result.seconds.values())
    assert result.peak_memory > 10 * 2**20


def test_a_clock_adds_up_and_keeps_what_failed_out() -> None:
    clock = Clock()
    for _ in range(2):
        with clock.stage("a"):
            pass
    with pytest.raises(ValueError, match="no"), clock.stage("b"):
        raise ValueError("no")
    assert list(clock.seconds) == ["a"]


def test_scores_agree_with_the_plain_functions(catalog: Catalog) -> None:
    result = run(catalog)
    assert catalog.labels is not None
    source, target = result.matches.edges()
    assert result.scores()["f1"] == score_edges(source, target, catalog.labels).f1
    assert result.scores()["b3_f1"] == b_cubed(result.groups.labels, catalog.labels)["b3_f1"]


def test_an_empty_catalogue_is_refused(catalog: Catalog) -> None:
    with pytest.raises(EvidenceError):
        run(catalog.take([]))


@pytest.mark.parametrize("buckets", [2, 7])
@pytest.mark.parametrize("model", ["rules", "kembar-classifier"])
def test_the_number_of_buckets_changes_nothing(some, oracle_vectors, buckets, model):
    config = Config(model=model)
    embeddings = {"clip": Embeddings.of(oracle_vectors[:150])}
    one = Matcher(config).match(some, embeddings=embeddings)
    many = Matcher(config, buckets=buckets).match(some, embeddings=embeddings)
    assert one.matches.frame(some.ids).equals(many.matches.frame(some.ids))
    assert one.groups_frame().equals(many.groups_frame())
    assert one.pairs.frame(some.ids).equals(many.pairs.frame(some.ids), null_equal=True)


def test_photos_are_hashed_and_encoded_the_same_in_buckets(shop):
    posts = pl.read_csv(shop / "posts.csv").drop("image_phash", strict=False)
    catalog = Catalog.read(posts, images=shop / "photos")
    one, many = (Matcher(Config(model="rules"), buckets=buckets).match(catalog) for buckets in (1, 3))
    assert one.pairs.frame(catalog.ids).equals(many.pairs.frame(catalog.ids), null_equal=True)


def test_the_whole_way_in_one_line(shop):
    result = kembar.match(shop / "posts.csv", images=shop / "photos")
    assert len(result) == 60
    assert result.scores()["f1"] > 0.5
