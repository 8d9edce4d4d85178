"""The recipes of the published Shopee solution on a drawn shop, beside the default.

    python bench/recipes.py [--posts 3000] [--folder FOLDER] [--shipped] [-o docs/figures/recipes.md]

The names in the recipes (ResNet18, eca_nfnet_l0, Sentence-BERT) are models of a hub; here small ones stand in for them,
given as local folders as a user would. Photos of the baseline: EfficientNet-Lite0 with its ImageNet weights, as it
comes. The other recipes: the same network and hashed n-grams, both trained with ArcFace (`kembar train`) on another
drawn shop. The posts that are scored have no labels while they are matched.

The published thresholds are those of other encoders and of another catalogue, so each recipe stands here twice: as it
comes, and with its cuts chosen on a third drawn shop (`kembar tune --recipe NAME --method rules`).

--shipped trains and tunes nothing: the two encoders in the package stand in for those of the union and of the final
recipe, and each recipe stands here once, as it comes.

--folder keeps the shops, the encoders and all vectors, so that a second run takes minutes less.
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from kembar import Catalog, Config, Matcher, write_shop
from kembar.encoders.resources import Resources
from kembar.encoders.store import VectorStore
from kembar.encoders.timm import open_timm
from kembar.fitting.tuning import tune
from kembar.training.fit import Running
from kembar.training.program import train
from kembar.training.recipe import Recipe
from speed import processor

_ENCODERS = {
    True: "Photos of the baseline: EfficientNet-Lite0 as it comes; the other recipes: kembar-photo and kembar-title.",
    False: "Encoders and tuned cuts come from two other drawn shops of the same size.",
}
SCORED, LEARNED, TUNED = 1, 2, 3  # seeds of the three shops
RECIPES = ("shopee-baseline", "shopee-union", "shopee-final")
NETWORK = "tf_efficientnet_lite0"
PHOTO = {"model": f"timm:{NETWORK}", "image_size": 96, "epochs": 3, "batch": 32, "workers": 0}
TITLE = {"epochs": 8}


@dataclass(frozen=True)
class Place:
    """Where shops, encoders and vectors are, and how many posts a shop has."""

    folder: Path
    posts: int
    shipped: bool = False

    @property
    def store(self) -> VectorStore:
        """Vectors of all runs."""
        return VectorStore(self.folder / "vectors")

    def shop(self, seed: int) -> Catalog:
        """Draw a shop, or find it."""
        shop = self.folder / f"shop-{seed}-{self.posts}"
        if not shop.is_dir():
            write_shop(shop, self.posts, seed=seed)
        return Catalog.read(shop / "posts.csv", images=shop / "photos")

    def frozen(self) -> Path:
        """The photo network as it comes, in a folder of its own."""
        folder = self.folder / "frozen"
        if not folder.is_dir():
            open_timm(NETWORK, device="cpu").save(folder)
        return folder

    def trained(self, kind: str) -> Path:
        """An encoder that learned from the second shop."""
        folder = self.folder / f"{kind}-{self.posts}"
        if not folder.is_dir():
            recipe = Recipe.photo(**PHOTO) if kind == "photo" else Recipe.title(**TITLE)
            print(train(self.shop(LEARNED), recipe, folder, overwrite=True, running=Running("cpu")), flush=True)
        return folder


def settings(name: str, place: Place) -> list[str]:
    """The local folders that stand in for the encoders of a recipe."""
    if name == "shopee-baseline":
        return [f"photo_encoder={place.frozen()}"]
    if place.shipped:
        return ["photo_encoder=kembar-photo", "title_encoder=kembar-title", "advanced.photo.floor=0.7"]
    return [f"photo_encoder={place.trained('photo')}", f"title_encoder={place.trained('title')}"]


def configurations(place: Place) -> Iterator[tuple[str, Config]]:
    """All rows of the table."""
    for name in RECIPES:
        config = Config.read(None, settings(name, place), recipe=name)
        yield f"`{name}`, published thresholds", config
        if place.shipped:
            continue
        tuned = tune(place.shop(TUNED), config, resources=Resources(store=place.store))
        yield f"`{name}`, tuned on another shop", tuned.config
    if not place.shipped:
        final = Config.read(None, settings("shopee-final", place), recipe="shopee-final")
        shipped = final.model_copy(update={"photo_encoder": "kembar-photo", "title_encoder": "kembar-title"})
        yield "`shopee-final`, kembar-photo and kembar-title", shipped.with_option("advanced.photo.floor", 0.7)
    yield "the default", Config()


def row(name: str, config: Config, catalog: Catalog, store: VectorStore) -> str:
    """Match twice, so that the seconds are those of a run that finds its vectors."""
    bare = replace(catalog, labels=None)
    matcher = Matcher(config, store=store)
    matcher.match(bare)
    start = time.perf_counter()
    result = matcher.match(bare)
    seconds = time.perf_counter() - start
    scores = result.scores(catalog.labels)
    figures = " | ".join(f"{scores[key]:.4f}" for key in ("f1", "precision", "recall"))
    return f"| {name} | {figures} | {len(catalog):,} | {seconds:.1f} |"


def table(place: Place) -> list[str]:
    catalog = place.shop(SCORED)
    lines = [
        "| configuration | F1 | precision | recall | pool | seconds |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, config in configurations(place):
        lines.append(row(name, config, catalog, place.store))
        print(lines[-1], flush=True)
    machine = f"Python {platform.python_version()}, {processor()}"
    return [
        *lines,
        "",
        f"{place.posts:,} posts of a drawn shop with photos. {_ENCODERS[place.shipped]}",
        "Seconds with all vectors known; the default also computes the perceptual hashes of all photos.",
        f"{machine}, shared with other work.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=3000)
    parser.add_argument("--folder", type=Path, help="keep shops, encoders and vectors here")
    parser.add_argument("--shipped", action="store_true", help="train and tune nothing")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        lines = table(Place(arguments.folder or Path(scratch), arguments.posts, arguments.shipped))
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
