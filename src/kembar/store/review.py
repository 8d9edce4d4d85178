"""Which pair a reviewer is asked about next: doubtful ones of all levels, and a stated share of quiet cases among them.

Asked about doubtful pairs alone, people would never meet an error that the classifier is sure of, and what they answer
would tell nothing of the pairs that were accepted without them. So one item of five is a *quiet case*: a pair that is
drawn at random from those accepted (together in a group, probability of .9 or more), or from those kept apart
(probability below .1), that no person has answered. Every accepted pair is equally likely to be drawn, so the share of
the same products among the answers is an unbiased measure of the precision of what is accepted.

All draws come from the seed, the reviewer and the number of their answers: the same state gives the same question.
"""

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from sqlite3 import Connection
from typing import Final

from kembar.store.draws import draw_accepted, draw_apart
from kembar.store.judged import Judged, is_open, judged, latest, pair_rows
from kembar.store.records import APART, SURE, Contradiction

QUIET_SHARE: Final = 5
"""One item of this many is a quiet case."""
APART_SHARE: Final = 3
"""One quiet case of this many is a pair that was kept apart."""
LEVELS: Final = (0.5, 0.3, 0.7, 0.4, 0.6, 0.2, 0.8, 0.15, 0.85)
"""Probabilities that doubtful pairs are asked about around, one after the other.

Asked about a half alone, people teach a classifier what a half is worth, and it takes all below for as much more
likely: on alaska_notebook F1 was .65 after 500 such answers, and .83 after as many over the whole band.
"""
SECOND_SHARE: Final = 10
"""One item of this many is a second opinion, where another reviewer has answered."""
KINDS: Final = ("contradiction", "merge", "doubtful", "quiet", "second", "chosen")
"""Why a pair is shown; a chosen one was looked up by a person and says nothing of the queue."""
NO_QUEUE: Final = "chosen"

_WINDOW: Final = 24  # doubtful pairs that are compared for the next question
_RECENT: Final = 10  # answers whose groups are not asked about again at once
_STEP: Final = 0.05  # of probability: closer pairs are equally doubtful
_NEAR: Final = 0.1  # how far from a half a proposed merge counts at most
_MERGES: Final = 50  # proposed merges that are compared for the next question


@dataclass(frozen=True, slots=True)
class Item:
    """A pair to be answered.

    Attributes:
        a: posting id.
        b: posting id.
        kind: one of KINDS.
        probability: None where the two were never compared, or are less alike than what is stored.
        together: whether they are in one group now.
    """

    a: str
    b: str
    kind: str
    probability: float | None
    together: bool

    @property
    def note(self) -> str:
        """What is kept with the answer: how the pair stood when it was asked; `progress` reads it."""
        sure = "never compared" if self.probability is None else f"{self.probability:.3f}"
        return f"{self.kind}, {sure}, {'together' if self.together else 'apart'}"

    def why(self) -> str:
        """Say in a sentence why the pair is shown."""
        sure = "was never compared" if self.probability is None else f"has a probability of {self.probability:.2f}"
        return _WHY[self.kind].format(sure=sure, now=_NOW[self.together], decided=_DECIDED[self.together])


_NOW: Final = {True: "for now the two are in one group", False: "for now the two are in different groups"}
_DECIDED: Final = {True: "accepted", False: "kept apart"}
_WHY: Final = {
    "contradiction": "Answers about these two and their groups contradict each other. The pair {sure}; {now}.",
    "merge": "Their groups were proposed to be merged: of all pairs across, this one is the most alike and {sure}.",
    "doubtful": "The classifier is in doubt: the pair {sure}; {now}.",
    "quiet": "Drawn at random from the pairs that were {decided}, to measure how often that is right; the pair {sure}.",
    "second": "Another reviewer has answered; your opinion shows how far people agree. The pair {sure}; {now}.",
    "chosen": "You looked these two up: the pair {sure}; {now}.",
}


def next_item(
    connection: Connection,
    by: str,
    *,
    against: Sequence[Contradiction] = (),
    seed: int = 0,
    quiet_only: bool = False,
) -> Item | None:
    """Choose what a reviewer is asked next.

    Args:
        connection: of the store.
        by: the reviewer.
        against: what `Live.contradictions` told: answers that cannot all hold.
        seed: of all draws.
        quiet_only: draw quiet cases alone, as when nothing doubtful is left.

    Returns:
        A pair that this reviewer has not answered; None where nothing is left.
    """
    asked = answers_in_queue(connection, by)
    draw = _draw(seed, by, asked)
    found = _quiet(connection, by, draw)
    if quiet_only:
        return next(found, None)
    middle = LEVELS[asked % len(LEVELS)]
    doubtful = itertools.chain(_contradictions(connection, by, against), _doubtful(connection, by, seed, middle))
    turn = turn_of(seed, by, asked)
    if turn == "quiet":
        return next(itertools.chain(found, doubtful), None)
    if turn == "second":
        return next(itertools.chain(_second(connection, by, draw), doubtful), None)
    return next(doubtful, None)


def turn_of(seed: int, by: str, asked: int) -> str:
    """Tell what kind of item comes after a number of answers: of five in a row one is quiet, its place drawn.

    Returns:
        "quiet", "second" or "doubtful".
    """
    block, place = divmod(asked, QUIET_SHARE)
    quiet, second = _draw(seed, by, -1 - block).sample(range(QUIET_SHARE), 2)
    if place == quiet:
        return "quiet"
    return "second" if place == second and block % (SECOND_SHARE // QUIET_SHARE) else "doubtful"


def pair_item(connection: Connection, a: str, b: str) -> Item | None:
    """Look up a pair that a person chose: None where a post is not there, or the two are one."""
    rows = pair_rows(connection, a, b)
    if rows is None:
        return None
    return _item(connection, *rows, NO_QUEUE, _probability(connection, *rows), (a, b))


def answers_in_queue(connection: Connection, by: str) -> int:
    """Count the answers of a reviewer to what the queue asked."""
    found = connection.execute("SELECT note FROM decisions WHERE by = ? AND undone IS NULL", (by,))
    kinds = set(KINDS) - {NO_QUEUE}
    return sum(str(note).partition(",")[0] in kinds for (note,) in found)


def _draw(seed: int, by: str, number: int) -> Random:
    """Start a row of draws that depends on these alone."""
    return Random(int.from_bytes(blake2b(f"{seed} {number} {by}".encode(), digest_size=8).digest()))


def _quiet(connection: Connection, by: str, draw: Random) -> Iterator[Item]:
    """Draw quiet cases: accepted pairs, and one time in three a pair that was kept apart; the other where none is."""
    apart_first = draw.randrange(APART_SHARE) == 0
    for apart in (apart_first, not apart_first):
        found = draw_apart(connection, by, draw, APART) if apart else draw_accepted(connection, by, draw, SURE)
        if found is not None:
            yield _item(connection, *found[:2], "quiet", found[2])


def _contradictions(connection: Connection, by: str, against: Sequence[Contradiction]) -> Iterator[Item]:
    """List pairs whose answers cannot all hold, without those that this reviewer has answered."""
    for each in against:
        rows = pair_rows(connection, each.a, each.b)
        if rows is not None and latest(connection, *rows, by) is None:
            yield _item(connection, *rows, "contradiction", _probability(connection, *rows))


def _second(connection: Connection, by: str, draw: Random) -> Iterator[Item]:
    """Draw pairs that one other reviewer alone has answered."""
    others = [pair for pair in judged(connection) if pair.by != by and pair.settles]
    mine = {(pair.left, pair.right) for pair in judged(connection, by)}
    counts: dict[tuple[int, int], list[Judged]] = {}
    for pair in others:
        counts.setdefault((pair.left, pair.right), []).append(pair)
    once = sorted(rows for rows, given in counts.items() if len({one.by for one in given}) == 1 and rows not in mine)
    draw.shuffle(once)
    for left, right in once:
        if is_open(connection, left, right):
            yield _item(connection, left, right, "second", _probability(connection, left, right))


def _doubtful(connection: Connection, by: str, seed: int, middle: float) -> Iterator[Item]:
    """List doubtful pairs and proposed merges, the nearest to a level first, but new neighbourhoods before known ones.

    Of those equally doubtful each reviewer meets another one first, so that several do not do the same work.
    """
    recent = _recent_groups(connection, by)
    window = list(itertools.islice(heapq.merge(*_candidates(connection, by, middle)), _WINDOW))

    def place(candidate: tuple[float, int, int, float, str]) -> tuple[bool, int, float]:
        """Give the place of a candidate."""
        distance, left, right, _, _ = candidate
        known = bool(recent & set(_groups(connection, left, right)))
        return known, int(distance / _STEP), _draw(seed, f"{by} {left} {right}", 0).random()

    for _, left, right, probability, kind in sorted(window, key=place):
        yield _item(connection, left, right, kind, probability)


def _candidates(connection: Connection, by: str, middle: float) -> list[Iterator[tuple[float, int, int, float, str]]]:
    """Walk outwards from a level, up and down, and along the proposed merges: distance, rows, probability, kind."""
    up = connection.execute(_DOUBTFUL.format(">= ? AND p.probability < ?", ""), (middle, SURE, by))
    down = connection.execute(_DOUBTFUL.format("< ? AND p.probability >= ?", "DESC"), (middle, APART, by))
    pairs = [((abs(each[2] - middle), *each, "doubtful") for each in cursor) for cursor in (up, down)]
    return [*pairs, iter(sorted(_merges(connection, by)))]


_UNSEEN: Final = """NOT EXISTS (SELECT 1 FROM decisions d WHERE d.left = p.left AND d.right = p.right
    AND d.undone IS NULL AND (d.by = ? OR d.verdict IN ('same', 'different', 'variant')))"""
_DOUBTFUL: Final = f"""SELECT p.left, p.right, p.probability FROM pairs p
    JOIN posts a ON a.row = p.left AND a.removed IS NULL JOIN posts b ON b.row = p.right AND b.removed IS NULL
    WHERE p.probability {{}} AND {_UNSEEN} ORDER BY p.probability {{}}"""
_MOST_ALIKE: Final = """SELECT min(a.row, b.row), max(a.row, b.row), p.probability FROM posts a
    JOIN posts b ON b.group_row = ? AND b.removed IS NULL
    JOIN pairs p ON p.left = min(a.row, b.row) AND p.right = max(a.row, b.row)
    WHERE a.group_row = ? AND a.removed IS NULL ORDER BY p.probability DESC, a.row, b.row LIMIT 1"""


def _merges(connection: Connection, by: str) -> Iterator[tuple[float, int, int, float, str]]:
    """List open proposals to merge, each by its two posts most alike; with those near a half, whatever theirs is."""
    found = connection.execute(
        "SELECT left, right, probability FROM merges WHERE closed IS NULL "
        "ORDER BY abs(probability - 0.5), event LIMIT ?",
        (_MERGES,),
    ).fetchall()
    for one, other, probability in found:
        pair = connection.execute(_MOST_ALIKE, (other, one)).fetchone()
        if pair is not None and latest(connection, pair[0], pair[1], by) is None:
            yield min(abs(probability - 0.5), _NEAR), *pair, "merge"


def _recent_groups(connection: Connection, by: str) -> set[int]:
    found = connection.execute(
        """SELECT a.group_row, b.group_row FROM decisions d
        JOIN posts a ON a.row = d.left JOIN posts b ON b.row = d.right
        WHERE d.by = ? AND d.undone IS NULL ORDER BY d.event DESC LIMIT ?""",
        (by, _RECENT),
    )
    return set(itertools.chain.from_iterable(found))


def _groups(connection: Connection, left: int, right: int) -> tuple[int, int]:
    both = connection.execute("SELECT row, group_row FROM posts WHERE row IN (?, ?)", (left, right))
    found = dict(both.fetchall())
    return found[left], found[right]


def _probability(connection: Connection, left: int, right: int) -> float | None:
    found = connection.execute("SELECT probability FROM pairs WHERE left = ? AND right = ?", (left, right)).fetchone()
    return None if found is None else float(found[0])


def _item(
    connection: Connection,
    left: int,
    right: int,
    kind: str,
    probability: float | None,
    ids: tuple[str, str] | None = None,
) -> Item:
    if ids is None:
        names = dict(connection.execute("SELECT row, id FROM posts WHERE row IN (?, ?)", (left, right)).fetchall())
        ids = names[left], names[right]
    one, other = _groups(connection, left, right)
    return Item(*ids, kind, probability, one == other)
