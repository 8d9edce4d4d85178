"""Why two posts match or do not: every piece of evidence and what each rule made of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kembar.arrays import Rows
from kembar.classifier.classify import contributions, passed_over
from kembar.classifier.pair_classifier import PairClassifier
from kembar.config import Config
from kembar.errors import CatalogError, FolderError, visible
from kembar.evidence.identifier_view import EQUAL, WEIGHT
from kembar.evidence.identity import TokenCounts
from kembar.evidence.pairs import BLENDED, OF_RULES, SIMILARITY, Pairs
from kembar.evidence.placeholders import as_compared
from kembar.evidence.scope import Scope
from kembar.evidence.scorers import CONFLICT, Scorer, scorers_of
from kembar.evidence.title_pairs import TitleTerms
from kembar.evidence.view_kinds import meaning as meaning_of
from kembar.grouping.decision import told_of
from kembar.grouping.groups import Groups
from kembar.grouping.links import LINKS
from kembar.grouping.matches import Matches
from kembar.posts.catalog import Catalog
from kembar.posts.further import BRAND
from kembar.posts.ids import row_of
from kembar.posts.titles import normalize
from kembar.results import charts
from kembar.results.apart import apart, decisive
from kembar.results.facts import facts_of
from kembar.results.kinds import BASE, gathered

_MEANING = {
    CONFLICT: "1 where the quantities in the titles contradict each other",
    SIMILARITY: "all of it as one similarity, after blending and the unit veto; or a classifier's probability",
    OF_RULES: "what the hand-set rules made of it, where a classifier decided",
}


_LINKS = {"average": "average link", "any": "connected components"}
_SHOWN = 10  # contributions that are put into words


@dataclass(frozen=True, slots=True)
class Explanation:
    """The case of one pair of posts.

    Attributes:
        a: posting id.
        b: posting id.
        titles: the two titles.
        matched: whether either post lists the other.
        same_group: whether the two are in one group.
        evidence: every evidence column of the pair with its value, None where a post lacks it; empty where the two
            were never compared.
        facts: what the titles and photos say, in words.
        reasons: what each rule said, in words.
        contributions: where a classifier decided, what each evidence column added to the log-odds of the pair: column,
            value (None where missing) and share, the largest first, last what there is without evidence.
        difference: where they do not match, the difference of the titles that spoke most against it, such as
            "numbers (64 | 128)"; None where there is none.
    """

    a: str
    b: str
    titles: tuple[str, str]
    matched: bool
    same_group: bool
    evidence: dict[str, float | None]
    facts: tuple[str, ...]
    reasons: tuple[str, ...]
    contributions: tuple[tuple[str, float | None, float], ...] = ()
    difference: str | None = None

    def kinds(self) -> list[tuple[str, float]]:
        """Sum up the contributions by kinds of evidence, in words: the largest first, the base last."""
        return gathered(self.contributions)

    def waterfall(self, path: Path, *, columns: bool = False) -> None:
        """Draw what made the log-odds as a waterfall, as SVG; nothing but the axes where no classifier decided.

        Args:
            path: the file to write.
            columns: a bar for each evidence column, not for each kind of evidence.
        """
        steps = [(name, share) for name, _, share in self.contributions] if columns else self.kinds()
        charts.waterfall(steps, path)

    def as_dict(self) -> dict[str, Any]:
        """Give the explanation as plain values, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        return self.text()

    def text(self, *, columns: bool = False) -> str:
        """Tell the case in words.

        Args:
            columns: tell what each evidence column added to the log-odds, not what each kind of evidence did.
        """
        verdict = "match" if self.matched else "do not match"
        against = f" Most against it: {self.difference}." if self.difference else ""
        lines = [
            f"{self.a} and {self.b} {verdict}.{against}",
            "",
            f"  {self.a}: {self.titles[0]}",
            f"  {self.b}: {self.titles[1]}",
        ]
        lines += ["", "What the posts say"] + [f"  - {fact}" for fact in self.facts]
        if self.evidence:
            lines += ["", "Evidence"] + [_line(name, value) for name, value in self.evidence.items()]
        if self.contributions:
            lines += ["", "What the classifier made of it (shares of the log-odds)"]
            shown = [_share(*each) for each in self.contributions[:_SHOWN]]
            lines += shown if columns else [f"  {share:+8.3f}  {kind}" for kind, share in self.kinds()]
        lines += ["", "What the rules said"] + [f"  - {reason}" for reason in self.reasons]
        return "\n".join(visible(line).replace("\n", "\\n") for line in lines)


class Run(Protocol):
    """What an explanation needs of a run; a `kembar.Result` has it."""

    @property
    def catalog(self) -> Catalog:
        """The posts."""

    @property
    def config(self) -> Config:
        """The configuration of the run."""

    @property
    def pairs(self) -> Pairs:
        """The candidates with their evidence."""

    @property
    def matches(self) -> Matches:
        """The matches of every post."""

    @property
    def groups(self) -> Groups:
        """The partition."""

    @property
    def copy_of(self) -> Rows:
        """(n,) the row that stands for each among the pairs."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A catalogue that a run is a part of: what it says of words and tokens, and what decides in it.

    Attributes:
        titles: words and titles.
        tokens: codes, numbers and other tokens.
        classifier: None where hand-set rules decide.
    """

    titles: TitleTerms
    tokens: TokenCounts
    classifier: PairClassifier | None


def explain(run: Run, a: str, b: str, *, whole: Whole | None = None) -> Explanation:
    """Explain one pair.

    Args:
        run: what was found.
        a: a posting id.
        b: another posting id.
        whole: the catalogue that the run is a part of; None: it is no part of another.

    Returns:
        The explanation.

    Raises:
        CatalogError: there is no such post, or the two are one.
    """
    catalog, config, pairs, matches, groups = run.catalog, run.config, run.pairs, run.matches, run.groups
    i, j = row_of(catalog.ids, a), row_of(catalog.ids, b)
    if i == j:
        raise CatalogError(f"posts {a!r} and {b!r}", "two different posts", "Name another one.")
    first, second = int(run.copy_of[i]), int(run.copy_of[j])
    evidence = _evidence(pairs, min(first, second), max(first, second))
    matched = bool((matches[i] == j).any() or (matches[j] == i).any())
    together = bool(groups.labels[i] == groups.labels[j])
    titles = (str(catalog.titles[i]), str(catalog.titles[j]))
    if first == second:
        reasons = ["the two are copies of one post: same title, hash and vectors"]
    else:
        rules = _rule(evidence, config, matches, (first, second))
        compared = _compared(evidence, config, Scope.of(catalog.take([i, j])))
        reasons = [*compared, *rules, *_grouping(pairs, groups, config, first, second)]
    shares: tuple[tuple[str, float | None, float], ...] = ()
    if evidence and not config.by_rules:
        shares, told = _classified(run, first, second, whole)
        reasons = [*told, *reasons]
    further = catalog.further
    brands = normalize(further[BRAND].gather([i, j])) if further is not None and BRAND in further.columns else None
    parted = apart(normalize(catalog.titles.gather([i, j])), brands)
    vetoed = evidence.get(CONFLICT) == 1 and _veto(config)
    against = None if matched else decisive(parted, shares, vetoed=vetoed)
    facts = tuple(facts_of(catalog, i, j, parted))
    return Explanation(a, b, titles, matched, together, evidence, facts, tuple(reasons), shares, against)


def _classified(
    run: Run, i: int, j: int, whole: Whole | None
) -> tuple[tuple[tuple[str, float | None, float], ...], list[str]]:
    """Ask the classifier what it made of a pair; says so where its folder is gone."""
    try:
        classifier = (whole and whole.classifier) or PairClassifier.load(run.config.model)
    except FolderError as error:
        return (), [f"what the classifier saw cannot be told again: {error}"]
    pairs, scorers, posts = as_matched(run, whole)
    at = _place(run.pairs, min(i, j), max(i, j))
    found = contributions(pairs, posts, scorers, classifier, at if at is not None else 0)
    shares = tuple((name, value, round(share, 4)) for name, value, share in found.iter_rows())
    passed = at is not None and pairs.evidence[SIMILARITY][at] == 0 and passed_over(pairs, classifier)[at]
    unlike = f"by the rules the two are less alike than {classifier.gate:g}: the classifier was not asked"
    return shares, [unlike] if passed else []


def as_matched(run: Run, whole: Whole | None = None) -> tuple[Pairs, tuple[Scorer, ...], int]:
    """Give the pairs of a run as its classifier saw them.

    Args:
        run: a run in which a classifier decided.
        whole: as of `explain`.

    Returns:
        The pairs by the places of the posts that were matched (of many copies the first), in the order of the run's;
        what else compares these posts; and how many they are.
    """
    kept = np.unique(run.copy_of)
    place = np.searchsorted(kept, np.arange(len(run.copy_of)))
    posts = as_compared(run.catalog, run.config.variants).take(kept)
    pairs = Pairs(place[run.pairs.left], place[run.pairs.right], run.pairs.evidence)
    counted = None if whole is None else (whole.titles, whole.tokens)
    return pairs, scorers_of(normalize(posts.titles), catalog=posts, counted=counted), len(kept)


def _place(pairs: Pairs, low: int, high: int) -> int | None:
    begin, end = np.searchsorted(pairs.left, [low, low + 1])
    at = int(begin + np.searchsorted(pairs.right[begin:end], high))
    return None if at >= end or pairs.right[at] != high else at


def _evidence(pairs: Pairs, low: int, high: int) -> dict[str, float | None]:
    at = _place(pairs, low, high)
    if at is None:
        return {}
    values = {name: float(column[at]) for name, column in pairs.evidence.items()}
    return {name: None if np.isnan(value) else round(value, 4) for name, value in values.items()}


def _veto(config: Config) -> bool:
    return bool(config.fusion_veto if config.by_rules else config.veto)


def _compared(evidence: dict[str, float | None], config: Config, scope: Scope | None) -> list[str]:
    if scope is not None and not scope.allows(np.array([0]), np.array([1])).all():
        return ["never compared: posts of one source, or of two categories, are not the same product"]
    if not evidence:
        return ["never compared: in no view is either among the nearest neighbours of the other"]
    reasons = []
    missing = [name for name, value in evidence.items() if value is None]
    if missing:
        reasons.append(f"left out, for a post lacks it: {', '.join(missing)}")
    if evidence.get(CONFLICT) == 1:
        verdict = "the unit veto sets the similarity to 0" if _veto(config) else "the unit veto is off"
        reasons.append(f"the quantities contradict each other: {verdict}")
    return reasons


def _rule(evidence: dict[str, float | None], config: Config, matches: Matches, ends: tuple[int, int]) -> list[str]:
    """Tell what the rule asked, and what came of it, by the lists themselves."""
    asked = told_of(config.rule, evidence.get(SIMILARITY) or 0.0, config)
    if config.rule == "group":
        return [asked]
    lists = [matches[end] for end in ends]
    chosen = [bool((lists[0] == ends[1]).any()), bool((lists[1] == ends[0]).any())]
    by = {(True, True): "both list", (False, False): "neither lists"}.get(
        (chosen[0], chosen[1]), "one of the two lists"
    )
    told = [asked, f"{by} the other; their lists hold {len(lists[0])} and {len(lists[1])} posts, themselves counted"]
    if not all(chosen) and config.advanced.decide.mutual:
        told.append("only matches that both posts choose are kept")
    if not all(chosen) and max(map(len, lists)) >= config.advanced.decide.cap:
        told.append(f"lists are cut at {config.advanced.decide.cap} posts")
    return told


def _grouping(pairs: Pairs, groups: Groups, config: Config, i: int, j: int) -> list[str]:
    if config.rule in LINKS:
        return ["groups are the posts that links connect"]
    labels, link = groups.labels, config.advanced.group.link
    by_size = link == "average" and config.target_size is not None
    cut = f"target size {config.target_size:g}" if by_size else f"cut {config.group_cut:.3f}"
    name = _LINKS[link]
    if labels[i] != labels[j]:
        mean = _between(pairs, labels, np.flatnonzero(labels == labels[i]), int(labels[j]))
        return [f"{name} kept their groups apart: mean similarity between them {mean:.3f}, {cut}"]
    members = np.flatnonzero(labels == labels[i])
    size = len(members)
    if size == 2:
        return [f"{name} made the two a group ({cut})"]
    means = [_to_group(pairs, members, row) for row in (i, j)]
    return [
        f"{name} put both into a group of {size} ({cut}); mean similarity to its other members "
        f"{means[0]:.3f} and {means[1]:.3f}"
    ]


def _between(pairs: Pairs, labels: Rows, members: Rows, other: int) -> float:
    inside = np.zeros(len(labels), dtype=bool)
    inside[members] = True
    a, b = pairs.left, pairs.right
    across = (inside[a] & (labels[b] == other)) | (inside[b] & (labels[a] == other))
    return float(pairs.evidence[SIMILARITY][across].sum() / (len(members) * (labels == other).sum()))


def _to_group(pairs: Pairs, members: Rows, row: int) -> float:
    near = ((pairs.left == row) & np.isin(pairs.right, members)) | ((pairs.right == row) & np.isin(pairs.left, members))
    return float(pairs.evidence[SIMILARITY][near].sum() / (len(members) - 1))


def _share(name: str, value: float | None, share: float) -> str:
    return f"  {share:+8.3f}  {name}" + ("" if name == BASE else f" = {'missing' if value is None else f'{value:.4g}'}")


def _line(name: str, value: float | None) -> str:
    base = name.removesuffix(BLENDED).removesuffix(WEIGHT)
    meaning = _MEANING.get(base) or meaning_of(base)
    if name.startswith(EQUAL):
        meaning = f"1 where both posts have the same {base.removeprefix(EQUAL)}, 0 where theirs differ"
    if name.endswith(BLENDED):
        meaning += ", after blending with sure neighbours"
    if name.endswith(WEIGHT):
        meaning = f"what {base} added to the log-odds: the classifier has not learned from it"
    return f"  {name:<16} {'missing' if value is None else f'{value:.4f}':>8}  {meaning}"
