"""Whatever is done to a store in whatever order: groups part the posts, decisions hold, the log tells it all."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kembar.errors import InputError
from kembar.store import Live
from properties import SEARCH
from small_stores import check_decisions, check_whole, groups_of, ids_of, looked_up, posts, retitled

PLACES = st.integers(0, 39)
STEPS = 20


class Stores(RuleBasedStateMachine):
    """A store under all that can be asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="kembar-test-"))
        self.live = Live.create(self.place / "store")
        self.there: set[str] = set()

    def teardown(self) -> None:
        self.live.close()
        shutil.rmtree(self.place)

    def some(self, which: int) -> str:
        """One of the posts that are there."""
        ids = sorted(self.there)
        return ids[which % len(ids)]

    @initialize(count=st.integers(3, 12))
    def begin(self, count: int) -> None:
        self.live.add(posts(*range(count)))
        self.there = set(ids_of(self.live))

    @rule(which=st.lists(PLACES, min_size=1, max_size=3, unique=True))
    def add(self, which: list[int]) -> None:
        new = posts(*which)
        try:
            placed = self.live.add(new, by="shop")
        except InputError:  # one of them is there under another title
            assert any(self.live.post(post).title != title for post, title in zip(new.ids, new.titles, strict=True)
                       if post in self.there)  # fmt: skip
            return
        assert [each.id for each in placed] == new.ids.to_list()
        for each in placed:
            assert (each.how == "known") == (each.id in self.there)
            assert self.live.post(each.id).group == each.group
        self.there |= set(new.ids)

    @precondition(lambda self: self.there)
    @rule(which=PLACES, like=PLACES)
    def update(self, which: int, like: int) -> None:
        post = self.some(which)
        place = int(post.removeprefix("post_"))
        placed = self.live.update(retitled(place, posts(like).titles[0]))
        assert [(each.id, each.how, each.group) for each in placed] == [(post, "updated", self.live.post(post).group)]

    @precondition(lambda self: self.there)
    @rule(which=PLACES)
    def remove(self, which: int) -> None:
        post = self.some(which)
        self.live.remove([post])
        self.there.remove(post)

    @precondition(lambda self: len(self.there) > 1)
    @rule(a=PLACES, b=PLACES, verdict=st.sampled_from(["same", "same", "different", "variant", "unsure"]))
    def decide(self, a: int, b: int, verdict: str) -> None:
        one, other = self.some(a), self.some(b)
        if one != other:
            self.live.decide(one, other, verdict, by="ann")

    @precondition(lambda self: self.there)
    @rule(which=PLACES, near=st.none() | PLACES)
    def move(self, which: int, near: int | None) -> None:
        post = self.some(which)
        group = None if near is None else self.live.post(self.some(near)).group
        if group != self.live.post(post).group:
            others = [] if group is None else [member.id for member in self.live.group(group).members]
            self.live.move(post, group, by="bob")
            groups = groups_of(self.live)
            assert list(groups.values()).count(groups[post]) == 1 or any(
                groups[post] == groups[each] for each in others
            )

    @precondition(lambda self: self.there)
    @rule(a=PLACES, b=PLACES)
    def merge(self, a: int, b: int) -> None:
        left, right = self.live.post(self.some(a)).group, self.live.post(self.some(b)).group
        if left != right:
            self.live.merge(left, right, by="bob")

    @precondition(lambda self: self.there)
    @rule(which=PLACES)
    def accept(self, which: int) -> None:
        before = groups_of(self.live)
        self.live.accept([self.live.post(self.some(which)).group], by="ann")
        assert groups_of(self.live) == before

    @rule(back=st.integers(0, 5))
    def undo(self, back: int) -> None:
        events = self.live.events(limit=10_000)
        event = events[max(0, len(events) - 1 - back)]
        before = groups_of(self.live), len(events)
        try:
            self.live.undo(event.number, by="ann")
        except InputError:  # told why: nothing changed
            assert (groups_of(self.live), len(self.live.events(limit=10_000))) == before
        self.there = set(ids_of(self.live))

    @precondition(lambda self: self.there)
    @rule()
    def regroup(self) -> None:
        """Group again from the pairs that are known: what was said holds, and once more moves nothing."""
        self.live.regroup()
        assert self.live.regroup().body["moved"] == {}

    @rule()
    def rematch(self) -> None:
        if not self.there:
            with pytest.raises(InputError, match="a store without posts"):
                self.live.rematch()
            return
        self.live.rematch()
        groups = groups_of(self.live)
        self.live.rematch()
        assert groups_of(self.live) == groups

    @rule()
    def reopen(self) -> None:
        before = looked_up(self.live), groups_of(self.live)
        self.live.close()
        self.live = Live.open(self.place / "store")
        after = looked_up(self.live), groups_of(self.live)
        assert [pair for pair in zip(*before[:1], *after[:1], strict=True) if pair[0] != pair[1]] == []
        assert after == before

    @invariant()
    def all_is_well(self) -> None:
        assert set(groups_of(self.live)) == self.there
        check_decisions(self.live)
        check_whole(self.live)


Stores.TestCase.settings = settings(
    settings.get_profile("kembar"),
    max_examples=SEARCH // STEPS or 8,  # of a search's examples each is a step, with all that must hold after it
    stateful_step_count=STEPS,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes minutes
)
TestStores = Stores.TestCase
