"""The commands that make and look after a store: a folder of posts that are matched as they come."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kembar.cli.groups import Group
from kembar.cli.options import ConfigFile, Overwrite, Quiet, Settings, check_new_file
from kembar.errors import ConfigError, visible

if TYPE_CHECKING:
    import polars as pl

app = typer.Typer(
    cls=Group,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="Make, check, repair and export a store of posts.",
    epilog="Example: `kembar store create store --run run`, then `kembar serve store`",
)

Folder = Annotated[Path, typer.Argument(help="Folder of the store.", show_default=False)]


@app.command(epilog="Example: `kembar store create store --run run` — begins with the posts and groups of a run")
def create(
    folder: Folder,
    run: Annotated[
        Path | None, typer.Option("--run", help="Run folder of `kembar match` whose posts and groups it begins with.")
    ] = None,
    config: ConfigFile = None,
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """Make a store, empty or with the posts of a finished run.

    A run brings its own configuration. Its photos are linked, or copied where they lie on another disk.
    """
    from kembar.cli.options import Chosen
    from kembar.results.result import Result
    from kembar.store import Live

    if run is not None and (config is not None or settings is not None):
        raise ConfigError(
            "--run with --config or --set", "the configuration of the run, or another one", "Leave one of them out."
        )
    begun = None if run is None else Result.load(run)
    chosen = Chosen(None, None, config, settings).config() if run is None else None
    with Live.create(folder, run=begun, config=chosen) as live:
        counts = live.counts()
    if not quiet:
        typer.echo(f"Made {folder} with {counts.posts:,} posts in {counts.groups:,} groups")


@app.command(epilog="Example: `kembar store check store` — exit code 0 if it is whole, 2 if it is not")
def check(folder: Folder, quiet: Quiet = False) -> None:
    """Tell whether a store is whole.

    SQLite checks its file; then the posts, groups and decisions are compared with what the log of events tells. A store
    that a service has open can be checked too.
    """
    from kembar.store.checking import checked

    found = checked(folder)
    if not quiet or not found.whole:
        typer.echo(visible(str(found)))
    if not found.whole:
        raise typer.Exit(2)


@app.command(epilog="Example: `kembar store repair store -o repaired` — then `kembar store check repaired`")
def repair(
    folder: Folder,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make.", show_default=False)],
    quiet: Quiet = False,
) -> None:
    """Repair a damaged store into a new folder.

    Reads what can be read, past damaged pages. Where the log is whole, everything is done again as it tells; where it
    is not, what the tables have counts first. Tells what could not be saved. The damaged store is left as it is.
    """
    from kembar.store.repairing import repaired

    found = repaired(folder, output)
    if not quiet:
        typer.echo(visible(f"{found}\nWrote {output}"))


@app.command(epilog="Example: `kembar store info store`")
def info(folder: Folder) -> None:
    """Tell what a store holds: posts, groups, pairs, decisions, events, and its size."""
    from kembar.store.checking import described

    for name, value in described(folder).items():
        typer.echo(visible(f"{name}: {value}"))


@app.command(epilog="Example: `kembar store export store -o posts.parquet`")
def export(
    folder: Folder,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write, .csv or .parquet.", show_default=False)
    ],
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write the posts of a store with their groups into a file.

    Columns: posting_id, group, title, image, image_phash, price, brand, source, category, and other texts under their
    own names. A CSV is meant for spreadsheets too: texts that begin with = + - or @ have an apostrophe before them.
    """
    from kembar.store.exporting import exported, written

    check_new_file(output, overwrite)
    table: pl.DataFrame = exported(folder)
    written(table, output)
    if not quiet:
        typer.echo(f"Wrote {output} with {len(table):,} posts")
