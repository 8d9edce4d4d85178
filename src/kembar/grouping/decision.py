"""The decision: from scored pairs to the matches of every post and to groups, as a configuration says."""

from kembar.arrays import Bools, Doubles, Rows
from kembar.config import Config
from kembar.evidence.edges import Edges, capped, select
from kembar.evidence.gathering import SIMILARITY
from kembar.evidence.pairs import Pairs
from kembar.grouping.crowds import crowded_posts
from kembar.grouping.groups import average_link, components, fill_singles
from kembar.grouping.matches import chisel, expected_f1, mutual, within_groups


def decide(pairs: Pairs, n: int, config: Config, shares: Doubles, cut_off: Bools | None = None) -> tuple[Edges, Rows]:
    """Turn scored pairs into matches and groups.

    Args:
        pairs: with the column `similarity`.
        n: number of posts.
        config: the rule of the decision, and how to group.
        shares: for rule chisel, see `kembar.grouping.matches.chisel`.
        cut_off: (n,) bool, posts that may have more neighbours than their lists have places; None: there are none.

    Returns:
        Directed edges ordered by source, best first, and (n,) int64 group labels.
    """
    similarity = pairs.evidence[SIMILARITY]
    ends = pairs.left, pairs.right, similarity
    labels = partition(pairs, n, config, cut_off)
    if config.rule == "group":
        edges = within_groups(labels, *ends)
    elif config.rule == "threshold":
        edges = select(*ends, n, threshold=config.advanced.decide.threshold, min2=config.advanced.decide.min2)
    elif config.rule == "expected":
        edges = expected_f1(*ends, n, alone=config.advanced.decide.alone, longest=config.advanced.decide.cap)
    else:
        possible = similarity > 0  # a vetoed pair never fills a list
        edges = chisel(pairs.left[possible], pairs.right[possible], similarity[possible], n, shares=shares)
    if config.advanced.decide.mutual:
        edges = mutual(edges, n)
    return capped(edges, config.advanced.decide.cap), labels


def partition(pairs: Pairs, n: int, config: Config, cut_off: Bools | None = None) -> Rows:
    """Group posts by the configured link: (n,) int64 labels; arguments as in `decide`."""
    similarity, link, cut = pairs.evidence[SIMILARITY], config.advanced.group.link, config.group_cut
    ends = pairs.left, pairs.right, similarity
    if link == "average":
        size = config.target_size
        crowded = None if cut_off is None else crowded_posts(*ends, cut_off, cut=cut)
        least = cut if size is None else 0.0
        labels = average_link(*ends, n, cut=least, target_size=size, crowded=crowded)
    else:
        near = similarity >= cut
        labels = components(pairs.left[near], pairs.right[near], n)
    return filled(labels, pairs, config)


def filled(labels: Rows, pairs: Pairs, config: Config) -> Rows:
    """Let posts left alone join their nearest group, where the configuration says so: (n,) int64 labels."""
    cut = config.single
    return labels if cut is None else fill_singles(labels, pairs.left, pairs.right, pairs.evidence[SIMILARITY], cut=cut)
