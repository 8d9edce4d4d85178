"""Which pair comes next: on stores of every shape that hypothesis thinks of, in the tables of a real one."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kembar.store.draws import draw_accepted, draw_apart
from kembar.store.judged import judged, last_answers
from kembar.store.progress import Share, disagreements, doubtful_left, progress, wilson
from kembar.store.records import APART, SURE, VERDICTS, Contradiction
from kembar.store.review import (
    APART_SHARE,
    KINDS,
    QUIET_SHARE,
    SECOND_SHARE,
    Item,
    answers_in_queue,
    next_item,
    pair_item,
    turn_of,
)
from kembar.store.schema import TABLES
from properties import examples

Pair = tuple[int, int, float]


class Closing(sqlite3.Connection):
    """A connection that is closed when nobody holds it."""

    def __del__(self) -> None:
        self.close()


def store(groups: Sequence[int], pairs: Sequence[Pair]) -> sqlite3.Connection:
    """A store of posts p1, p2, ... in these groups, with these pairs."""
    # The garbage is collected by whichever thread comes by, which then closes it.
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=Closing, check_same_thread=False)
    connection.executescript(TABLES)
    connection.executemany("INSERT INTO groups VALUES (?, ?)", [(row, f"g{row}") for row in sorted(set(groups))])
    connection.executemany(
        "INSERT INTO posts VALUES (?, ?, ?, '', '', NULL, '', '', '', '{}', ?, 0, NULL)",
        [(row, f"p{row}", f"title {row}", group) for row, group in enumerate(groups, 1)],
    )
    connection.executemany("INSERT INTO pairs VALUES (?, ?, ?)", pairs)
    return connection


def say(connection: sqlite3.Connection, item: Item, verdict: str, by: str) -> int:
    """Keep an answer, as the store does; groups stay."""
    number = connection.execute(
        "INSERT INTO events (at, kind, by, note, body) VALUES ('', 'decide', ?, '', '{}')", (by,)
    ).lastrowid
    left, right = sorted(int(each[1:]) for each in (item.a, item.b))
    connection.execute(
        "INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, NULL)", (number, left, right, verdict, by, item.note)
    )
    return int(number or 0)


@st.composite
def stores(draw: st.DrawFn) -> tuple[list[int], list[Pair]]:
    n = draw(st.integers(2, 12))
    groups = draw(st.lists(st.integers(1, 4), min_size=n, max_size=n))
    ends = [(left, right) for left in range(1, n + 1) for right in range(left + 1, n + 1)]
    chosen = draw(st.lists(st.sampled_from(ends), unique=True))
    odds = st.sampled_from([0.03, 0.09, 0.1, 0.3, 0.5, 0.52, 0.89, 0.9, 0.97, 1.0])
    return groups, [(*each, draw(odds)) for each in sorted(chosen)]


@examples(60)
@given(stores(), st.integers(0, 3), st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=6))
def test_no_pair_is_asked_twice_of_one_person_and_all_doubtful_ones_are(made, seed, verdicts) -> None:
    connection = store(*made)
    seen = set()
    for turn in range(200):
        item = next_item(connection, "ana", seed=seed)
        if item is None:
            break
        assert (item.a, item.b) not in seen
        seen.add((item.a, item.b))
        assert (item.kind == "quiet") == (item.probability >= SURE or item.probability < APART)
        assert item.kind != "quiet" or item.together == (item.probability >= SURE)
        say(connection, item, verdicts[turn % len(verdicts)], "ana")
    doubtful = {(f"p{left}", f"p{right}") for left, right, p in made[1] if APART <= p < SURE}
    assert doubtful <= seen
    if set(verdicts) <= {"same", "different", "variant"}:
        assert doubtful_left(connection) == 0


@examples(60)
@given(stores(), st.integers(0, 3), st.integers(0, 5))
def test_the_same_state_and_seed_give_the_same_question(made, seed, answers) -> None:
    connection, again = store(*made), store(*made)
    for _ in range(answers):
        item = next_item(connection, "ana", seed=seed)
        assert item == next_item(connection, "ana", seed=seed)
        assert item == next_item(again, "ana", seed=seed)
        if item is None:
            return
        say(connection, item, "unsure", "ana")
        say(again, item, "unsure", "ana")


@examples(60)
@given(stores(), st.integers(0, 3))
def test_what_one_person_settled_comes_back_to_another_as_a_second_opinion_alone(made, seed) -> None:
    connection = store(*made)
    settled = set()
    while (item := next_item(connection, "ana", seed=seed)) is not None:
        say(connection, item, "different", "ana")
        settled.add((item.a, item.b))
    for _ in range(60):
        item = next_item(connection, "ben", seed=seed)
        if item is None:
            break
        assert ((item.a, item.b) in settled) == (item.kind == "second")
        say(connection, item, "same", "ben")


@examples(100)
@given(st.integers(0, 10**6), st.text(max_size=8), st.integers(0, 10**5))
def test_of_every_five_items_one_is_quiet_and_of_every_ten_one_is_a_second_opinion(seed, by, block) -> None:
    begin = SECOND_SHARE * block
    turns = [turn_of(seed, by, begin + place) for place in range(SECOND_SHARE)]
    assert turns[:QUIET_SHARE].count("quiet") == turns[QUIET_SHARE:].count("quiet") == 1
    assert turns.count("second") == 1


def shop(seed: int, n: int = 400) -> tuple[list[int], list[Pair]]:
    """Groups of one to nine posts; one accepted pair in six is wrong."""
    draw = Random(seed)
    groups: list[int] = []
    while len(groups) < n:
        groups += [len(set(groups)) + 1] * draw.randint(1, 9)
    rows = range(1, len(groups) + 1)
    inside = [
        (a, b, 0.95) for a in rows for b in range(a + 1, min(a + 9, len(groups) + 1)) if groups[a - 1] == groups[b - 1]
    ]
    across = {tuple(sorted(draw.sample(rows, 2))) for _ in range(900)}
    odds = [0.05, 0.05, 0.3, 0.45, 0.55, 0.7]
    pairs = [(a, b, draw.choice(odds)) for a, b in across if groups[a - 1] != groups[b - 1]]
    return groups, sorted([*inside, *pairs])


def test_the_share_of_quiet_cases_is_the_one_that_is_stated() -> None:
    connection = store(*shop(0))
    kinds = Counter()
    for _ in range(100):
        item = next_item(connection, "ana")
        kinds[item.kind, item.together] += 1
        say(connection, item, "unsure", "ana")
    quiet = kinds["quiet", True] + kinds["quiet", False]
    assert quiet == 100 // QUIET_SHARE
    assert kinds["quiet", False] == pytest.approx(quiet / APART_SHARE, abs=5)
    assert kinds["doubtful", False] == 80


def test_every_accepted_pair_is_equally_likely_to_be_drawn() -> None:
    groups = [1] * 2 + [2] * 3 + [3] * 6  # 1, 3 and 15 pairs: a draw of groups alone would prefer the first
    pairs = [(a, b, 0.95) for a in range(1, 12) for b in range(a + 1, 12) if groups[a - 1] == groups[b - 1]]
    pairs[4] = (*pairs[4][:2], 0.6)  # not accepted
    connection = store(groups, pairs)
    found = Counter(draw_accepted(connection, "ana", Random(each), SURE)[:2] for each in range(3600))
    assert set(found) == {pair[:2] for pair in pairs if pair[2] >= SURE}
    expected = 3600 / len(found)
    assert sum((count - expected) ** 2 / expected for count in found.values()) < 43  # chi square, 17 degrees: p = .0005


def test_every_pair_apart_is_equally_likely_to_be_drawn() -> None:
    pairs = [(1, 2, 0.05), (1, 3, 0.05), (1, 4, 0.05), (1, 5, 0.05), (2, 6, 0.05), (3, 4, 0.3)]
    connection = store([1, 2, 3, 4, 5, 6], pairs)
    found = Counter(draw_apart(connection, "ana", Random(each), APART)[:2] for each in range(500))
    assert set(found) == {pair[:2] for pair in pairs[:5]}
    assert sum((count - 100) ** 2 / 100 for count in found.values()) < 20  # chi square, 4 degrees: p = .0005


def test_the_measured_precision_is_that_of_all_accepted_pairs() -> None:
    """Doubtful pairs alone would measure .5 or so; quiet cases measure what holds, whatever else is asked."""
    measured = []
    for seed in range(8):
        made = shop(seed, 250)
        wrong = Random(seed).sample(range(len(made[1])), len(made[1]) // 6)
        false = {made[1][at][:2] for at in wrong}
        connection = store(*made)
        for _ in range(240):
            item = next_item(connection, "ana", seed=seed)
            pair = (int(item.a[1:]), int(item.b[1:]))
            say(connection, item, "different" if pair in false else "same", "ana")
        accepted = [pair[:2] for pair in made[1] if pair[2] >= SURE]
        truth = sum(pair not in false for pair in accepted) / len(accepted)
        found = progress(connection).accepted
        assert found.of > 20
        measured.append(found.value - truth)
    assert abs(sum(measured) / len(measured)) < 0.04
    assert max(map(abs, measured)) > 0  # a sample, not a count of all


def test_the_most_doubtful_come_first_and_not_one_neighbourhood_alone() -> None:
    groups = [1, 1, 1, 2, 3, 4, 5]
    pairs = [(1, 4, 0.5), (2, 4, 0.51), (3, 4, 0.49), (5, 6, 0.55), (5, 7, 0.8)]
    connection = store(groups, pairs)
    asked = []
    while (item := next_item(connection, "ana", seed=1)) is not None:
        asked.append((item.a, item.b))
        say(connection, item, "unsure", "ana")
    assert set(asked[:2]) >= {("p5", "p6")}  # the neighbourhood of p4 was asked about once, then the other one
    assert len(asked) == 5


def test_people_who_review_together_begin_with_different_pairs() -> None:
    connection = store(*shop(3))
    first = {(item.a, item.b) for name in "abcdefgh" if (item := next_item(connection, name, seed=2)) is not None}
    assert len(first) > 4


def test_proposed_merges_are_asked_about_by_their_most_alike_posts() -> None:
    connection = store([1, 1, 2, 2, 3], [(1, 3, 0.7), (2, 3, 0.93), (2, 4, 0.2), (4, 5, 0.3)])
    connection.execute("INSERT INTO events (at, kind, by, note, body) VALUES ('', 'add', '', '', '{}')")
    connection.execute("INSERT INTO merges VALUES (1, 1, 2, 0.8, NULL)")
    seen = []
    while (item := next_item(connection, "ana")) is not None:
        seen.append(item)
        say(connection, item, "unsure", "ana")
    assert [(item.a, item.b) for item in seen if item.kind == "merge"] == [("p2", "p3")]
    assert seen[0].kind == "merge" or turn_of(0, "ana", 0) != "doubtful"
    connection.execute("UPDATE merges SET closed = 1")
    assert all(item.kind != "merge" for item in [next_item(connection, "ben")] if item)
    assert progress(connection).merges == 0


def test_contradictions_come_before_all_else() -> None:
    connection = store([1, 1, 2], [(1, 2, 0.95), (1, 3, 0.5)])
    told = [Contradiction("p1", "p2", (1, 2))]
    kinds = {seed: next_item(connection, "ana", against=told, seed=seed).kind for seed in range(6)}
    assert "contradiction" in kinds.values()
    for seed, kind in kinds.items():
        assert kind == ("contradiction" if turn_of(seed, "ana", 0) == "doubtful" else kind)


def test_posts_that_were_removed_are_not_asked_about() -> None:
    connection = store([1, 1, 2, 3], [(1, 2, 0.95), (1, 3, 0.5), (2, 4, 0.05)])
    connection.execute("INSERT INTO events (at, kind, by, note, body) VALUES ('', 'remove', '', '', '{}')")
    connection.execute("UPDATE posts SET removed = 1 WHERE row IN (1, 4)")
    assert next_item(connection, "ana") is None
    assert next_item(connection, "ana", quiet_only=True) is None
    assert pair_item(connection, "p1", "p2") is None


def test_an_answer_that_was_taken_back_is_asked_again() -> None:
    connection = store([1, 2], [(1, 2, 0.5)])
    item = next_item(connection, "ana")
    event = say(connection, item, "same", "ana")
    assert next_item(connection, "ana") is None
    assert last_answers(connection, "ana", 1).event == event
    connection.execute("INSERT INTO events (at, kind, by, note, body) VALUES ('', 'undo', '', '', '{}')")
    connection.execute("UPDATE decisions SET undone = ? WHERE event = ?", (event + 1, event))
    assert next_item(connection, "ana") == item
    assert last_answers(connection, "ana", 1) is None
    assert list(judged(connection)) == []


def test_pairs_that_people_chose_do_not_count_for_the_queue() -> None:
    connection = store([1, 1, 2], [(1, 2, 0.95), (1, 3, 0.5)])
    item = pair_item(connection, "p2", "p1")
    assert (item.a, item.b, item.kind, item.together) == ("p2", "p1", "chosen", True)
    say(connection, item, "different", "ana")
    assert answers_in_queue(connection, "ana") == 0
    assert progress(connection).accepted == Share(0, 0)  # chosen, so it says nothing of the others
    assert pair_item(connection, "p1", "p1") is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("probability", [None, 0.0, 0.4567, 1.0])
def test_every_item_says_why_and_its_note_is_read_again(kind, together, probability) -> None:
    item = Item("p1", "p2", kind, probability, together)
    assert item.why().endswith(".")
    assert "{" not in item.why()
    connection = store([1, 2], [])
    say(connection, item, "variant", "ana")
    (read,) = judged(connection)
    assert (read.kind, read.together, read.note) == (kind, together, item.note)
    assert read.probability == (None if probability is None else pytest.approx(probability, abs=0.0005))
    assert read.settles
    assert not read.says_same


def test_answers_from_elsewhere_have_no_reason() -> None:
    connection = store([1, 2], [])
    connection.execute("INSERT INTO events (at, kind, by, note, body) VALUES ('', 'decide', '', '', '{}')")
    connection.execute("INSERT INTO decisions VALUES (1, 1, 2, 'same', '', 'quiet, really', NULL)")
    (read,) = judged(connection)
    assert (read.kind, read.probability, read.together, read.note) == ("", None, None, "")


def test_progress_in_figures() -> None:
    connection = store(
        [1, 1, 2, 2, 3], [(1, 2, 0.95), (1, 3, 0.4), (2, 3, 0.6), (3, 4, 0.92), (4, 5, 0.05), (1, 5, 0.3)]
    )
    for a, b, kind, together, by, verdict in (
        ("p1", "p2", "quiet", True, "ana", "same"),
        ("p3", "p4", "quiet", True, "ana", "variant"),
        ("p4", "p5", "quiet", False, "ana", "unsure"),
        ("p1", "p3", "doubtful", False, "ana", "same"),
        ("p2", "p3", "doubtful", False, "ana", "different"),
        ("p2", "p3", "second", False, "ben", "same"),
        ("p1", "p2", "second", True, "ben", "same"),
    ):
        say(connection, Item(a, b, kind, 0.5, together), verdict, by)
    found = progress(connection)
    assert (found.accepted, found.missed) == (Share(1, 2), Share(0, 0))
    assert (found.doubtful, found.changed) == (Share(1, 1), Share(1, 1))  # the last answer about a pair counts
    assert found.agreement == Share(1, 2)
    assert found.unclear == 1
    assert (found.pairs, found.left) == (4, 1)
    assert [(person.name, person.answers) for person in found.reviewers] == [("ana", 5), ("ben", 2)]
    assert found.verdicts == {"same": 4, "variant": 1, "unsure": 1, "different": 1}
    assert found.expected == pytest.approx((1.0, found.changed.low, 1.0))
    (case,) = disagreements(connection)
    assert (case.a, case.b) == ("p2", "p3")
    assert [each[:2] for each in case.answers] == [("ana", "different"), ("ben", "same")]


@example(0, 0)
@example(0, 20)
@example(20, 20)
@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_holds_the_share(count, of) -> None:
    count = min(count, of)
    low, high = wilson(count, of)
    assert 0 <= low <= high <= 1
    assert Share(count, of).low == low
    if of:
        assert low <= count / of <= high
        z = 1.959964
        for end in {low, high} - {0.0, 1.0}:  # where the score test of that share is just refused
            assert abs(count / of - end) == pytest.approx(z * (end * (1 - end) / of) ** 0.5, abs=1e-6)
    else:
        assert (low, high) == (0, 1)
        assert Share(count, of).value is None


def test_wilson_as_published() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
