"""What brands, model numbers and other columns add on markets left out. Writes docs/figures/columns.md.

    python bench/columns.py CLASSIFIERS [-o docs/figures/columns.md]

CLASSIFIERS are those of bench/held_out.py, one for each market, which has not seen it; none has seen a further column.
Each market is matched as a user would, by titles and prices alone, then with the columns that it has besides. In
markets of two shops, where twins inside one shop are not labelled, F1 is that across them.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl

from kembar.config import Config
from kembar.fitting.tuning import group_scores
from kembar.matcher import Matcher
from kembar.posts.catalog import Catalog
from kembar.posts.columns import Columns
from lessons import ACROSS
from markets import across
from titles import data

COLUMNS = {
    "abt_buy": {"description": Columns(further=("description",))},
    "amazon_google": {"manufacturer as brand": Columns(brand="manufacturer")},
    "walmart_amazon": {"brand": Columns(), "brand, modelno": Columns(further=("modelno",))},
}
HEAD = "| market | posts | columns | F1 | precision | recall |\n| --- | ---: | --- | ---: | ---: | ---: |"


def row(market: str, name: str, columns: Columns, model: Path) -> str:
    """Match a market with some columns and score it."""
    catalog = Catalog.read(data() / "markets" / market / "posts.csv", columns=columns)
    groups = Matcher(Config(model=str(model), photo=False)).match(catalog).groups.labels
    if market in ACROSS:
        shop = pl.read_csv(data() / "markets" / market / "posts.csv", infer_schema_length=0)["source"].rank("dense")
        scores = across(groups, catalog.labels, shop.to_numpy().astype(np.int64))
    else:
        scores = group_scores(groups, catalog.labels)
    f1, precision, recall = scores.mean(axis=0)
    return f"| {market} | {len(catalog):,} | {name} | {f1:.4f} | {precision:.4f} | {recall:.4f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("classifiers", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    lines = [HEAD]
    for market, more in COLUMNS.items():
        for name, columns in {"titles and prices": Columns(brand=None), **more}.items():
            lines.append(row(market, name, columns, arguments.classifiers / market))
            print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
