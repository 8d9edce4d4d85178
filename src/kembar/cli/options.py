"""The arguments and options that commands share: each described once, and read."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kembar.errors import ConfigError, FolderError

if TYPE_CHECKING:
    from kembar.config import Config
    from kembar.encoders.embeddings import Embeddings
    from kembar.encoders.store import VectorStore
    from kembar.posts.catalog import Catalog

Posts = Annotated[Path, typer.Argument(help="Posts: CSV, TSV, Parquet or Arrow.", show_default=False)]
Images = Annotated[Path | None, typer.Option("--images", help="Folder that the image column points into.")]
IdColumn = Annotated[str, typer.Option("--id", help="Column of posting ids.", rich_help_panel="Columns")]
TitleColumn = Annotated[str, typer.Option("--title", help="Column of titles.", rich_help_panel="Columns")]
ImageColumn = Annotated[str, typer.Option("--image", help="Column of photo file names.", rich_help_panel="Columns")]
HashColumn = Annotated[
    str, typer.Option("--hash", help="Column of 64-bit perceptual hashes, 16 hex digits.", rich_help_panel="Columns")
]
LabelColumn = Annotated[str, typer.Option("--label", help="Column of known groups.", rich_help_panel="Columns")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="Configuration in TOML, as `kembar config` prints it.")
]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        help="What judges the pairs: a folder of `kembar tune`, `kembar-classifier` (default) or `rules`.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change one option, such as `advanced.blend.steps=2`; repeat for more. See `kembar config`."
    ),
]
VectorFiles = Annotated[
    list[str] | None,
    typer.Option("--vectors", help="Your own vectors, NAME=FILE (.npy or .parquet); repeat for more."),
]
Device = Annotated[str, typer.Option("--device", help="Where encoders run: `auto`, `cpu`, `cuda` or `cuda:0,1`.")]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder for vectors of earlier runs; `$KEMBAR_CACHE` or the user's cache by default."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars, no summary: errors alone.")]


def read_config(path: Path | None, settings: list[str] | None) -> "Config":
    """Read the configuration."""
    from kembar.config import Config

    return Config.read(path, settings or ())


def model_config(model: Path | None, path: Path | None, settings: list[str] | None) -> "Config":
    """Read the configuration: of the model folder where one is given and no other file is."""
    from kembar.classifier.pair_classifier import PairClassifier, has_classifier
    from kembar.config import BY_RULES, CONFIG_FILE, SHIPPED

    if model is None:
        return read_config(path, settings)
    judge, own = str(model), None
    if judge not in (BY_RULES, SHIPPED):
        own = model / CONFIG_FILE if (model / CONFIG_FILE).is_file() else None
        if own is None or has_classifier(model):
            PairClassifier.load(model)  # says what is wrong with the folder before the configuration does
        else:
            judge = BY_RULES
    return read_config(path or own, [f"model={json.dumps(judge)}", *(settings or ())])


def read_catalog(posts: Path, images: Path | None, *names: str) -> "Catalog":
    """Read the posts; the names are those of the columns."""
    from kembar.posts.catalog import Catalog, Columns

    return Catalog.read(posts, images=images, columns=Columns(*names))


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


def open_store(folder: Path | None) -> "VectorStore":
    """Open the store of vectors of earlier runs."""
    from kembar.encoders.encoding import default_store
    from kembar.encoders.store import VectorStore

    return default_store() if folder is None else VectorStore(folder)


def check_new_file(path: Path, overwrite: bool) -> None:
    """Refuse a file that is in the way, or has no folder to lie in; worth asking before minutes of work."""
    if path.is_dir() or (path.exists() and not overwrite):
        raise FolderError(f"{str(path)!r}, which exists", "a new file", "Choose another name, or pass --overwrite.")
    if not path.absolute().parent.is_dir():
        raise FolderError(f"{str(path)!r}, in a folder that is not there", "a folder to write to", "Make it first.")
