"""The decision: from scored pairs to the matches of every post and to groups, as a configuration says."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from kembar.arrays import Doubles, Floats, Rows
from kembar.config import Config
from kembar.evidence.edges import Edges, capped, select
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.grouping.average_link import average_link
from kembar.grouping.crowds import crowded_posts
from kembar.grouping.groups import components, fill_singles
from kembar.grouping.limits import NO_LIMITS, Limits
from kembar.grouping.links import LINKS, linked
from kembar.grouping.matches import chisel, expected_f1, mutual, within_groups


@dataclass(frozen=True, slots=True)
class Rule:
    """A way to choose the matches of every post, and what it asks of a pair, in words.

    Attributes:
        choose: from the pairs, the number of posts, the configuration, the shares for `chisel` and the group labels to
            directed edges ordered by source, best first; before `advanced.decide.mutual` and `cap`.
        asks: from the similarity of a pair and the configuration to one sentence, without what came of it.
    """

    choose: Callable[[Pairs, int, Config, Doubles, Rows], Edges]
    asks: Callable[[float, Config], str]


def _group(pairs: Pairs, _n: int, _config: Config, _shares: Doubles, labels: Rows) -> Edges:
    return within_groups(labels, pairs.left, pairs.right, pairs.evidence[SIMILARITY])


def _threshold(pairs: Pairs, n: int, config: Config, _shares: Doubles, _labels: Rows) -> Edges:
    own = config.advanced.decide
    return select(*_ends(pairs), n, threshold=own.threshold, min2=own.min2)


def _asks_threshold(similarity: float, config: Config) -> str:
    own = config.advanced.decide
    reached = "reaches" if similarity >= own.threshold else "is below"
    told = f"similarity {similarity:.3f} {reached} the threshold {own.threshold:.3f}"
    if own.min2 is None or not own.min2 <= similarity < own.threshold:
        return told
    return f"{told}; it reaches min2 {own.min2:.3f}, which is enough for the best of a post that is left alone"


def _expected(pairs: Pairs, n: int, config: Config, _shares: Doubles, _labels: Rows) -> Edges:
    own = config.advanced.decide
    return expected_f1(*_ends(pairs), n, alone=own.alone, longest=own.cap)


def _asks_expected(similarity: float, _config: Config) -> str:
    return (
        f"probability {similarity:.3f}; of its most probable candidates a post takes as many as promise the highest "
        "F1, whatever their probability"
    )


def _chisel(pairs: Pairs, n: int, _config: Config, shares: Doubles, _labels: Rows) -> Edges:
    left, right, similarity = _ends(pairs)
    possible = similarity > 0  # a vetoed pair never fills a list
    return chisel(left[possible], right[possible], similarity[possible], n, shares=shares)


RULES: Final = {
    "group": Rule(_group, lambda _similarity, _config: "matches are the members of a post's group: see the next line"),
    "threshold": Rule(_threshold, _asks_threshold),
    "chisel": Rule(
        _chisel,
        lambda similarity, _config: (
            f"similarity {similarity:.3f}; chisel cuts the lists of all posts to the lengths that are to be expected"
        ),
    ),
    "expected": Rule(_expected, _asks_expected),
}
"""The rules that `Config.rule` names for posts among themselves; those for two sources are `LINKS`."""


def told_of(rule: str, similarity: float, config: Config) -> str:
    """Say in a sentence what a rule asks of a pair.

    Args:
        rule: a name of `RULES` or `LINKS`.
        similarity: of the pair.
        config: the configuration of the run.
    """
    if rule in RULES:
        return RULES[rule].asks(similarity, config)
    reached = "reaches" if similarity >= np.float32(config.group_cut) else "is below"
    return f"similarity {similarity:.3f} {reached} the cut {config.group_cut:.3f}; {rule}: {LINKS[rule]}"


def decide(pairs: Pairs, n: int, config: Config, shares: Doubles, limits: Limits = NO_LIMITS) -> tuple[Edges, Rows]:
    """Turn scored pairs into matches and groups.

    Args:
        pairs: with the column `similarity`.
        n: number of posts.
        config: the rule of the decision, and how to group.
        shares: for rule chisel, see `kembar.grouping.matches.chisel`.
        limits: what else is known of the posts; `crowded` are those that may have more neighbours than their lists have
            places, among which the crowded ones are found.

    Returns:
        Directed edges ordered by source, best first, and (n,) int64 group labels.
    """
    if config.rule in LINKS:
        links = linked(pairs, n, config, limits.scope)
        return links, components(links[0], links[1], n)
    labels = partition(pairs, n, config, limits)
    edges = RULES[config.rule].choose(pairs, n, config, shares, labels)
    if config.advanced.decide.mutual:
        edges = mutual(edges, n)
    return capped(edges, config.advanced.decide.cap), labels


def _ends(pairs: Pairs) -> tuple[Rows, Rows, Floats]:
    return pairs.left, pairs.right, pairs.evidence[SIMILARITY]


def partition(pairs: Pairs, n: int, config: Config, limits: Limits = NO_LIMITS) -> Rows:
    """Group posts by the configured link: (n,) int64 labels; arguments as in `decide`.

    Only average link keeps posts apart that may not be one product. Where there are limits, no post joins a group just
    because it is alone.
    """
    link, cut = config.advanced.group.link, config.group_cut
    ends = _ends(pairs)
    if link == "average":
        size = config.target_size
        cut_off, every = limits.crowded, limits.compared
        crowded = None if cut_off is None else crowded_posts(*ends, cut_off, cut=cut, compared=every)
        least = cut if size is None else 0.0
        labels = average_link(*ends, n, cut=least, target_size=size, limits=replace(limits, crowded=crowded))
    else:
        near = pairs.evidence[SIMILARITY] >= cut
        labels = components(pairs.left[near], pairs.right[near], n)
    held = (limits.scope, limits.start, limits.settled, limits.apart)
    return filled(labels, pairs, config) if all(each is None for each in held) else labels


def filled(labels: Rows, pairs: Pairs, config: Config) -> Rows:
    """Let posts left alone join their nearest group, where the configuration says so: (n,) int64 labels."""
    cut = config.single
    return labels if cut is None else fill_singles(labels, pairs.left, pairs.right, pairs.evidence[SIMILARITY], cut=cut)
