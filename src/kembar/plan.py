"""A run as a plan: named stages with explicit inputs and outputs.

The plan says what each stage needs and makes, not where it runs or in how many buckets. A stage that works on slices of
posts does its work bucket by bucket; what it must know of the whole catalogue comes to it as a fitted object among its
inputs.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from kembar.arrays import Progress
from kembar.errors import EvidenceError
from kembar.threads import unforked

log = logging.getLogger(__name__)


@dataclass
class Clock:
    """Seconds by stage, in the order they were first entered; tells a listener what is going on.

    Attributes:
        progress: told (stage, 0, 0) when a stage begins.
        seconds: by stage.
    """

    progress: Progress | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        log.info("%s", name)
        if self.progress:
            self.progress(name, 0, 0)
        start = perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a run.

    Attributes:
        name: for people, and for the times of a run.
        inputs: what it needs, by name.
        outputs: what it makes, by name; an input of the same name is replaced.
        run: a function of the inputs, in their order, that returns the outputs: one, or a tuple of them.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    run: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages in an order in which each finds its inputs.

    Attributes:
        given: names of what a run starts with.
        stages: the steps.

    Raises:
        EvidenceError: a stage needs what nobody has made.
    """

    given: tuple[str, ...]
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        known = set(self.given)
        for stage in self.stages:
            lacking = [name for name in stage.inputs if name not in known]
            if lacking:
                raise EvidenceError(
                    f"stage {stage.name!r} that needs {lacking[0]!r}", "something made before", "Reorder the stages."
                )
            known |= set(stage.outputs)

    @unforked
    def run(self, values: Mapping[str, Any], wanted: Sequence[str], clock: Clock) -> list[Any]:
        """Run all stages, one after the other; what no later stage needs is let go.

        Args:
            values: what is given, by name.
            wanted: names of what is to be returned.
            clock: takes the time of the stages.

        Returns:
            The wanted values.
        """
        held = dict(values)
        for at, stage in enumerate(self.stages):
            with clock.stage(stage.name):
                made = stage.run(*(held[name] for name in stage.inputs))
            held.update(zip(stage.outputs, made if len(stage.outputs) > 1 else (made,), strict=True))
            later = {name for rest in self.stages[at + 1 :] for name in rest.inputs} | set(wanted)
            held = {name: value for name, value in held.items() if name in later}
        return [held[name] for name in wanted]
