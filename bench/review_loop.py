"""What a review is worth: F1 before and after 50, 200 and 500 answered pairs. Writes docs/figures/review-loop.md.

    python bench/review_loop.py [--model FOLDER] [--sets "drawn siblings" alaska_notebook] [-o FILE]

A run becomes a store; what its review asks is answered from the known groups, quiet cases and merges among it; the
answers are exported and learned from as `kembar tune --labels` does, and all posts are matched anew by what was learned
("re-tuned", in which an answer does not hold by itself). Beside it stand the groups of the store after a re-match by
the old classifier, in which the answers hold ("answers kept"). "unseen" are the posts that no question was about.

--model: where learning starts, such as a classifier of bench/held_out.py that has not seen the market; by default the
one that ships, which has not seen drawn shops, but has seen the ten markets.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from answers import posts
from kembar import Catalog, Config, Live, Matcher
from kembar.arrays import Bools, Rows
from kembar.fitting.answers import learn_from_answers
from kembar.posts.labels import read_pairs
from kembar.results.result import Result
from kembar.store.review import next_item
from live_quality import f1, groups_of
from speed import processor

ASKED = (50, 200, 500)


def answered(live: Live, truth: dict[str, int], number: int) -> int:
    """Answer what the review asks until so many pairs are answered or nothing is left; tells how many quiet ones."""
    quiet = 0
    for _ in range(number):
        item = next_item(live.reading(), "labels", against=live.contradictions())
        if item is None:
            break
        quiet += item.kind == "quiet"
        verdict = "same" if truth[item.a] == truth[item.b] else "different"
        live.decide(item.a, item.b, verdict, by="labels", note=item.note)
    return quiet


def scored(labels: Rows, truth: Rows, unseen: Bools) -> str:
    """F1 of all posts, and of those that no question was about."""
    every = f1(labels, truth)[0]
    rest = np.flatnonzero(unseen)
    return f"{every:.4f} ({f1(labels[rest], truth[rest])[0]:.4f})"


def lines(name: str, start: Config) -> Iterator[str]:
    catalog = posts(name)
    truth = np.asarray(catalog.labels)
    known = dict(zip(catalog.ids, truth.tolist(), strict=True))
    run = Matcher(start).match(catalog)
    nobody = np.ones(len(catalog), dtype=bool)
    yield f"| {name} | 0 | | {scored(run.groups.labels, truth, nobody)} | {scored(run.groups.labels, truth, nobody)} |"
    with tempfile.TemporaryDirectory() as folder:
        live = Live.create(Path(folder) / "store", run=run)
        with live:
            before, quiet = 0, 0
            for asked in ASKED:
                quiet += answered(live, known, asked - before)
                before = asked
                yield reviewed(name, asked, quiet, live, (catalog, truth, run), start)


def reviewed(
    name: str, asked: int, quiet: int, live: Live, scoring: tuple[Catalog, Rows, Result], start: Config
) -> str:
    """Learn from the answers, match anew, and score."""
    catalog, truth, _ = scoring
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        live.labels().write_csv(path)
        answers = read_pairs(path, catalog.ids)
        fitted = learn_from_answers(catalog, answers, start)
        fitted.save(Path(folder) / "model")
        again = Matcher(Config().with_model(str(Path(folder) / "model"))).match(catalog)
    live.rematch()
    kept, _ = groups_of(live, catalog)
    unseen = np.ones(len(catalog), dtype=bool)
    unseen[np.concatenate([answers.left, answers.right])] = False
    told = f"{scored(again.groups.labels, truth, unseen)} | {scored(kept, truth, unseen)}"
    print(f"{name}, {len(answers.left)} pairs: {told}", flush=True)
    return f"| {name} | {asked} | {quiet} | {told} |"


def command(model: Path | None) -> str:
    """How the figures were made."""
    started = "" if model is None else f" --model CLASSIFIERS/{model.name}"
    return f"`python bench/review_loop.py{started}`"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--sets", nargs="+", default=["drawn siblings", "alaska_notebook"])
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    start = Config() if given.model is None else Config().with_model(str(given.model))
    table = [
        "| posts | answers | quiet cases among them | re-tuned F1 (unseen) | answers kept F1 (unseen) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name in given.sets:
        table += lines(name, start)
    text = "\n".join([*table, "", f"{processor()}. {command(given.model)}", ""])
    print(text)
    if given.output:
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
