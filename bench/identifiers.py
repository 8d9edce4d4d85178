"""What identifiers are worth, as evidence and as labels. Writes docs/figures/identifiers.md.

    python bench/identifiers.py CLASSIFIERS [-o docs/figures/identifiers.md]

CLASSIFIERS are those of bench/held_out.py, one for each market, which has not seen it. The groups of each catalogue are
cut in two halves: one is matched and scored, in the other a classifier learns from the identifiers as labels. The drawn
shop (made-up hashes, no photos) is decided by the classifier that ships, which has seen no drawn post; 30 % of
its posts have a GTIN, 2 % of these that of another product. In walmart_amazon F1 is that across the two shops.
"""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from kembar.config import Config
from kembar.fitting.learning import fit_classifier
from kembar.fitting.tuning import fold_numbers, group_scores
from kembar.matcher import Matcher
from kembar.posts.catalog import Catalog
from kembar.posts.columns import Columns
from kembar.synthesis import synthesize
from markets import across
from titles import data

HEAD = (
    "| posts | identifier | with one | how | F1 | precision | recall |\n| --- | --- | ---: | --- | ---: | ---: | ---: |"
)
SHOP = 8000
KNOWN, WRONG = 0.3, 0.02


def drawn() -> pl.DataFrame:
    """A shop in which 30 % of the posts have a GTIN."""
    posts = synthesize(SHOP, seed=7, singles=0.2).posts
    draws = np.random.default_rng(7).random((3, len(posts)))
    group = posts["label_group"].rank("dense").to_numpy().astype(np.int64)
    sold = np.where(draws[1] < WRONG, (draws[2] * group.max()).astype(np.int64), group)
    codes = [gtin(number) if known else "" for number, known in zip(sold, draws[0] < KNOWN, strict=True)]
    return posts.with_columns(gtin=pl.Series(codes))


def gtin(number: int) -> str:
    """An EAN of a range that GS1 Korea gives out."""
    body = f"880{number:09}"
    return body + str(-sum(int(digit) * (1, 3)[place % 2] for place, digit in enumerate(body)) % 10)


def rows(name: str, posts: pl.DataFrame, identifier: str, config: Config) -> list[str]:
    """Match one half of the groups in four ways."""
    half = fold_numbers(Catalog.read(posts).labels, 2)
    scored, other = (posts.filter(pl.Series(half == part)) for part in (0, 1))
    plain, named = Columns(), Columns(identifiers=(identifier,))
    with TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        learn_by = Columns(label=identifier, identifiers=(identifier,))
        fit_classifier(Catalog.read(other, columns=learn_by), config).save(model)
        learned = Matcher(Config.read(model / "config.toml", [f"model={json.dumps(str(model))}"]))
        ways = {
            "titles, prices, brands": (Matcher(config), plain),
            f"`--identifier {identifier}`": (Matcher(config), named),
            f"after `tune --label {identifier}`": (learned, plain),
            "both": (learned, named),
        }
        return [row(name, how, identifier, scored, matcher, columns) for how, (matcher, columns) in ways.items()]


def row(name: str, how: str, identifier: str, posts: pl.DataFrame, matcher: Matcher, columns: Columns) -> str:
    """Match and score posts in one way."""
    catalog = Catalog.read(posts, columns=columns)
    groups = matcher.match(catalog).groups.labels
    if "source" in posts.columns:
        shop = posts["source"].rank("dense").to_numpy().astype(np.int64)
        scores = across(groups, catalog.labels, shop)
    else:
        scores = group_scores(groups, catalog.labels)
    f1, precision, recall = scores.mean(axis=0)
    share = (posts[identifier].fill_null("") != "").mean()
    text = (
        f"| {name}, {len(posts):,} | {identifier} | {share:.0%} | {how} | {f1:.4f} | {precision:.4f} | {recall:.4f} |"
    )
    print(text, flush=True)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("classifiers", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    market = pl.read_csv(data() / "markets" / "walmart_amazon" / "posts.csv", infer_schema_length=0)
    held_out = Config(model=str(arguments.classifiers / "walmart_amazon"), photo=False)
    lines = [HEAD, *rows("drawn shop", drawn(), "gtin", Config(photo=False))]
    lines += rows("walmart_amazon", market, "modelno", held_out)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
