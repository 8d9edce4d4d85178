"""Matching in parts: the whole way as stages from files to files, with the result of `Matcher.match`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from kembar.arrays import Progress
from kembar.classifier.pair_classifier import PairClassifier, model_folder
from kembar.cluster.decisions import result
from kembar.cluster.executors import Executor, Local
from kembar.cluster.posts import check_config
from kembar.cluster.shared import Shared, Start
from kembar.cluster.verdicts import look_for_drift, weighs_all
from kembar.cluster.work import Task, Work, work_folder
from kembar.config import Config
from kembar.encoders.embeddings import Embeddings
from kembar.errors import ConfigError
from kembar.plan import Clock
from kembar.posts.catalog import Catalog
from kembar.results.result import Result


@dataclass(frozen=True, slots=True)
class Running:
    """How a run in parts is done; none of it changes the result.

    Attributes:
        parts: into so many the posts are cut, at least 1.
        executor: where tasks run.
        device: for the encoders.
        cache: folder of vectors of earlier runs; None: everything is encoded anew.
    """

    parts: int = 1
    executor: Executor = field(default_factory=Local)
    device: str = "auto"
    cache: Path | None = None


def match_in_parts(
    catalog: Catalog,
    work: Path | str,
    config: Config | None = None,
    *,
    running: Running | None = None,
    embeddings: Mapping[str, Embeddings] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Match and group all posts of a catalogue, part by part, with the matches and groups of `Matcher.match`.

    What is done is kept in the work folder. If the process ends early, the same call goes on after the last whole file.

    Args:
        catalog: the posts.
        work: the work folder; made where it is not there. It can be removed when the result is saved.
        config: everything that can be set; the defaults where None.
        running: how it is done; in one part and this process where None.
        embeddings: as in `Matcher.match`.
        progress: called with (stage, done, total).

    Returns:
        The result. Candidate pairs that cannot be one product and are in no group are only counted (`Result.compared`).

    Raises:
        ConfigError: an option that needs all pairs at once, or less than one part.
        FolderError: the work folder is that of another run, another process works there, a file is damaged, or there is
            no classifier where the configuration names one.
    """
    config, running = config or Config(), running or Running()
    _check(running)
    check_config(config)
    order = catalog.ids.arg_sort().to_numpy().astype(np.int64)
    cache = running.cache
    start = Start(catalog, order, dict(embeddings or {}), config, running.device, cache, running.parts)
    with work_folder(Path(work), _identity(start)) as files:
        if not files.done(Task("start")):
            files.write(Task("start"), start)
        clock = Clock(progress)
        for tasks in filter(None, _stages(files)):  # where no view blends, there is nothing to do
            with clock.stage(tasks[0].stage):
                running.executor.run(files.folder, tasks, progress)
        with clock.stage("results"):
            return result(Shared(files), clock.seconds)


def _stages(files: Work) -> Iterator[Sequence[Task]]:
    """List the tasks of each stage; what there is to do is known stage by stage."""
    start = Shared(files).start
    every = range(start.parts)

    def parts(stage: str, names: Sequence[str] = ("",), step: int = 0) -> Sequence[Task]:
        return [Task(stage, part, name, step) for name in names for part in every]

    if start.catalog.folder is not None:
        yield parts("hashed")
    yield [Task("speaking")]
    yield parts("encoded")
    for stage in ("vectors", "settings", "kept"):
        yield [Task(stage)]
    yield parts("counted")
    for stage in ("fitted", "views", "quantities"):
        yield [Task(stage)]
    shared = Shared(files)
    yield parts("near", [view.name for view in shared.views])
    yield parts("pairs")
    blending, blend = shared.blending(), shared.config.advanced.blend
    for step in range(1, blend.steps + 1):
        yield [Task("weights", step=step)]
        yield parts("blended", blending, step)
        yield [Task("blended view", view=name, step=step) for name in blending]
        yield parts("near", blending if blend.search else (), step)
        yield parts("pairs", step=step)
    if not shared.config.by_rules:
        yield [Task("scorers")]
        yield parts("ranks")
        yield parts("judgements")
        look_for_drift(Shared(files))
    if weighs_all(shared):
        yield [Task("weighed")]
    yield [Task("decisions")]


def _check(running: Running) -> None:
    if running.parts < 1:
        raise ConfigError(f"{running.parts} parts", "at least 1", "Choose a positive number of parts.")


def _identity(start: Start) -> str:
    """Tell this run from others: by posts, vectors, options and parts."""
    digest = sha256(start.catalog.fingerprint().encode())
    digest.update("\n".join(start.catalog.ids).encode())  # in the order of the rows
    digest.update(str(start.catalog.folder).encode())
    for name, given in sorted(start.brought.items()):
        digest.update(name.encode())
        digest.update(given.vectors.tobytes())
    if not start.config.by_rules:
        PairClassifier.load(start.config.model)  # refuses what is none, before any work
        for path in sorted(model_folder(start.config.model).iterdir()):
            digest.update(path.read_bytes() if path.is_file() else b"")
    digest.update(f"{start.config.text()}\n{start.parts}".encode())
    return digest.hexdigest()
