"""What further photos of a post are worth: a drawn shop, matched by the first photo of each post and by all.

    python bench/several_photos.py [-n 2000] [--most 4] [-o docs/figures/several_photos.md]

Each post has 1 to 4 photos, all numbers as often: other views of its product, half of them edited. Titles are given or
left out; classifiers and encoders are those that ship.
"""

import argparse
import tempfile
from pathlib import Path

import polars as pl

from kembar import Catalog, Columns, Drawing, Matcher, synthesize
from kembar.encoders.store import VectorStore
from kembar.synthesis.further_views import further_views
from kembar.synthesis.shop import draw_shop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=2000)
    parser.add_argument("--most", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    lines = [
        "| titles | photos | posts | photos in all | F1 | precision | recall |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        posts = drawn(Path(folder), arguments.n, arguments.most, arguments.seed)
        further = tuple(name for name in posts.columns if name.startswith("image_") and name != "image_phash")
        for title in ("title", None):
            for names in ((), further):
                lines.append(measured(Path(folder), posts, title, names))
                print(lines[-1], flush=True)
    text = "\n".join(lines)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")


def drawn(folder: Path, n: int, most: int, seed: int) -> pl.DataFrame:
    """Draw a shop: its posts, with a column for each further photo."""
    shop = synthesize(n, seed=seed)
    draw_shop(shop, folder, Drawing())
    posts = shop.posts
    for place, more in enumerate(further_views(shop, most, seed=seed), 2):
        draw_shop(more, folder, Drawing())
        posts = posts.join(more.posts.rename({"image": f"image_{place}"}), on="posting_id", how="left")
    return posts


def measured(folder: Path, posts: pl.DataFrame, title: str | None, further: tuple[str, ...]) -> str:
    catalog = Catalog.read(posts, images=folder, columns=Columns(title=title, further_images=further))
    scores = Matcher(store=VectorStore(folder / "vectors")).match(catalog).scores()
    photos = int((catalog.photos().images != "").sum())
    cells = "given" if title else "none", "all" if further else "the first", f"{len(catalog):,}", f"{photos:,}"
    rates = (f"{scores[name]:.4f}" for name in ("f1", "precision", "recall"))
    return f"| {' | '.join([*cells, *rates])} |"


if __name__ == "__main__":
    main()
