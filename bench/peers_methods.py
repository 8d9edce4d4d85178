"""The programs that bench/peers.py compares: each makes scored candidate pairs, with its own default threshold.

A peer gets the titles, prices and hashes (or photos) that kembar gets, and no label. What is needed to run it and its
documentation leaves open (which pairs to compare, which columns) is written here, beside it.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from peers_sets import Posts

Rows = np.ndarray
NEAREST = 50  # neighbours of each post, as in Kaggle's notebooks
CDIST_MOST = 10_000  # posts up to which rapidfuzz compares all pairs
SEED = 1


class CannotRunError(Exception):
    """A peer has nothing to work with in a set."""


@dataclass(frozen=True)
class Inputs:
    """What a peer runs on, beside the posts."""

    data: Path
    classifiers: Path | None
    encoders: Path | None

    def encoder(self, posts: Posts) -> str:
        """The title encoder of kembar; for Shopee posts one that has not learned from them, where it is given."""
        fold = posts.name.removeprefix("shopee")
        return str(self.encoders / f"encoder{fold}") if self.encoders and fold.isdigit() else "kembar-title"


@dataclass(frozen=True)
class Found:
    """Scored pairs, each unordered pair once; for kembar also its own lists."""

    left: Rows
    right: Rows
    score: Rows
    edges: tuple[Rows, Rows] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """A program to compare with.

    Attributes:
        run: makes the pairs.
        packages: whose versions are told.
        default: the threshold; None: the lists are its own.
        source: where the default comes from.
        min2: also score lists that always hold the nearest post.
        shown: how a threshold is written.
    """

    run: Callable[[Posts, Inputs], Found]
    packages: tuple[str, ...]
    default: float | None
    source: str
    min2: bool = False
    shown: Callable[[float], str] = "{:.2f}".format


def titles_of(posts: Posts) -> list[str]:
    """The titles in lower case, blanks as one blank."""
    titles = [" ".join(title.lower().split()) for title in posts.column("title") or []]
    if not any(titles):
        raise CannotRunError("no titles in this set")
    return titles


def once(left: Rows, right: Rows, score: Rows) -> Found:
    """Each unordered pair once, with its highest score."""
    low, high = np.minimum(left, right).astype(np.int64), np.maximum(left, right).astype(np.int64)
    order = np.lexsort((-score, high, low))
    low, high, score = low[order], high[order], score[order]
    new = np.ones(len(low), bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    new &= low != high
    return Found(low[new], high[new], score[new])


def equal(values: Sequence[str]) -> Found:
    """All pairs of posts with the same value; empty ones are equal to none."""
    code = np.unique(np.array(values), return_inverse=True)[1]
    order = np.argsort(code, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(code[order])) + 1)
    groups = [part for part in parts if len(part) > 1 and values[part[0]]]
    ends = [np.array(np.triu_indices(len(part), 1)) for part in groups]
    left = np.concatenate([part[end[0]] for part, end in zip(groups, ends, strict=True)] or [np.zeros(0, np.int64)])
    right = np.concatenate([part[end[1]] for part, end in zip(groups, ends, strict=True)] or [np.zeros(0, np.int64)])
    return once(left, right, np.ones(len(left)))


# ---- pandas, TF-IDF, Kaggle ------------------------------------------------------------------------------------------


def pandas_equal(posts: Posts, _: Inputs) -> Found:
    """Posts that drop_duplicates would take for copies."""
    import pandas as pd

    frame = pd.DataFrame({"title": titles_of(posts)})
    copies = frame.groupby("title", sort=False).ngroup().astype(str)
    return equal(np.where(frame.duplicated(keep=False) & (frame["title"] != ""), copies, "").tolist())


def cosines(titles: Sequence[str], vectorizer: Any) -> Found:
    """The nearest titles of each by the cosine of their vectors."""
    from sparse_dot_topn import sp_matmul_topn

    vectors = vectorizer.fit_transform(titles).tocsr()
    near = sp_matmul_topn(vectors, vectors.T.tocsr(), top_n=NEAREST + 1, n_threads=1).tocoo()
    return once(near.row, near.col, near.data)


def word_tfidf(posts: Posts, _: Inputs) -> Found:
    """scikit-learn's TfidfVectorizer with its defaults."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return cosines(titles_of(posts), TfidfVectorizer())


def char_tfidf(posts: Posts, _: Inputs) -> Found:
    """Character 3-grams over everything but blanks and , - . / as string_grouper takes them."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    titles = [re.sub(r"[,\-./]|\s", "", title) for title in titles_of(posts)]
    return cosines(titles, TfidfVectorizer(analyzer="char", ngram_range=(3, 3)))


def kaggle(posts: Posts, _: Inputs) -> Found:
    """Equal perceptual hash (score 1) or TF-IDF without English stop words, binary, 25,000 words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    parts, hashes = [], hashes_of(posts)
    if hashes is not None:
        parts.append(equal(hashes))
    if any(posts.column("title") or []):
        vectorizer = TfidfVectorizer(stop_words="english", binary=True, max_features=25_000)
        parts.append(cosines(titles_of(posts), vectorizer))
    return once(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("left", "right", "score")))


def hashes_of(posts: Posts) -> list[str] | None:
    """The perceptual hashes that come with the posts, or those of the photos; None where there are neither."""
    if posts.photos is None:
        return posts.column("image_phash")
    from imagededup.methods import PHash

    hasher = PHash(verbose=False)
    return [hasher.encode_image(posts.photos / name) for name in posts.column("image") or []]


# ---- rapidfuzz, imagededup, SemHash ----------------------------------------------------------------------------------


def rapidfuzz_by(name: str) -> Callable[[Posts, Inputs], Found]:
    """A scorer of rapidfuzz on all pairs, or among the nearest by word TF-IDF where all are too many."""

    def run(posts: Posts, _: Inputs) -> Found:
        from rapidfuzz import fuzz, process, utils

        titles, scorer = [utils.default_process(title) for title in titles_of(posts)], getattr(fuzz, name)
        if len(titles) > CDIST_MOST:
            near = word_tfidf(posts, _)
            pairs = zip(near.left.tolist(), near.right.tolist(), strict=True)
            score = np.array([scorer(titles[a], titles[b]) for a, b in pairs])
            return Found(near.left, near.right, score, facts={"pairs": "the 50 nearest by word TF-IDF"})
        table = process.cdist(titles, titles, scorer=scorer, dtype=np.uint8, workers=1)
        np.fill_diagonal(table, 0)
        near = np.argpartition(-table.astype(np.int16), NEAREST, axis=1)[:, :NEAREST]
        rows = np.repeat(np.arange(len(titles)), NEAREST)
        return once(rows, near.ravel(), table[rows, near.ravel()].astype(float))

    return run


def imagededup(posts: Posts, _: Inputs) -> Found:
    """Hamming distances of perceptual hashes up to 20: of the photos, or of the hashes that come with the posts."""
    from imagededup.methods import PHash

    hashes = hashes_of(posts)
    if hashes is None:
        raise CannotRunError("no photos in this set")
    named = {str(at): value for at, value in enumerate(hashes) if value}
    found = PHash(verbose=False).find_duplicates(
        encoding_map=named, max_distance_threshold=20, scores=True, num_dist_workers=0
    )
    triples = [(int(a), int(b), -distance) for a, near in found.items() for b, distance in near]
    return once(*np.array(triples).T)


def semhash(posts: Posts, inputs: Inputs) -> Found:
    """SemHash's index, its vectors by kembar's title encoder: the model it loads by default stands on a hub."""
    from semhash import SemHash

    records = [{"text": title, "row": str(row)} for row, title in enumerate(titles_of(posts))]
    made = SemHash.from_records(records, columns=["text"], model=TitleModel(inputs.encoder(posts)))
    index, triples = made.index, []
    rows = [[int(record["row"]) for record in item] for item in index.items]
    units = index.vectors / np.maximum(np.linalg.norm(index.vectors, axis=1, keepdims=True), 1e-9)
    for item, (near, _) in enumerate(index.query_threshold(index.vectors, threshold=0.4)):
        score = units[near] @ units[item]
        triples += [(a, b, s) for a in rows[item] for at, s in zip(near, score, strict=True) for b in rows[at]]
        triples += [(a, b, 1.0) for a in rows[item] for b in rows[item]]
    left, right, score = np.array(triples).T
    return once(left, right, score)


class TitleModel:
    """kembar's title encoder under the name that SemHash calls."""

    def __init__(self, name: str) -> None:
        from kembar.encoders.registry import open_encoder

        self.encoder = open_encoder(name)

    def encode(self, inputs: Sequence[str], **_: Any) -> np.ndarray:
        """One vector per title."""
        import polars as pl

        from kembar.posts.titles import normalize

        return self.encoder.encode(normalize(pl.Series(list(inputs), dtype=pl.String)).to_list())


# ---- dedupe, Splink --------------------------------------------------------------------------------------------------

TAUGHT = "promap_en"  # the market whose labelled pairs dedupe learns from


def dedupe(posts: Posts, inputs: Inputs) -> Found:
    """Run dedupe with the columns of its own Abt-Buy example, taught by the labelled pairs of another market."""
    from dedupe import Dedupe, variables

    titles, prices = titles_of(posts), posts.prices()
    fields = [variables.String("title"), variables.Text("title", corpus=titles)]
    if prices:
        fields.append(variables.Price("price", has_missing=True))
    program, pairs = Dedupe(fields, num_cores=0), list(taught(inputs.data / "markets" / TAUGHT))
    program.classifier.n_jobs = 1
    np.random.seed(SEED)  # noqa: NPY002 - dedupe draws from it
    program.prepare_training({f"{at}{end}": pair[end] for at, (pair, _) in enumerate(pairs) for end in (0, 1)})
    program.mark_pairs({name: [pair for pair, same in pairs if same == (name == "match")] for name in ANSWERS})
    program.train()
    found = program.score(program.pairs(dict(enumerate(map(record, titles, prices or [None] * len(titles))))))
    ends = np.array(found["pairs"])
    return once(ends[:, 0], ends[:, 1], np.array(found["score"], dtype=float))


ANSWERS = ("match", "distinct")


def record(title: str, price: float | None) -> dict[str, Any]:
    return {"title": title or None, "price": price or None}


def taught(folder: Path) -> Iterator[tuple[tuple[dict[str, Any], dict[str, Any]], bool]]:
    """The published pairs of a market, each with its answer."""
    import polars as pl

    posts = Posts(folder.name, folder)
    own = dict(zip(posts.column("posting_id") or [], map(record, titles_of(posts), posts.prices()), strict=True))
    for left, right, same in pl.read_csv(folder / "test_pairs.csv", infer_schema_length=0).iter_rows():
        yield (own[left], own[right]), same == "1"


def splink(posts: Posts, _: Inputs) -> Found:
    """Splink by EM: shared words, shared rare words, price, hash; compared where a rare word or the hash is shared."""
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    frame = splink_frame(posts)
    blocks = [block_on("rare", arrays_to_explode=["rare"])]
    blocks += [block_on("hash")] if "hash" in frame.columns else []
    settings = SettingsCreator("dedupe_only", comparisons=comparisons(frame.columns),
                               blocking_rules_to_generate_predictions=blocks)  # fmt: skip
    program = Linker(DuckDBAPI().register(frame.to_arrow()), settings, log_level=None)
    program.training.estimate_probability_two_random_records_match([block_on("first", "rarest")], recall=0.5)
    program.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=SEED)
    for block in (block_on("rarest"), block_on("first", "second")):
        program.training.estimate_parameters_using_expectation_maximisation(block)
    found = program.inference.predict().as_duckdbpyrelation().pl()
    ends = (found[f"unique_id_{end}"].to_numpy() for end in "lr")
    return once(*ends, found["match_probability"].to_numpy())


def splink_frame(posts: Posts) -> Any:
    """The columns that Splink compares; rare: the five rarest words of a title that 2 to 200 titles have."""
    import polars as pl

    titles = titles_of(posts)
    words = [re.findall(r"\w+", title) for title in titles]
    titled = Counter(word for each in words for word in set(each))
    rare = [sorted({w for w in each if 1 < titled[w] <= 200}, key=lambda w: (titled[w], w))[:5] for each in words]
    columns: dict[str, Any] = {
        "unique_id": range(len(titles)),
        "words": [sorted(set(each)) for each in words],
        "rare": rare,
        "rarest": [each[0] if each else None for each in rare],
        "first": [each[0] if each else None for each in words],
        "second": [each[1] if len(each) > 1 else None for each in words],
    }
    if prices := posts.prices():
        columns["price"] = prices
    if hashes := posts.column("image_phash"):
        columns["hash"] = [value or None for value in hashes]
    return pl.DataFrame(columns)


def comparisons(columns: Sequence[str]) -> list[Any]:
    """How Splink compares the columns that are there."""
    import splink.comparison_level_library as level
    import splink.comparison_library as comparison

    def share(least: float) -> Any:
        sql = f"len(list_intersect(words_l, words_r)) >= {least} * least(len(words_l), len(words_r))"
        return level.CustomLevel(sql, label_for_charts=f"{least:.0%} of the words")

    def custom(name: str, levels: list[Any]) -> Any:
        return comparison.CustomComparison([level.NullLevel(name), *levels, level.ElseLevel()], name)

    near = [level.PercentageDifferenceLevel("price", limit) for limit in (0.05, 0.2)]
    made = [custom("words", [share(least) for least in (0.9, 0.7, 0.5, 0.3)])]
    made.append(comparison.ArrayIntersectAtSizes("rare", [3, 2, 1]))
    made += [custom("price", near)] if "price" in columns else []
    return made + ([comparison.ExactMatch("hash")] if "hash" in columns else [])


# ---- kembar ----------------------------------------------------------------------------------------------------------


def kembar(posts: Posts, inputs: Inputs) -> Found:
    """Run kembar as it comes; where there is one, by a classifier that has not seen the market."""
    import kembar
    from kembar.evidence.pairs import SIMILARITY

    folder = inputs.classifiers / posts.group if inputs.classifiers else None
    fair = folder is not None and folder.is_dir()
    config = kembar.Config(title_encoder=inputs.encoder(posts))
    result = kembar.match(posts.file, images=posts.photos, config=config.with_model(str(folder)) if fair else config)
    pairs = result.pairs
    facts = {"unseen": fair or posts.name == "photo_edits", "cut": float(result.config.group_cut)}
    return Found(pairs.left, pairs.right, pairs.evidence[SIMILARITY], result.matches.edges(), facts)


PEERS = {
    "kembar": Peer(kembar, ("kembar",), None, "its own"),
    "word TF-IDF": Peer(word_tfidf, ("scikit-learn",), 0.7, "Kaggle's baseline; scikit-learn has none", min2=True),
    "char TF-IDF": Peer(char_tfidf, ("scikit-learn",), 0.8, "string_grouper's min_similarity", min2=True),
    "phash ∪ TF-IDF": Peer(kaggle, ("scikit-learn",), 0.7, "Kaggle's baseline", min2=True),
    "Splink": Peer(splink, ("splink",), 0.95, "its clustering tutorial", shown="{:.4f}".format),
    "SemHash": Peer(semhash, ("semhash",), 0.9, "self_deduplicate"),
    "dedupe": Peer(dedupe, ("dedupe",), 0.5, "partition"),
    "rapidfuzz token_set_ratio": Peer(
        rapidfuzz_by("token_set_ratio"), ("rapidfuzz",), 70, "thefuzz.process.dedupe; rapidfuzz has none",
        shown="{:.0f}".format,
    ),
    "rapidfuzz WRatio": Peer(
        rapidfuzz_by("WRatio"), ("rapidfuzz",), 90, "none; 90 taken here", shown="{:.0f}".format
    ),
    "imagededup PHash": Peer(
        imagededup, ("imagededup",), -10, "find_duplicates", shown=lambda score: f"distance {-score:.0f}"
    ),
    "pandas drop_duplicates": Peer(pandas_equal, ("pandas",), 1.0, "equal titles", shown=lambda _: "equal"),
}  # fmt: skip
