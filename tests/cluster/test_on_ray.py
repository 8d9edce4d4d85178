"""On Ray: the same result, whatever happens to its workers."""

import gc
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread, Timer

import pytest
from test_in_parts import check_same, whole

from kembar import Catalog, ConfigError, FolderError
from kembar.arrays import Progress
from kembar.cluster import executors
from kembar.cluster.executors import OnRay
from kembar.cluster.match import Running, match_in_parts
from kembar.cluster.work import Task
from kembar.synthesis import synthesize

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module", autouse=True)
def leave_no_client() -> Iterator[None]:
    """A client of Ray that a process forked later collects as garbage brings that process down."""
    yield
    ray.shutdown()
    gc.collect()


@pytest.fixture(scope="module")
def shop() -> Catalog:
    return Catalog.read(synthesize(200, seed=6).posts)


@pytest.fixture(scope="module")
def on_ray() -> Iterator[OnRay]:
    """Two workers on this machine."""
    yield OnRay(workers=2)
    ray.shutdown()


def test_two_workers_find_what_one_process_finds(shop: Catalog, on_ray: OnRay, tmp_path: Path) -> None:
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"  # nothing is reported to Ray's makers
    check_same(whole(shop), match_in_parts(shop, tmp_path / "work", running=Running(3, on_ray)))


def _is_ours(process: Path) -> bool:
    """Tell whether a process was started by this one, or by one that was: others on this machine may use Ray too."""
    while process.name not in ("0", "1", str(os.getpid())):
        lines = (process / "status").read_text().splitlines()
        process = process.with_name(next(line.split()[1] for line in lines if line.startswith("PPid:")))
    return process.name == str(os.getpid())


class Kills(OnRay):
    """Kills a worker in the middle of a task of some stages."""

    def __init__(self, stages: Sequence[str]) -> None:
        super().__init__(workers=2)
        self.stages, self.killed = stages, 0

    def run(self, folder: Path, tasks: Sequence[Task], progress: Progress | None) -> None:
        killer = Thread(target=self._kill)
        if tasks[0].stage in self.stages:
            killer.start()
        super().run(folder, tasks, progress)
        if tasks[0].stage in self.stages:
            killer.join()

    def _kill(self) -> None:
        """Look for a worker that has a task, for half a minute at most."""
        for _ in range(3000):
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    if (process / "cmdline").read_bytes().startswith(b"ray::perform") and _is_ours(process):
                        os.kill(int(process.name), signal.SIGKILL)
                        self.killed += 1
                        return
            time.sleep(0.01)


def test_killed_workers_are_replaced(shop: Catalog, on_ray: OnRay, tmp_path: Path) -> None:
    kills = Kills(["encoded", "near", "pairs", "ranks", "judgements"])
    check_same(whole(shop), match_in_parts(shop, tmp_path / "work", running=Running(3, kills)))
    assert kills.killed >= 3  # some tasks are over before they are seen


def test_what_a_task_refuses_is_told_as_anywhere(shop: Catalog, on_ray: OnRay, tmp_path: Path) -> None:
    match_in_parts(shop, tmp_path, running=Running(2, on_ray))
    (tmp_path / "decisions.joblib").unlink()
    (tmp_path / "judgements-00001.joblib").write_bytes(b"nothing")
    with pytest.raises(FolderError, match=r"judgements-00001\.joblib"):
        match_in_parts(shop, tmp_path, running=Running(2, on_ray))


class LosesANode(OnRay):
    """Loses one of two nodes before some stage: what it was to do is done by the other."""

    def __init__(self, address: str, lose: Callable[[], None]) -> None:
        super().__init__(address)
        self.losing = Timer(1.0, lose)

    def run(self, folder: Path, tasks: Sequence[Task], progress: Progress | None) -> None:
        if tasks[0].stage == "near" and not tasks[0].step:
            self.losing.start()  # in the middle of it
        super().run(folder, tasks, progress)


def test_two_nodes_of_which_one_is_lost(shop: Catalog, tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    head = cluster.head_node
    try:
        other = cluster.add_node(num_cpus=1)
        both = OnRay(cluster.address)
        assert len([node for node in ray.nodes() if node["Alive"]]) == 2
        check_same(whole(shop), match_in_parts(shop, tmp_path / "both", running=Running(4, both)))
        losing = LosesANode(cluster.address, lambda: cluster.remove_node(other, allow_graceful=False))
        check_same(whole(shop), match_in_parts(shop, tmp_path / "one", running=Running(4, losing)))
        losing.losing.join()
        assert not other.any_processes_alive()
    finally:
        ray.shutdown()
        cluster.shutdown()
        head._gcs_client = None  # the node itself stays until this process ends, see `leave_no_client`


def test_tasks_that_encode_have_a_gpu_each(tmp_path: Path) -> None:
    ray.shutdown()
    ray.init(num_cpus=1, num_gpus=2, include_dashboard=False, log_to_driver=False)  # Ray takes one's word for it

    def noted(folder: Path, task: Task) -> None:
        found = ray.get_runtime_context().get_accelerator_ids()["GPU"]
        (folder / task.stage).write_text(str(len(found)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executors, "perform", noted)
        for gpus, wanted in ((True, "1"), (False, "0")):
            running = OnRay(gpus=gpus)
            for stage in ("encoded", "near"):
                running.run(tmp_path, [Task(stage, 0)], None)
            assert (tmp_path / "encoded").read_text() == wanted
            assert (tmp_path / "near").read_text() == "0"
    ray.shutdown()
    ray.init(num_cpus=1, num_gpus=0, include_dashboard=False, log_to_driver=False)
    with pytest.raises(ConfigError, match="a Ray cluster that has none"):
        OnRay(gpus=True)


def test_an_address_where_nobody_answers() -> None:
    ray.shutdown()
    with pytest.raises(ConfigError, match=r"the Ray address '127\.0\.0\.1:1'"):
        OnRay("127.0.0.1:1")
