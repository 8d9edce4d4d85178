"""`kembar train photo` and `kembar train title`: what the command line asks of kembar.training, and no more."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kembar.cli.columns import column_options
from kembar.cli.groups import Group
from kembar.cli.layout import layout_options
from kembar.cli.options import Device, Posts, Quiet
from kembar.posts.columns import Columns
from kembar.posts.layout import Layout

if TYPE_CHECKING:
    from kembar.posts.catalog import Catalog
    from kembar.training.recipe import Modality, Recipe

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Train an encoder on posts whose groups are known (needs `pip install 'kembar[train]'`).",
    epilog="Example: `kembar train title posts.csv -o encoder`, then `kembar match --set title_encoder=encoder ...`",
)

Output = Annotated[Path, typer.Option("--output", "-o", help="Encoder folder to make.", show_default=False)]
RecipeFile = Annotated[
    Path | None,
    typer.Option("--recipe", "-r", help="Training recipe in TOML; encoder folders have theirs."),
]
Preset = Annotated[str | None, typer.Option("--preset", help="Start from a published recipe, such as `upstage-title`.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one option of the recipe, such as `epochs=5`; repeat for more."),
]
Int8 = Annotated[bool, typer.Option(help="Export in int8, with float32 beside it.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a training that was stopped.")]
Replace = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier encoder or unfinished training.")]


@app.command(epilog="Example: `kembar train photo posts.csv --images photos -o encoder --model timm:resnet18`")
@column_options("id", "title", "image", "hash", "label")
@layout_options
def photo(
    ctx: typer.Context,
    posts: Posts,
    output: Output,
    images: Annotated[Path, typer.Option("--images", help="Folder that the image column points into.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Start: `timm:NAME` or `timm:NAME@WEIGHTS`.")
    ] = None,
    recipe: RecipeFile = None,
    preset: Preset = None,
    settings: Changes = None,
    device: Device = "auto",
    int8: Int8 = True,
    resume: Resume = False,
    overwrite: Replace = False,
    quiet: Quiet = False,
    *,
    columns: Columns,
    layout: Layout,
) -> None:
    """Train an encoder of photos.

    A fifth of the groups is held out; after each epoch their mean F1 is taken, and the best epoch's weights are kept.
    Writes the folder of an encoder that runs without torch: **model.onnx** (int8, with **float32** beside it),
    **encoder.json**, **card.md** with all figures, **recipe.toml** and **history.csv**.
    """
    from kembar.posts.catalog import Catalog

    chosen = _recipe("photo", model, recipe, preset, settings)
    catalog = Catalog.read(posts, images=images, columns=columns, layout=layout)
    _train(ctx, catalog, chosen, _Training(output, device, int8, resume, overwrite, quiet))


@app.command(epilog="Example: `kembar train title posts.csv -o encoder --model st:FOLDER --set loss=arcface`")
@column_options("id", "title", "image", "hash", "label")
@layout_options
def title(
    ctx: typer.Context,
    posts: Posts,
    output: Output,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Start: `ngrams`, `st:NAME` or a folder.")] = None,
    recipe: RecipeFile = None,
    preset: Preset = None,
    settings: Changes = None,
    device: Device = "auto",
    int8: Int8 = True,
    resume: Resume = False,
    overwrite: Replace = False,
    quiet: Quiet = False,
    *,
    columns: Columns,
    layout: Layout,
) -> None:
    """Train an encoder of titles.

    A fifth of the groups is held out, and the weights of the best epoch are kept, as in `kembar train photo`. Writes
    the folder of an encoder that runs without torch, for `kembar match --set title_encoder=FOLDER`.
    """
    from kembar.posts.catalog import Catalog

    chosen = _recipe("title", model, recipe, preset, settings)
    catalog = Catalog.read(posts, columns=columns, layout=layout)
    _train(ctx, catalog, chosen, _Training(output, device, int8, resume, overwrite, quiet))


def _recipe(
    modality: "Modality", model: str | None, path: Path | None, preset: str | None, settings: list[str] | None
) -> "Recipe":
    from kembar.errors import ConfigError
    from kembar.training.recipe import Recipe

    changes = [*([f"model={model}"] if model else []), *(settings or ())]
    recipe = Recipe.read(path, changes, preset or modality)
    if recipe.modality != modality:
        given = f"a recipe for {recipe.modality}s in a training of {modality}s"
        raise ConfigError(given, f"one for {modality}s", f"Use `kembar train {recipe.modality}`, or another recipe.")
    return recipe


@dataclass(frozen=True, slots=True)
class _Training:
    """Where a training runs, and what it leaves."""

    output: Path
    device: str
    int8: bool
    resume: bool
    overwrite: bool
    quiet: bool


def _train(ctx: typer.Context, catalog: "Catalog", recipe: "Recipe", training: _Training) -> None:
    """Train with the progress bars that the command line hands down in its context."""
    try:
        from kembar.training.fit import Running
        from kembar.training.program import train
    except ModuleNotFoundError as error:
        from kembar.errors import MissingExtraError

        raise MissingExtraError((error.name or "lightning").partition(".")[0], "train") from error
    with ctx.obj(training.quiet) as progress:
        running = Running(training.device, training.resume, progress=progress)
        found = train(
            catalog, recipe, training.output, int8=training.int8, overwrite=training.overwrite, running=running
        )
    if not training.quiet:
        typer.echo(found)
