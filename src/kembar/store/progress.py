"""How far a review is, and what it measures: precision of what was accepted, doubt that was right, agreement.

Precision comes from quiet cases alone, which were drawn at random (see `kembar.store.review`); pairs that people chose
themselves, or that were doubtful, would make it look worse or better than it is. Intervals are Wilson's, at 95 %.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from sqlite3 import Connection
from typing import Final

from kembar.store.judged import VERDICTS_THAT_SETTLE, Judged, judged
from kembar.store.records import APART, SURE

_Z: Final = 1.959964  # normal quantile of 95 %


@dataclass(frozen=True, slots=True)
class Share:
    """A share of answers with its interval.

    Attributes:
        count: answers of the kind that is meant.
        of: answers in all.
    """

    count: int
    of: int

    @property
    def value(self) -> float | None:
        """The share; None without answers."""
        return self.count / self.of if self.of else None

    @property
    def low(self) -> float:
        """The lower end of Wilson's interval at 95 %; 0 without answers."""
        return self._interval()[0]

    @property
    def high(self) -> float:
        """The upper end of Wilson's interval at 95 %; 1 without answers."""
        return self._interval()[1]

    def _interval(self) -> tuple[float, float]:
        return wilson(self.count, self.of)


@dataclass(frozen=True, slots=True)
class Reviewer:
    """What one person has answered.

    Attributes:
        name: of the person, "" where none was given.
        verdicts: number of answers by verdict.
    """

    name: str
    verdicts: dict[str, int]

    @property
    def answers(self) -> int:
        """All of them."""
        return sum(self.verdicts.values())


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a review is and what it has measured.

    Attributes:
        verdicts: number of answers by verdict.
        pairs: pairs that somebody has settled.
        reviewers: who answered how often, the most first.
        left: doubtful pairs that nobody has settled.
        merges: proposed merges that are open.
        accepted: quiet cases that were accepted: those that are the same product; the precision of what is accepted.
        missed: quiet cases that were kept apart: those that are the same product after all.
        doubtful: doubtful pairs and proposed merges: those that are the same product.
        changed: likewise: those whose answer is not what the groups said when it was given.
        agreement: pairs that several people settled: those that all of them answered alike.
        unclear: quiet cases that were answered by "cannot tell" or skipped; they are in no share.
    """

    verdicts: dict[str, int]
    pairs: int
    reviewers: tuple[Reviewer, ...]
    left: int
    merges: int
    accepted: Share
    missed: Share
    doubtful: Share
    changed: Share
    agreement: Share
    unclear: int

    @property
    def expected(self) -> tuple[float, float, float] | None:
        """How many of the doubtful pairs left will change, if they are like those answered: mean, low, high."""
        if self.changed.value is None:
            return None
        return tuple(self.left * share for share in (self.changed.value, self.changed.low, self.changed.high))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two people, or more, who answered differently about a pair.

    Attributes:
        a: posting id.
        b: posting id.
        answers: who said what, in the order of their last answers: name, verdict, number of the event.
    """

    a: str
    b: str
    answers: tuple[tuple[str, str, int], ...]


def wilson(count: int, of: int) -> tuple[float, float]:
    """Compute Wilson's interval of a share at 95 %.

    Args:
        count: successes.
        of: trials.

    Returns:
        Its ends in [0, 1]; all of it without trials.
    """
    if not of:
        return 0.0, 1.0
    share, spread = count / of, _Z * _Z / of
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * sqrt(share * (1 - share) / of + spread / (4 * of))
    return (0.0 if count == 0 else max(0.0, middle - half)), (1.0 if count == of else min(1.0, middle + half))


def progress(connection: Connection) -> Progress:
    """Measure a review: reads all answers, and counts the doubtful pairs.

    Args:
        connection: of the store.
    """
    answers = list(judged(connection))
    settled = [each for each in answers if each.settles]
    quiet = _last_of_each(each for each in answers if each.kind == "quiet")
    clear = [each for each in quiet if each.settles]
    doubtful = [each for each in _last_of_each(settled) if each.kind in ("doubtful", "merge")]
    changed = sum(each.says_same is not each.together for each in doubtful)
    return Progress(
        dict(Counter(each.verdict for each in answers)),
        len({(each.left, each.right) for each in settled}),
        _reviewers(answers),
        doubtful_left(connection),
        connection.execute("SELECT count(*) FROM merges WHERE closed IS NULL").fetchone()[0],
        _same([each for each in clear if each.together]),
        _same([each for each in clear if not each.together]),
        _same(doubtful),
        Share(changed, len(doubtful)),
        _agreement(settled),
        len(quiet) - len(clear),
    )


def disagreements(connection: Connection) -> list[Disagreement]:
    """List the pairs about which people disagree, the latest first: same against different or variant, or these two."""
    found = []
    for (left, right), answers in _by_pair(each for each in judged(connection) if each.settles).items():
        if len({each.verdict for each in answers}) > 1 and len(answers) > 1:
            found.append((max(each.event for each in answers), left, right, answers))
    pairs = []
    for _, left, right, answers in sorted(found, key=lambda each: -each[0]):
        ids = dict(connection.execute("SELECT row, id FROM posts WHERE row IN (?, ?)", (left, right)).fetchall())
        told = sorted((each.event, each.by, each.verdict) for each in answers)
        pairs.append(Disagreement(ids[left], ids[right], tuple((by, verdict, event) for event, by, verdict in told)))
    return pairs


def _same(answers: Sequence[Judged]) -> Share:
    return Share(sum(each.says_same for each in answers), len(answers))


def _last_of_each(answers: Iterable[Judged]) -> list[Judged]:
    """Keep the last answer about each pair, whoever gave it."""
    return list({(each.left, each.right): each for each in answers}.values())


def _by_pair(answers: Iterable[Judged]) -> dict[tuple[int, int], list[Judged]]:
    """Gather the last answer of each person about each pair."""
    found: dict[tuple[int, int], dict[str, Judged]] = {}
    for each in answers:
        found.setdefault((each.left, each.right), {})[each.by] = each
    return {rows: list(own.values()) for rows, own in found.items()}


def _agreement(settled: Sequence[Judged]) -> Share:
    several = [own for own in _by_pair(settled).values() if len(own) > 1]
    return Share(sum(len({each.verdict for each in own}) == 1 for own in several), len(several))


def _reviewers(answers: Sequence[Judged]) -> tuple[Reviewer, ...]:
    found: dict[str, Counter[str]] = {}
    for each in answers:
        found.setdefault(each.by, Counter())[each.verdict] += 1
    people = (Reviewer(name, dict(verdicts)) for name, verdicts in found.items())
    return tuple(sorted(people, key=lambda each: (-each.answers, each.name)))


def doubtful_left(connection: Connection) -> int:
    """Count the doubtful pairs that nobody has settled."""
    doubtful = connection.execute(
        "SELECT count(*) FROM pairs WHERE probability >= ? AND probability < ?", (APART, SURE)
    ).fetchone()[0]
    settled = connection.execute(
        f"""SELECT count(*) FROM (SELECT DISTINCT left, right FROM decisions WHERE undone IS NULL
        AND verdict IN {VERDICTS_THAT_SETTLE}) d JOIN pairs p ON p.left = d.left AND p.right = d.right
        WHERE p.probability >= ? AND p.probability < ?""",
        (APART, SURE),
    ).fetchone()[0]
    return int(doubtful - settled)
