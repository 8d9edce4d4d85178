import pytest

from kembar.errors import EvidenceError
from kembar.matcher import Matcher
from kembar.plan import Clock, Plan, Stage


def test_stages_run_in_order_and_let_go_of_what_nobody_needs():
    seen = []

    def add(a: int, b: int) -> int:
        seen.append((a, b))
        return a + b

    plan = Plan(
        ("a", "b"),
        (
            Stage("first", ("a", "b"), ("sum",), add),
            Stage("second", ("sum", "b"), ("sum", "twice"), lambda total, b: (total + b, 2 * total)),
            Stage("third", ("twice",), ("a",), lambda twice: -twice),
        ),
    )
    clock = Clock()
    assert plan.run({"a": 1, "b": 2}, ("sum", "a"), clock) == [5, -6]
    assert seen == [(1, 2)]
    assert list(clock.seconds) == ["first", "second", "third"]


def test_a_stage_that_needs_what_nobody_made_is_refused_at_once():
    with pytest.raises(EvidenceError, match="stage 'second' that needs 'b'"):
        Plan(("a",), (Stage("first", ("a",), ("c",), abs), Stage("second", ("b",), ("d",), abs)))


def test_progress_hears_of_every_stage():
    told = []
    plan = Plan(("a",), (Stage("first", ("a",), ("b",), abs),))
    plan.run({"a": -1}, ("b",), Clock(lambda *words: told.append(words)))
    assert told == [("first", 0, 0)]


def test_the_plan_of_a_run_names_all_stages():
    names = [stage.name for stage in Matcher().plan().stages]
    assert names[:3] == ["photo hashes", "placeholders", "encoders"]
    assert names[-2:] == ["decisions", "results"]
