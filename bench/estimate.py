"""What larger catalogues would cost: CPU seconds by stage at two sizes, and what follows from their growth.

    python bench/estimate.py --sizes 25000 100000 -o docs/figures/estimate.md

Runs in parts on drawn titles and hashes, one thread. A stage that takes c CPU seconds at n posts and grows with the
power e (the slope between the two sizes, at least 1) is expected to take c (N / n)^e at N posts. Photos are not in it:
each costs what `bench/photos.py` measures, once. Work folders grow with the posts. The larger N / n, the less such a
figure is worth: it says in which order of size the answer lies, no more.
"""

import argparse
import math
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from kembar import Catalog, Local, Running, match_in_parts
from kembar.arrays import Progress
from kembar.cluster.parts import END_POST
from kembar.cluster.work import Task
from kembar.synthesis import write_shop

TARGETS = (10_000_000, 100_000_000, 1_000_000_000)
PART = 12_500


class Timed(Local):
    """Adds up the CPU seconds of each stage, and notes those of one task, which no second worker shortens."""

    def __init__(self) -> None:
        super().__init__(at_once=1)
        self.seconds: dict[str, float] = {}
        self.alone: set[str] = set()

    def run(self, folder: Path, tasks: Sequence[Task], progress: Progress | None) -> None:
        """Do tasks, and note what they took."""
        begin = time.process_time()
        super().run(folder, tasks, progress)
        stage = tasks[0].stage
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.process_time() - begin
        self.alone |= {stage} if len(tasks) == 1 else set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs=2, default=[25_000, 100_000])
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    measured = [measure(size) for size in arguments.sizes]
    lines = [*stages(arguments.sizes, measured), "", *estimates(arguments.sizes, measured)]
    print("\n".join(lines))
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(posts: int) -> tuple[dict[str, float], set[str], int]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_shop(folder / "shop", posts, photos=False)
        timed = Timed()
        running = Running(max(2, posts // PART), timed)
        match_in_parts(Catalog.read(folder / "shop" / "posts.csv"), folder / "work", running=running)
        disk = sum(path.stat().st_size for path in (folder / "work").iterdir())
        return timed.seconds, timed.alone, disk


def stages(sizes: list[int], measured: list[tuple[dict[str, float], set[str], int]]) -> list[str]:
    small, large = (each[0] for each in measured)
    lines = [
        f"{platform.machine()}, one thread, one run of each size; CPU seconds by stage.",
        "",
        f"| stage | {sizes[0]:,} posts | {sizes[1]:,} posts | exponent |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, seconds in large.items():
        if seconds >= 1:
            lines.append(
                f"| {name} | {small[name]:.1f} | {seconds:.1f} | {exponent(sizes, small[name], seconds):.2f} |"
            )
    before, after = sum(small.values()), sum(large.values())
    lines.append(f"| all | {before:.1f} | {after:.1f} | {exponent(sizes, before, after):.2f} |")
    return lines


def exponent(sizes: list[int], small: float, large: float) -> float:
    return math.log(max(large, 1e-3) / max(small, 1e-3)) / math.log(sizes[1] / sizes[0])


def estimates(sizes: list[int], measured: list[tuple[dict[str, float], set[str], int]]) -> list[str]:
    small, large = (each[0] for each in measured)
    _, alone, disk = measured[1]
    lines = [
        "| posts | CPU hours | of them by one worker alone | memory of each process | work folder |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for posts in TARGETS:
        factor = posts / sizes[1]
        powers = {name: max(1.0, exponent(sizes, small[name], seconds)) for name, seconds in large.items()}
        hours = {name: seconds * factor ** powers[name] / 3600 for name, seconds in large.items()}
        lines.append(
            f"| {posts:,} | {sum(hours.values()):,.0f} | {sum(hours[name] for name in alone):,.0f} "
            f"| {posts * END_POST / 2**30:,.0f} GiB | {disk * factor / 2**40:,.2f} TiB |"
        )
    return lines


if __name__ == "__main__":
    main()
