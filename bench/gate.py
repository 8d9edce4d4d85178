"""What a gate before the trees loses: pairs that rules find too unlike to be looked at. Writes docs/figures/gate.md.

    python bench/gate.py LESSONS MARGINS [-o docs/figures/gate.md]

LESSONS are the pools of `bench/lessons.py`, MARGINS the log-odds of `bench/markets.py`: of trees that have not seen the
market, calibrated without it. A pair is passed over where the similarity of the rules is below the gate and no
quantities contradict each other; its probability is then 0. Lost are pairs at or above one half.
"""

import argparse
from pathlib import Path

import numpy as np

from markets import CUTS, Lesson, calibrated, counts, scores

GATES = (0.2, 0.22, 0.25, 0.3)
CUT = int(np.abs(CUTS - 0.5).argmin())


def row(pool: Lesson, probability: np.ndarray) -> str:
    similarity, against, agree = pool.table(("similarity", "units conflict", "units agree")).T
    f1, accepted = scores(pool, probability)[CUT, 0], probability >= 0.5
    cells = [pool.path.stem, f"{len(probability):,}", f"{int(accepted.sum()):,}", f"{f1:.4f}"]
    for gate in GATES:
        passed = (similarity < gate) & ~((against > 0) & ~(agree > 0))
        after = scores(pool, np.where(passed, np.float32(0), probability))[CUT, 0]
        cells.append(f"{passed.mean():.0%}, {int((passed & accepted).sum())}, {after - f1:+.4f}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", type=Path)
    parser.add_argument("margins", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    pools = [Lesson(path) for path in sorted(arguments.lessons.glob("*.npz"))]
    pools = [p for p in pools if p.kind == "full" and (arguments.margins / f"{p.path.stem}.npy").exists()]
    heads = ["pool", "pairs", "accepted", "F1", *(f"below {gate:g}: share, lost, F1" for gate in GATES)]
    lines = [f"| {' | '.join(heads)} |", "| --- " + "| ---: " * (len(heads) - 1) + "|"]
    print("\n".join(lines), flush=True)
    for pool in pools:
        calibration = calibrated(pools, arguments.margins, pool.group if counts(pool) else None)
        lines.append(row(pool, calibration(np.load(arguments.margins / f"{pool.path.stem}.npy"))))
        print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
