"""The command line: one short function per command, no logic."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from kembar.cli.columns import ALL, column_options
from kembar.cli.doctor import app as doctor
from kembar.cli.groups import Group
from kembar.cli.layout import layout_options
from kembar.cli.link import app as link
from kembar.cli.options import (
    PLACE,
    Cache,
    Chosen,
    ConfigFile,
    Device,
    Images,
    Model,
    Output,
    Overwrite,
    Posts,
    Quiet,
    Recipe,
    Settings,
    VectorFiles,
    check_new_file,
    earlier_run,
    read_vectors,
    resources,
)
from kembar.cli.parts import Large, Memory, On, Workers, work_beside
from kembar.cli.recipes import check_encoders
from kembar.cli.review import app as review
from kembar.cli.runs import app as runs
from kembar.cli.serve import app as serve
from kembar.cli.store import app as store
from kembar.cli.train import app as train
from kembar.cli.words import told
from kembar.errors import ConfigError, KembarError, visible
from kembar.posts.columns import Columns
from kembar.posts.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable


class _Visible(logging.Formatter):
    """Titles and file names in messages do not command the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        return visible(super().format(record))


PANELS: Final = {
    "Match": ("match", "link", "score"),
    "Look at a run": ("evaluate", "explain", "regroup", "export"),
    "Learn from people and labels": ("review", "label-queue", "tune", "train", "encode"),
    "Posts that come one by one": ("store", "serve"),
    "Set up and try": ("synth", "config", "doctor"),
}
"""The commands by what they are for, in the order in which `kembar --help` shows them."""


class Commands(Group):
    """The commands; bad input ends any of them with one message and exit code 2."""

    def list_commands(self, ctx: Any) -> list[str]:
        """List the commands panel by panel; those of no panel come last."""
        shown = [name for names in PANELS.values() for name in names]
        return sorted(self.commands, key=lambda name: shown.index(name) if name in shown else len(shown))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find a command, and tell it in which panel it is shown."""
        command: Any = super().get_command(ctx, cmd_name)
        if command is not None:
            command.rich_help_panel = next((panel for panel, names in PANELS.items() if cmd_name in names), None)
        return command

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KembarError as error:
            _fail(told(error), 2)
        except KeyboardInterrupt as stop:
            _fail(f"interrupted; {stop.args[0] if stop.args else 'nothing was written'}", 1)
        except MemoryError:
            _fail(
                "these posts, for which the memory of this machine is too small; expected fewer posts or more memory. "
                "`kembar match --memory 4GiB` stays within so much; or match categories one by one. Nothing was kept.",
                1,
            )


app = typer.Typer(
    name="kembar",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find the posts of a marketplace that sell the same product, from their photos and titles.",
    epilog="Try it: `kembar synth -n 5000 -o shop`, then `kembar match shop/posts.csv --images shop/photos -o run`",
)
app.add_typer(train, name="train")
app.add_typer(link)
app.add_typer(store, name="store")
app.add_typer(runs)
app.add_typer(serve)
app.add_typer(review)
app.add_typer(doctor)


@app.callback(invoke_without_command=True)
def top(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is being done.")] = False,
) -> None:
    """Set up what all commands share."""
    if version:
        from importlib.metadata import version as installed

        print(f"kembar {installed('kembar')}")
        raise typer.Exit
    ctx.obj = _bars
    handler = logging.StreamHandler()
    handler.setFormatter(_Visible("%(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("kembar").setLevel(logging.INFO if verbose else logging.WARNING)


@app.command(epilog="Example: `kembar match posts.csv --images photos -o run` — then open run/report.html")
@column_options()
@layout_options
def match(
    posts: Posts,
    output: Output,
    images: Images = None,
    model: Model = None,
    recipe: Recipe = None,
    config: ConfigFile = None,
    settings: Settings = None,
    vectors: VectorFiles = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against", help="Earlier run: these posts are new; they are compared with it and join it.", **PLACE
        ),
    ] = None,
    memory: Memory = None,
    on: On = None,
    workers: Workers = None,
    device: Device = "auto",
    cache: Cache = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    *,
    columns: Columns,
    layout: Layout,
) -> None:
    """Match and group all posts of a catalogue.

    Writes a run folder: **report.html** (to look at, with photos), **matches.csv** (Kaggle's form: posting_id, its
    matches with itself first), **groups.csv** (the group of each post, how sure it is, and columns of the input by
    --with), **matches.parquet** (the matches as lists, and the groups), **pairs.parquet** (the evidence for each pair
    that was compared), **report.md** and **report.json**, **group-sizes.svg**, **config.toml** and **manifest.json**.
    Posts without a title, photo or hash are matched on what they have. Where the label column is there, the report has
    F1.

    With --memory or --on, matches and groups are the same. What is done is kept in a folder beside the run,
    **OUTPUT.work**, until the run is there: the same command goes on where it stopped. Pairs that cannot be one product
    are counted, and not in pairs.parquet.
    """
    from kembar.cli.summary import draw
    from kembar.cluster.match import match_in_parts
    from kembar.extending import extend
    from kembar.folders import reserved
    from kembar.matcher import Matcher
    from kembar.posts.catalog import Catalog

    large = Large(memory, on, workers)
    large.check()
    if large.asked and against is not None:
        raise ConfigError("--against with --memory or --on", "one of them", "Leave out --against.")
    run = None if against is None else earlier_run(against, (recipe, model, config, settings, vectors))
    chosen = Chosen(recipe, model, config, settings).config() if run is None else run.config
    with large.going_on(output), reserved(output, overwrite=overwrite), _bars(quiet) as progress:
        catalog = Catalog.read(posts, images=images, columns=columns, layout=layout)
        brought = read_vectors(vectors, catalog)
        check_encoders(recipe, chosen, catalog, brought)
        means = resources(device, cache)
        if run is not None:
            result = extend(run, catalog, Matcher(chosen, device=means.device, store=means.store), progress=progress)
        elif large.asked:
            running = large.running(len(catalog), means)
            result = match_in_parts(
                catalog, work_beside(output), chosen, running=running, embeddings=brought, progress=progress
            )
        else:
            large.warn(len(catalog))
            matcher = Matcher(chosen, device=means.device, store=means.store)
            result = matcher.match(catalog, embeddings=brought, progress=progress)
        progress("writing", 0, 0)
        result.save(output, overwrite=overwrite)
        large.clean(output)
    if not quiet:
        draw(result.report)
        print(f"Wrote {output}")


@app.command(epilog="Example: `kembar tune posts.csv -o model`, then `kembar match new.csv --model model -o run`")
@column_options(*(field for field in ALL if field != "shown"))
@layout_options
def tune(
    posts: Posts,
    output: Annotated[Path, typer.Option("--output", "-o", help="Model folder to make.", show_default=False)],
    method: Annotated[
        str,
        typer.Option("--method", help="`lightgbm` or `xgboost`: learn a classifier; `rules`: tune the hand-set rules."),
    ] = "lightgbm",
    judge: Annotated[str | None, typer.Option("--judge", help="Older name of --method.", hidden=True)] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Labelled pairs (left, right, same), as in the file of `kembar label-queue`."),
    ] = None,
    folds: Annotated[int, typer.Option("--folds", help="Folds of whole groups.", min=2)] = 4,
    pool: Annotated[
        str, typer.Option("--pool", help="`whole`: all posts; for rules also `fold`: each fold a pool of its own.")
    ] = "whole",
    images: Images = None,
    recipe: Recipe = None,
    config: ConfigFile = None,
    settings: Settings = None,
    vectors: VectorFiles = None,
    device: Device = "auto",
    cache: Cache = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    *,
    columns: Columns,
    layout: Layout,
) -> None:
    """Learn to classify pairs, and where to cut, from posts whose groups are known or from labelled pairs.

    Writes a model folder for `kembar match --model`: **trees.txt** and **classifier.json** (boosted trees over the
    evidence of a pair, calibrated on pairs they had not seen) and **config.toml** (with the cut for its probabilities).
    With --labels the classifier that ships, or that `--set model=FOLDER` names, is corrected by the answers; from known
    groups a new one is learned.

    Folds hold whole groups; the score that is shown is of classifiers and cuts that had not seen the fold they are
    scored on. Use a pool as large as the one you will match: among more posts, more unrelated posts look alike.
    """
    from kembar.config import MODEL_FILE
    from kembar.fitting.fit import fit
    from kembar.fitting.tuning import Fitting
    from kembar.folders import reserved
    from kembar.posts.catalog import Catalog

    chosen = Chosen(recipe, None, config, settings).config()
    with reserved(output, overwrite=overwrite, mark=MODEL_FILE), _bars(quiet) as progress:
        catalog = Catalog.read(posts, images=images, columns=columns, layout=layout)
        brought = read_vectors(vectors, catalog)
        check_encoders(recipe, chosen, catalog, brought)
        found = fit(
            catalog,
            chosen,
            labels=labels,
            embeddings=brought,
            how=Fitting(folds, pool, judge or method),
            resources=resources(device, cache, progress),
        )
        found.save(output, overwrite=overwrite)
    if not quiet:
        print(found)
        print(f"Wrote {output}")


@app.command(
    epilog="Example: `kembar encode posts.csv -e use -o use.parquet`, then `kembar match ... --vectors use=use.parquet`"
)
@column_options("id", "title", "image")
@layout_options
def encode(
    posts: Posts,
    output: Annotated[Path, typer.Option("--output", "-o", help="Parquet file to write.", show_default=False)],
    encoder: Annotated[
        str, typer.Option("--encoder", "-e", help="`kembar-title`, `st:NAME`, `timm:NAME` ... or a folder.")
    ] = "kembar-title",
    images: Images = None,
    device: Device = "auto",
    cache: Cache = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    *,
    columns: Columns,
    layout: Layout,
) -> None:
    """Turn the titles or photos of posts into vectors, by any encoder.

    Writes posting_id and vector; a post without a title, or with a photo that cannot be read, is left out. What was
    encoded is kept, so a run that was stopped goes on where it was.
    """
    from kembar.encoders.encoding import write_vectors
    from kembar.posts.catalog import Catalog

    check_new_file(output, overwrite)
    catalog = Catalog.read(posts, images=images, columns=columns, layout=layout)
    with _bars(quiet) as progress:
        done = write_vectors(catalog, encoder, output, resources=resources(device, cache, progress))
    if not quiet:
        print(f"Wrote {output} with {done:,} vectors for {len(catalog):,} posts")


@app.command(epilog="Example: `kembar synth -n 5000 -o shop` — writes shop/posts.csv and shop/photos")
def synth(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make.", show_default=False)],
    n: Annotated[int, typer.Option("-n", help="Number of posts.")] = 5000,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same bytes.")] = 0,
    photos: Annotated[bool, typer.Option(help="Draw photos, or write made-up hashes instead.")] = True,
    size: Annotated[int, typer.Option("--size", help="Edge of a photo in pixels.")] = 256,
    singles: Annotated[
        float, typer.Option("--singles", help="Share of posts that match no other.", min=0, max=1)
    ] = 0.0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make a labelled catalogue: drawn product photos and the titles sellers might give them.

    Group sizes are those of labelled Shopee posts. A third of the products have look-alike siblings that differ only
    in size, colour or flavour.
    """
    from kembar.synthesis import Drawing, write_shop

    with _bars(quiet) as progress:
        drawing = Drawing(size, progress=progress)
        write_shop(output, n, seed=seed, singles=singles, photos=photos and drawing, overwrite=overwrite)
    if not quiet:
        print(f"Wrote {output / 'posts.csv'} with {n:,} posts")


@app.command(name="config", epilog="Example: `kembar config > my.toml`, edit it, then `kembar match ... -c my.toml`")
def show_config(recipe: Recipe = None, config: ConfigFile = None, settings: Settings = None) -> None:
    """Print the whole configuration as TOML, every option with its meaning."""
    print(Chosen(recipe, None, config, settings).config().text(), end="")


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a sign of the report shows a question mark
    app()


def _fail(message: str, code: int) -> NoReturn:
    print(f"kembar: {visible(message)}", file=sys.stderr)
    sys.exit(code)


@contextmanager
def _bars(quiet: bool) -> "Iterator[Callable[[str, int, int], None]]":
    """Draw a line per stage. Quiet: no warnings either, unless --verbose."""
    from rich.console import Console  # not needed for --help and --version, which are quick without it

    from kembar.cli.progress import Bars

    log = logging.getLogger("kembar")
    before = log.level
    if quiet and before == logging.WARNING:
        log.setLevel(logging.ERROR)
    try:
        with Bars(Console(stderr=True), quiet=quiet) as progress:
            yield progress
    finally:
        log.setLevel(before)
