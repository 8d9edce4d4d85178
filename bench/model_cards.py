"""Write a card for each model that ships into docs/models: what it is, what it learned from, how good, what not to do.

    python bench/model_cards.py

Nothing is measured here: sizes and counts are read from the models' own folders, figures from docs/figures (which
`bench/train_classifier.py`, `bench/train_title.py` and `bench/card.py` write) and from the card that
`bench/train_photos_alone.py` wrote. The texts around them are in bench/model_cards; what stands in this script alone is
where the data are from.
"""

import json
import re
import statistics
from pathlib import Path
from typing import Any

import kembar

ROOT = Path(__file__).resolve().parents[1]
FIGURES, CARDS = ROOT / "docs" / "figures", ROOT / "docs" / "models"
PACKAGE = Path(kembar.__file__).parent
TRAIN = "`kembar train title`"
HEAD = "<!-- Made by `python bench/model_cards.py`. -->\n"
SHOPEE = ("shopee", 'Kaggle "Shopee - Price Match Guarantee"', "competition terms: research use", "")
MARKETS = (
    ("abt_buy", "Abt-Buy, Leipzig benchmark", "research use", "two shops of electronics"),
    ("alaska_notebook", "Alaska, SIGMOD contest and DI2KG", "MIT (DI2KG)", "groups are model lines"),
    ("ali", "Alibaba, by way of Ember", "none named: research use", "fashion, in Chinese; titles alone hardly decide"),
    (
        "amazon_google",
        "Amazon-Google, Leipzig benchmark",
        "research use",
        "twins within a shop have no label",
    ),
    ("promap_en", "ProMap", "free for any use, by its authors", "offers of pairs of shops"),
    ("sigmod22_x1", "SIGMOD 2022 programming contest", "none named", "laptops; half made by a program"),
    ("walmart_amazon", "Walmart-Amazon, Magellan by way of pyJedAI", "Apache-2.0", "twins within a shop have no label"),
    ("wdc_cameras", "Web Data Commons, by way of Ditto", "Apache-2.0", "only some pairs have labels"),
    ("wdc_computers", "Web Data Commons, by way of Ditto", "Apache-2.0", "only some pairs have labels"),
    ("wdc_shoes", "Web Data Commons, by way of Ditto", "Apache-2.0", "only some pairs have labels"),
)
"""Name in docs/figures/markets.md, source, licence, what to know about its labels."""


def facts(folder: str) -> dict[str, Any]:
    """Read what a classifier's folder tells of it."""
    place = PACKAGE / "classifier" / folder
    told = json.loads((place / "classifier.json").read_text(encoding="utf-8"))
    trees = (place / "trees.txt").read_text(encoding="utf-8")
    return {
        **told["card"],
        "cut": told["cut"],
        "columns": len(told["profiles"][0]["names"]),
        "trees": len(re.findall(r"^Tree=\d+$", trees, re.MULTILINE)),
        "size": megabytes(place),
    }


def megabytes(folder: Path) -> float:
    """Sum up the files of a model."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.name != "card.md") / 1e6


def markets() -> dict[str, list[float]]:
    """Read posts, F1 of matching nothing and of TF-IDF, F1, precision and recall of each whole market left out."""
    found: dict[str, list[float]] = {}
    for line in (FIGURES / "markets.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0].endswith("-full"):
            numbers = [float(cells[at].replace(",", "")) for at in (1, 2, 3, 5, 6, 7)]
            found[cells[0].removesuffix("-full")] = numbers
    folds = [found.pop(name) for name in sorted(found) if re.fullmatch(r"shopee\d", name)]
    return {**found, "shopee": [statistics.mean(column) for column in zip(*folds, strict=True)]}


def market_table(found: dict[str, list[float]]) -> str:
    """Lay out what was measured on each market."""
    rows = [
        f"| {name} | {posts:,.0f} | {nothing:.3f} | {words:.3f} | {f1:.4f} | {precision:.3f} | {recall:.3f} |"
        for name, (posts, nothing, words, f1, precision, recall) in sorted(found.items())
    ]
    head = "| market | posts | matching nothing | TF-IDF | F1 | precision | recall |"
    return "\n".join([head, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |", *rows])


def worse(found: dict[str, list[float]]) -> str:
    """Say on which markets it is worse than leaving every post alone."""
    about = {name: said for name, _, _, said in MARKETS}
    names = [f"{name} ({about[name]})" for name, row in sorted(found.items()) if row[3] < row[1]]
    return f"**Worse than matching nothing on**: {'; '.join(names)}." if names else ""


def data_table() -> str:
    """Lay out where the posts are from."""
    rows = [f"| {name} | {source} | {licence} | {said} |" for name, source, licence, said in (*MARKETS, SHOPEE)]
    return "\n".join(["| market | from | licence | its labels |", "| --- | --- | --- | --- |", *rows])


def photo_pools() -> str:
    """Take the table that the training of the classifier of photos measured."""
    text = (PACKAGE / "classifier" / "shipped_photos" / "card.md").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if line.startswith("|"))


def encoder(name: str) -> dict[str, Any]:
    """Read what an encoder's folder tells of it, and its table."""
    place = PACKAGE / "encoders" / "models" / name
    told = json.loads((place / "encoder.json").read_text(encoding="utf-8"))
    table = (FIGURES / f"{name}.md").read_text(encoding="utf-8").strip()
    side = told.get("input", {}).get("size")
    card = (place / "card.md").read_text(encoding="utf-8")
    learned = re.search(r"([\d,]+ labelled titles) \(([\d,]+ groups)\)", card)
    return {
        "dimension": told["dimension"],
        "side": side,
        "size": megabytes(place),
        "table": table,
        "learned": " in ".join(learned.groups()) if learned else "",
    }


def cards() -> dict[str, str]:
    """Write all cards: name of the model to Markdown."""
    found = markets()
    by_market = (FIGURES / "title-markets.md").read_text(encoding="utf-8").strip()
    own = {name: text("weights").format(own=own) for name, own in (("pairs", "`kembar tune`"), ("titles", TRAIN))}
    by_titles = {"table": market_table(found), "worse": worse(found), "data": data_table(), "weights": own["pairs"]}
    told = {
        "kembar-classifier": {**facts("shipped"), **by_titles},
        "kembar-classifier-photos": {**facts("shipped_photos"), "table": photo_pools(), "weights": own["pairs"]},
        "kembar-title": {**encoder("title"), "weights": own["titles"], "data": data_table(), "markets": by_market},
        "kembar-photo": encoder("photo"),
    }
    shared = {"version": kembar_version(), "not_for": text("not-for")}
    return {name: f"{HEAD}\n{text(name).format(**each, **shared)}\n" for name, each in told.items()}


def text(name: str) -> str:
    """Read a text with gaps from bench/model_cards."""
    return (ROOT / "bench" / "model_cards" / f"{name}.md").read_text(encoding="utf-8").strip()


def kembar_version() -> str:
    """Read the version from pyproject.toml: what is installed may be older."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(r'^version = "(.*)"$', text, re.MULTILINE)[1]


def pages() -> dict[Path, str]:
    """Everything this script writes: path to text."""
    made = cards()
    meaning = {
        "kembar-classifier": ("whether two posts sell one product", facts("shipped")["size"]),
        "kembar-classifier-photos": ("the same, by photos alone", facts("shipped_photos")["size"]),
        "kembar-title": ("how alike two titles are", encoder("title")["size"]),
        "kembar-photo": ("how alike two photos are", encoder("photo")["size"]),
    }
    rows = "\n".join(f"| [{name}]({name}.md) | {what} | {size:.2f} MB |" for name, (what, size) in meaning.items())
    return {
        **{CARDS / f"{name}.md": text for name, text in made.items()},
        CARDS / "index.md": f"{HEAD}\n{text('index').format(rows=rows)}\n",
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
