"""Links between the two shops of three markets left out, beside grouping their posts. Writes docs/figures/linking.md.

    python bench/two_catalogues.py CLASSIFIERS [-o docs/figures/linking.md]

CLASSIFIERS are those of bench/held_out.py, one for each market, which has not seen it. The true pairs are the published
ones, all across the two shops; so are the pairs that are scored. Candidate recall is the share of true pairs that were
compared. Titles and prices alone are read.
"""

import argparse
from pathlib import Path
from time import process_time

import polars as pl

from kembar.config import Config
from kembar.linking import both
from kembar.matcher import Matcher
from kembar.posts.catalog import Catalog
from kembar.posts.columns import Columns
from kembar.results.result import Result
from titles import data

MARKETS = ("abt_buy", "amazon_google", "walmart_amazon")
KINDS = ("one-to-one", "one-to-many", "many-to-many")
HEAD = (
    "| market | left x right | true pairs | way | pair F1 | precision | recall | candidate recall | CPU-s |\n"
    "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |"
)
Links = set[tuple[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("classifiers", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    lines = [HEAD]
    for market in MARKETS:
        for line in rows(market, arguments.classifiers / market):
            print(line, flush=True)
            lines.append(line)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def rows(market: str, model: Path) -> list[str]:
    """Group and link a market in all ways."""
    folder = data() / "markets" / market
    posts = pl.read_csv(folder / "posts.csv", infer_schema=False)
    true = set(pl.read_csv(folder / "pairs.csv", infer_schema=False).select("left", "right").iter_rows())
    true = {(a, b) for a, b in true} | {(b, a) for a, b in true}
    shops = posts.partition_by("source", maintain_order=True)
    config = Config(model=str(model), photo=False)
    named = {True: Columns(brand=None, source="source"), False: Columns(brand=None)}
    found = []
    for source, name in ((False, "match"), (True, "match --source source")):
        result, seconds = timed(Catalog.read(posts, columns=named[source]), config)
        shop = dict(posts.select("posting_id", "source").iter_rows())
        found.append((name, {(a, b) for a, b in edges(result) if shop[a] != shop[b]}, candidates(result), seconds))
    sides = [Catalog.read(shop, columns=named[False]) for shop in shops]
    for kind in KINDS:
        result, seconds = timed(both(*sides), config.model_copy(update={"rule": kind}))
        plain = {name: name.partition("/")[2] for name in result.catalog.ids}
        links = {(plain[a], plain[b]) for a, b in edges(result)}
        compared = {(plain[a], plain[b]) for a, b in candidates(result)}
        found.append((f"link --kind {kind}", links, compared, seconds))
    start = f"| {market} | {len(sides[0]):,} x {len(sides[1]):,} | {len(true) // 2:,} |"
    return [f"{start} {name} | {told(links, true, compared)} | {spent:.1f} |" for name, links, compared, spent in found]


def timed(catalog: Catalog, config: Config) -> tuple[Result, float]:
    begin = process_time()
    return Matcher(config).match(catalog), process_time() - begin


def edges(result: Result) -> Links:
    """The matches as pairs of ids, from both ends."""
    source, target = result.matches.edges()
    return set(zip(result.catalog.ids.gather(source), result.catalog.ids.gather(target), strict=True))


def candidates(result: Result) -> Links:
    """The pairs that were compared, by their ids, from both ends."""
    left, right = (result.catalog.ids.gather(end) for end in (result.pairs.left, result.pairs.right))
    return set(zip(left, right, strict=True)) | set(zip(right, left, strict=True))


def told(links: Links, true: Links, compared: Links) -> str:
    """Pair F1, precision, recall and candidate recall."""
    right = len(links & true)
    precision, recall = right / max(1, len(links)), right / len(true)
    f1 = 2 * right / (len(links) + len(true))
    return f"{f1:.4f} | {precision:.4f} | {recall:.4f} | {len(true & compared) / len(true):.4f}"


if __name__ == "__main__":
    main()
