"""What answers are worth: F1 after none, 50, 100 and 300 of them. Writes docs/figures/answers.md.

    python bench/held_out.py LESSONS MARGINS --title FOLDER -o CLASSIFIERS
    python bench/answers.py CLASSIFIERS [-o docs/figures/answers.md]

Starts from a classifier that has not seen the market, asks what `kembar label-queue` asks, answers from the known
groups, and goes on learning as `kembar tune --labels` does; each number of answers anew from the start. Scored are the
same posts, matched anew; "unseen" are the posts that no question was about. Drawn siblings are a shop in which products
stand beside others of their line, which differ in size, colour or flavour alone.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kembar import Catalog, Config, Matcher, synthesize
from kembar.fitting.answers import learn_from_answers
from kembar.posts.labels import LabelledPairs
from kembar.results.result import Result
from kembar.results.scores import score_edges
from titles import data

ASKED = (50, 100, 300)
SETS = {"abt_buy": "abt_buy", "alaska_notebook": "alaska_notebook", "drawn siblings": "shopee0"}  # and who left it out
DRAWN = 2000


def posts(name: str) -> Catalog:
    if name == "drawn siblings":
        return Catalog.read(synthesize(DRAWN, seed=31, hashes=True).posts.drop("image_phash"))
    return Catalog.read(data() / "markets" / name / "posts.csv")


def answers(result: Result, n: int) -> LabelledPairs:
    """The first n questions, answered from the known groups."""
    queue, row = result.label_queue(n), {post: at for at, post in enumerate(result.catalog.ids)}
    left, right = (np.array([row[post] for post in queue[end]]) for end in ("left", "right"))
    low, high = np.minimum(left, right), np.maximum(left, right)
    labels = np.asarray(result.catalog.labels)
    return LabelledPairs(low, high, labels[low] == labels[high])


def f1(result: Result, asked: LabelledPairs) -> tuple[float, float]:
    """F1 of all posts, and of those that no question was about."""
    labels = np.asarray(result.catalog.labels)
    source, target = result.matches.edges()
    unseen = np.setdiff1d(np.arange(len(result)), np.concatenate([asked.left, asked.right]))
    inside = np.isin(source, unseen)
    found = 1 + np.bincount(source[inside], minlength=len(labels))
    both = 1 + np.bincount(source[inside], labels[source[inside]] == labels[target[inside]], len(labels))
    size = np.bincount(labels)[labels]
    return score_edges(source, target, labels).f1, float((2 * both / (found + size))[unseen].mean())


def lines(name: str, model: Path) -> Iterator[str]:
    catalog, start = posts(name), Config().with_model(str(model))
    first = Matcher(start).match(catalog)
    yield f"| {name} | {len(catalog):,} | 0 |  | {first.scores()['f1']:.4f} |  |  |"
    for n in ASKED:
        asked = answers(first, n)
        begin = time.process_time()
        learned = learn_from_answers(catalog, asked, start)
        seconds = time.process_time() - begin
        learned.save(model.parent / "learned", overwrite=True)
        result = Matcher(Config.read(model.parent / "learned" / "config.toml")).match(catalog)
        every, unseen = f1(result, asked)
        yield f"| {name} | {len(catalog):,} | {n} | {asked.same.sum()} | {every:.4f} | {unseen:.4f} | {seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("classifiers", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    text = [
        "| posts of | posts | answers | of them same | F1 | F1 of unseen posts | CPU-seconds |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, left_out in SETS.items():
        for line in lines(name, arguments.classifiers / left_out):
            print(line, flush=True)
            text.append(line)
    if arguments.output:
        arguments.output.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
