"""The arguments and options that commands share: each described once, grouped, and read."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kembar.errors import ConfigError, FolderError
from kembar.remote import is_remote

if TYPE_CHECKING:
    from kembar.arrays import Progress
    from kembar.config import Config
    from kembar.encoders.embeddings import Embeddings
    from kembar.encoders.resources import Resources
    from kembar.posts.catalog import Catalog
    from kembar.results.result import Result


def path(given: str) -> Path | str:
    """Read a path, and leave an address as it is, of which `Path` takes a slash away: errors come where it is used."""
    return given if is_remote(given) else Path(given)


PLACE: Final[dict[str, Any]] = {"parser": path}
"""How a path is read that may be an address, such as s3://bucket/posts.parquet."""

Posts = Annotated[
    Path,
    typer.Argument(
        help="Posts: CSV, Excel, JSON, a feed, Parquet ...; `-`: standard input.", show_default=False, **PLACE
    ),
]
Images = Annotated[Path | None, typer.Option("--images", help="Folder that the image column points into.", **PLACE)]
Output = Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.", show_default=False, **PLACE)]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="Start from a published solution: `shopee-baseline`, `shopee-union`, `shopee-final`.",
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="Configuration in TOML, as `kembar config` prints it.")
]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        help="What decides about the pairs: a folder of `kembar tune`, `kembar-classifier` (default) or `rules`.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one option, such as `cut=0.5`; repeat for more. See `kembar config`."),
]
VectorFiles = Annotated[
    list[str] | None,
    typer.Option("--vectors", help="Your own vectors, NAME=FILE (.npy or .parquet); repeat for more."),
]
Device = Annotated[str, typer.Option("--device", help="Device of the encoders: `auto`, `cpu`, `cuda` or `cuda:0,1`.")]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder for vectors of earlier runs; `$KEMBAR_CACHE` or the user's cache by default."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars, no summary, no warnings: errors only.")]


def resources(device: str, cache: Path | None, progress: "Progress | None" = None) -> "Resources":
    """Open what a command works with: the device of encoders, the vectors of earlier runs, the progress bars."""
    from kembar.encoders.encoding import default_store
    from kembar.encoders.resources import Resources
    from kembar.encoders.store import VectorStore

    return Resources(device, default_store() if cache is None else VectorStore(cache), progress)


@dataclass(frozen=True, slots=True)
class Chosen:
    """All that decides about a configuration: later ones change earlier ones."""

    recipe: str | None = None
    model: Path | None = None
    file: Path | None = None
    settings: list[str] | None = None

    def config(self) -> "Config":
        """Read the configuration: of the model folder where one is given and no other file is.

        Raises:
            ConfigError: a recipe and a model, or an option that cannot be used.
            EncoderError: a model folder without a model.
        """
        from kembar.config import CONFIG_FILE, Config

        if self.model is None:
            return Config.read(self.file, self.settings or (), recipe=self.recipe)
        if self.recipe is not None:
            raise ConfigError(
                f"--recipe {self.recipe!r} with --model {str(self.model)!r}",
                "one of the two",
                "A recipe decides by hand-set rules; to learn with its encoders, use `kembar tune --recipe`.",
            )
        model = _model_name(self.model)
        own = self.model / CONFIG_FILE if (self.model / CONFIG_FILE).is_file() else None
        return Config.read(self.file or own, [f"model={json.dumps(model)}", *(self.settings or ())])


def _model_name(model: Path) -> str:
    """Name what decides: a folder that holds tuned rules and no classifier means the rules."""
    from kembar.classifier.pair_classifier import PairClassifier, has_classifier
    from kembar.config import BY_RULES, CONFIG_FILE, PHOTOS_ALONE, SHIPPED

    if str(model) in (BY_RULES, SHIPPED, PHOTOS_ALONE):
        return str(model)
    if (model / CONFIG_FILE).is_file() and not has_classifier(model):
        return BY_RULES
    PairClassifier.load(model)  # says what is wrong with the folder before the configuration does
    return str(model)


def earlier_run(folder: Path, options: Iterable[object]) -> "Result":
    """Read the run that new posts are to join; refuses options that would decide otherwise than it did."""
    from kembar.results.result import Result

    if any(option is not None for option in options):
        raise ConfigError(
            f"--against {str(folder)!r} with --model, --recipe, --config, --set or --vectors",
            "the options of the earlier run, which hold for the new posts too",
            "Leave these out, or match all posts together.",
        )
    return Result.load(folder)


def read_vectors(given: list[str] | None, catalog: "Catalog") -> "dict[str, Embeddings]":
    """Read vectors given as NAME=FILE."""
    from kembar.encoders.embeddings import Embeddings

    found = {}
    for item in given or ():
        name, sign, path = item.partition("=")
        if not sign or not name or not path:
            raise ConfigError(f"--vectors {item!r}", "NAME=FILE", "Give the vectors a name, such as photo=clip.npy.")
        if name in found:
            raise ConfigError(f"two files of vectors {name!r}", "a name for each", "Rename one of the two.")
        found[name] = Embeddings.read(path, catalog.ids)
    return found


def check_new_file(path: Path, overwrite: bool) -> None:
    """Refuse a file that is in the way, or has no folder to lie in; worth asking before minutes of work."""
    from kembar.folders import check_file

    if path.is_dir() or (path.exists() and not overwrite):
        raise FolderError(f"{str(path)!r}, which exists", "a new file", "Choose another name, or pass --overwrite.")
    check_file(path)
    if not path.absolute().parent.is_dir():
        raise FolderError(f"{str(path)!r}, in a folder that is not there", "a folder to write to", "Make it first.")
