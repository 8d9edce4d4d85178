"""kembar beside other programs that find the posts of one product, on the same sets, in one run.

    python bench/held_out.py LESSONS MARGINS --title FOLDER -o CLASSIFIERS
    python bench/peers.py WORK --classifiers CLASSIFIERS --title FOLDER [-o docs/figures/peers.md]

The peers are not kembar's dependencies: pip install splink semhash dedupe imagededup pandas "BTrees<6" (dedupe
3.0.3 calls what BTrees 6 no longer has). Each peer runs in a process of its own on each set (bench/peers_sets.py), by
one thread. WORK keeps what was found, one line a run, so that a second call runs only what is missing; --again NAME
runs a peer anew. CLASSIFIERS holds classifiers that have not seen the market; FOLDER what `bench/train_title.py
--left-out` wrote, for the Shopee fold. --sets and --peers run a part.
"""

import argparse
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from peers_methods import CDIST_MOST, NEAREST, PEERS, TAUGHT, CannotRunError, Found, Inputs, Peer
from peers_sets import SETS, Posts, Truth, lists, prepare

Line = dict[str, Any]
MIN2 = " + min2"
KEMBAR = "kembar"
STOPPED = (-signal.SIGXCPU, -signal.SIGKILL, 128 + signal.SIGXCPU)


# ---- one peer on one set, in its own process -------------------------------------------------------------------------


def child(name: str, posts: Posts, inputs: Inputs) -> Iterator[Line]:
    """Run a peer, take its costs, then score what it found."""
    peer, start = PEERS[name], time.perf_counter()
    line: Line = {"peer": name, "set": posts.name, "versions": {each: version(each) for each in peer.packages}}
    try:
        found = peer.run(posts, inputs)
    except CannotRunError as error:
        yield {**line, "why": str(error)}
        return
    line |= {"wall": time.perf_counter() - start, **costs(), "pairs": len(found.score), "facts": found.facts}
    truth = Truth.of(posts.folder)
    line |= {"posts": len(truth)} | ceiling(found, truth)
    yield line | figures(peer, found, truth)
    if peer.min2 and not truth.pairs_alone and posts.photos is None:
        yield line | {"peer": name + MIN2} | min2_figures(peer, found, truth)


def costs() -> dict[str, float]:
    """CPU seconds and peak memory in MiB of this process and those it started, so far."""
    from kembar.memory import peak_memory

    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = sum(each.ru_utime + each.ru_stime for each in (own, others))
    return {"cpu": cpu, "memory": max(peak_memory() / 2**20, others.ru_maxrss / 2**10)}


def counted(found: Found, truth: Truth) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs that count in a set."""
    counts = truth.counts(found.left, found.right)
    return found.left[counts], found.right[counts], found.score[counts]


def ceiling(found: Found, truth: Truth) -> dict[str, float]:
    """F1 of matching nothing (of test pairs: all), and the share of the true pairs that were scored at all."""
    left, right, _ = counted(found, truth)
    true = (truth.labels[left] == truth.labels[right]).sum()
    alone = float((2 / (1 + truth.sizes())).mean())
    if truth.pairs_alone:  # here the figure to be above is that of calling every test pair a match
        alone = float(2 * truth.same.mean() / (1 + truth.same.mean()))
    return {"alone": alone, "scored": float(2 * true / max(1, (truth.sizes() - 1).sum()))}


def figures(peer: Peer, found: Found, truth: Truth) -> Line:
    """The figures at the default and at the threshold that is best on these labels."""
    if found.edges is not None:
        return {"default": truth.judged(*found.edges)}
    pairs = counted(found, truth)
    best = truth.best_of_asked(*pairs) if truth.pairs_alone else truth.curve(*pairs).best()[0]
    assert peer.default is not None
    return {
        "default": truth.judged(*lists(*pairs, peer.default)),
        "best": truth.judged(*lists(*pairs, best)),
        "threshold": peer.shown(best) if np.isfinite(best) else "none",
    }


def min2_figures(peer: Peer, found: Found, truth: Truth) -> Line:
    """The same, each post with its nearest: always by default, above the best min2 at the best."""
    pairs = counted(found, truth)
    cut, min2, _ = truth.curve(*pairs).best_min2()
    assert peer.default is not None
    return {
        "default": truth.judged(*lists(*pairs, peer.default, -np.inf)),
        "best": truth.judged(*lists(*pairs, cut, min2)),
        "threshold": " / ".join(peer.shown(each) if np.isfinite(each) else "none" for each in (cut, min2)),
    }


# ---- all runs --------------------------------------------------------------------------------------------------------


def run_all(work: Path, inputs: Inputs, names: list[str], sets: list[str], seconds: int) -> None:
    """Run what is not yet known."""
    for name, where in ((name, where) for where in sets for name in names):
        if any(line["peer"] == name and line["set"] == where for line in known(work)):
            continue
        posts = Posts(where, prepare(where, work, inputs.data))
        for line in run(name, posts, inputs, seconds):
            with (work / "results.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        print(where, name, line.get("why") or f"F1 {max_f1(line):.4f}, {line['cpu']:.0f} CPU s", flush=True)


def run(name: str, posts: Posts, inputs: Inputs, seconds: int) -> list[Line]:
    """Run a peer on a set in a process of its own."""
    command = [sys.executable, __file__, str(posts.folder), "--child", name]
    for option, folder in (("--classifiers", inputs.classifiers), ("--title", inputs.encoders)):
        command += [option, str(folder)] if folder else []
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
    failed = {"peer": name, "set": posts.name}
    limit = [*("sh", "-c", f'ulimit -t {seconds}; exec "$@"', "sh"), *command]
    done = subprocess.run(limit, env=os.environ | threads, capture_output=True, text=True)
    if done.returncode in STOPPED:
        return [{**failed, "why": f"stopped after {seconds:,} CPU s"}]
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return [{**failed, "why": f"failed: {done.stderr.strip().splitlines()[-1][:200]}"}]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"peer"')]


def known(work: Path) -> list[Line]:
    """What was found so far; of runs made anew the last."""
    path = work / "results.jsonl"
    lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return list({(line["set"], line["peer"]): line for line in lines}.values())


def forget(work: Path, names: list[str]) -> None:
    """Leave out what is to be run anew."""
    kept = [line for line in known(work) if line["peer"].removesuffix(MIN2) not in names]
    if kept or names:
        (work / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")


# ---- the page --------------------------------------------------------------------------------------------------------

INTRO = """# kembar beside its peers

{machine}; {threads} Written by `python bench/peers.py WORK --classifiers CLASSIFIERS --title FOLDER`.

- **F1**: the mean over posts, lists with the post itself. A peer's list holds the posts whose score with it reaches the
  threshold, as in Kaggle's notebooks; **min2**: and always its nearest (at best: if that is above a second threshold).
  kembar's lists are its `matches`. In amazon_google and walmart_amazon pairs across the two shops alone count; of the
  wdc sets the published test pairs, a pair matched where one post is in the other's list.
- **at best**: the threshold is the best on the very labels that are scored here, which no user has. kembar has no such
  figure: nothing of it was set on this page. Rows in the order of the better of the two.
- **kembar**: its defaults, by a classifier that learned from the other markets alone (`bench/held_out.py`), on Shopee
  also with a title encoder that learned from other folds.
- **Candidates**: TF-IDF and rapidfuzz keep the {nearest} nearest of each post; rapidfuzz compares all pairs up to
  {most:,} posts, else the {nearest} nearest by word TF-IDF. Splink compares posts that share one of their five rarest
  words, or the hash; it learns by EM. dedupe has the columns of its Abt-Buy example and learned from the published test
  pairs of {taught}; its blocks are its own.
- **SemHash** has kembar's title encoder as its model, on Shopee the one of the other folds: its own model is loaded
  from a hub that this machine does not reach. **imagededup** has the hashes that come with the Shopee posts (the photos
  are not at hand); its CNN needs weights from the network and did not run.
- Prices are given to Splink, dedupe and kembar, hashes to Splink, Kaggle's rule, imagededup and kembar.
- **CPU s**, **seconds**, **peak MiB**: of the whole process, the interpreter and all imports included.
"""
DEFAULTS = ("| peer | version | default threshold | where from |", "| --- | --- | --- | --- |")


def page(lines: list[Line]) -> str:
    """All tables as Markdown."""
    machine = f"{processor()}, {os.cpu_count()} cores, shared with other work; Python {platform.python_version()}"
    text = INTRO.format(
        machine=machine,
        threads="numeric libraries have one thread, DuckDB (Splink) what it takes.",
        nearest=NEAREST,
        most=CDIST_MOST,
        taught=TAUGHT,
    )
    parts = [text, "\n".join([*DEFAULTS, *(default(name, peer, lines) for name, peer in PEERS.items())]) + "\n"]
    for name in SETS:
        own = [line for line in lines if line["set"] == name]
        if own:
            parts += [section(name, own)]
    return "\n".join(parts)


def default(name: str, peer: Peer, lines: list[Line]) -> str:
    told = next((line["versions"] for line in lines if line["peer"] == name and "versions" in line), {})
    threshold = "" if peer.default is None else peer.shown(peer.default)
    versions = ", ".join(f"{package} {number}" for package, number in told.items())
    return f"| {name} | {versions} | {threshold} | {peer.source} |"


def section(name: str, lines: list[Line]) -> str:
    """The table of one set, and where kembar is not first."""
    done = sorted((line for line in lines if "default" in line), key=lambda line: -max_f1(line))
    measures = measures_of(name, done)
    heads = ["peer", *(head for _, title in measures for head in (title, "at best")), "threshold", "CPU s", "seconds"]
    rows = [heads, ["---", *["---:"] * (len(heads) - 1), "---:"], *(row(line, measures) for line in done)]
    rows[0] = [*heads, "peak MiB"]
    first = done[0] if done else {"posts": 0, "alone": 0}
    plain = "calling every test pair a match" if name.startswith("wdc") else "matching nothing"
    told = f"{first['posts']:,} posts; F1 of {plain}: {first['alone']:.4f}."
    text = [f"## {name}", "", told, "", *("| " + " | ".join(cells) + " |" for cells in rows), ""]
    failed = [f"{line['peer']} ({line['why']})" for line in lines if "why" in line]
    text += [f"Did not run: {'; '.join(failed)}.", ""] if failed else []
    return "\n".join([*text, *verdict(done), ""])


def measures_of(name: str, lines: list[Line]) -> list[tuple[str, str]]:
    """The measures of a set, the one that counts first."""
    if name.startswith("wdc"):
        return [("test_f1", "F1 of test pairs")]
    tested = any("test_f1" in line["default"] for line in lines)
    return [("f1", "F1"), ("pair_f1", "pair F1"), *([("test_f1", "test pairs")] if tested else [])]


def row(line: Line, measures: list[tuple[str, str]]) -> list[str]:
    cells = [label(line)]
    for measure, _ in measures:
        cells += [f"{line['default'][measure]:.4f}", f"{line['best'][measure]:.4f}" if "best" in line else ""]
    cells.append(line.get("threshold", ""))
    return [*cells, f"{line['cpu']:.1f}", f"{line['wall']:.1f}", f"{line['memory']:,.0f}"]


def label(line: Line) -> str:
    if line["peer"] != KEMBAR:
        return line["peer"]
    return "**kembar**" if line["facts"]["unseen"] else "**kembar** (has learned from this market: no fair figure)"


def key(line: Line) -> str:
    return "test_f1" if line["set"].startswith("wdc") else "f1"


def max_f1(line: Line) -> float:
    return max(line[at][key(line)] for at in ("default", "best") if at in line)


def verdict(lines: list[Line]) -> list[str]:
    """Who is before kembar, and by what."""
    own = next((line for line in lines if line["peer"] == KEMBAR), None)
    if own is None:
        return ["kembar has not run here."]
    better = [line for line in lines if line is not own and max_f1(line) > max_f1(own)]
    if not better:
        return ["kembar is first." if len(lines) > 1 else "No peer has run here yet."]
    prefix, said = key(own).removesuffix("f1"), own["default"]
    text = [
        f"kembar is not first: precision {said[prefix + 'precision']:.3f}, recall {said[prefix + 'recall']:.3f}; "
        f"{own['scored']:.1%} of the labelled true pairs were candidates, its cut is {own['facts']['cut']:.2f}.",
        "",
    ]
    return [*text, *(f"- {before(line, said, prefix)}" for line in better)]


def before(line: Line, own: dict[str, float], prefix: str) -> str:
    """What a better peer does better."""
    usual = line["default"][key(line)] > own[key(line)]
    best = line["default"] if usual and "best" not in line else line["best"]
    gains = {name: best[prefix + name] - own[prefix + name] for name in ("precision", "recall")}
    ahead = " and ".join(f"{name} {best[prefix + name]:.3f}" for name, gain in gains.items() if gain > 0)
    when = "already by default, and at best" if usual else "only at its best threshold, chosen on these labels"
    return f"{line['peer']}, {when}: by {ahead}."


def processor() -> str:
    """The model of this machine's processor."""
    found = Path("/proc/cpuinfo")
    for line in found.read_text(encoding="utf-8").splitlines() if found.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--classifiers", type=Path, help="a folder for each group left out")
    parser.add_argument("--title", type=Path, help="folder of encoder0 …: title encoders of the other Shopee folds")
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--again", nargs="*", default=[], help="peers to run anew")
    parser.add_argument("--seconds", type=int, default=1800, help="CPU seconds after which a run is stopped")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    inputs = Inputs(Path(os.environ.get("KEMBAR_DATA", beside)), arguments.classifiers, arguments.title)
    if arguments.child:
        for line in child(arguments.child, Posts(arguments.work.name, arguments.work), inputs):
            print(json.dumps(line), flush=True)
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    forget(arguments.work, arguments.again)
    run_all(arguments.work, inputs, arguments.peers, arguments.sets, arguments.seconds)
    text = page(known(arguments.work))
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
