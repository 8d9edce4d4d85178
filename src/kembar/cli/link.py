"""`kembar link`: the posts of one catalogue against those of another."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from kembar.cli.columns import column_options, right_column_options
from kembar.cli.layout import layout_options
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
    Quiet,
    Settings,
    resources,
)
from kembar.cli.parts import Large, Memory, On, Workers, work_beside
from kembar.posts.columns import Columns
from kembar.posts.layout import Layout

app = typer.Typer(rich_markup_mode="markdown")


@app.command(epilog="Example: `kembar link mine.csv theirs.csv -o links` — then open links/links.csv")
@column_options("id", "title", "image", "hash", "price", "brand", "further", "within")
@layout_options
@right_column_options("id", "title", "image", "hash", "price", "brand", "within")
def link(
    ctx: typer.Context,
    left: Annotated[Path, typer.Argument(help="Your posts.", show_default=False, **PLACE)],
    right: Annotated[Path, typer.Argument(help="The posts to link to them.", show_default=False, **PLACE)],
    output: Output,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="`one-to-one`; `one-to-many`: a right post takes one link at most, a left post any number; or "
            "`many-to-many`: all pairs above the cut.",
        ),
    ] = "one-to-many",
    images: Images = None,
    right_images: Annotated[
        Path | None, typer.Option("--right-images", help="Photo folder of the right posts.", **PLACE)
    ] = None,
    model: Model = None,
    config: ConfigFile = None,
    settings: Settings = None,
    memory: Memory = None,
    on: On = None,
    workers: Workers = None,
    device: Device = "auto",
    cache: Cache = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    *,
    columns: Columns,
    right_columns: dict[str, Any],
    layout: Layout,
) -> None:
    """Find which posts of one catalogue sell the products of another.

    Posts are compared across the two catalogues alone. Writes a run folder as `kembar match` does, and in it
    **links.csv** (left_id, right_id, probability, left_title, right_title), **unmatched-left.csv** and
    **unmatched-right.csv**. In the other files, and for `kembar explain`, posts are named left/ID and right/ID.

    With --memory or --on, the links are the same, and a run that was stopped goes on, as with `kembar match`.

    Options about columns count for both files; those that begin with `--right-` for the right one alone.
    """
    from kembar.cluster.match import match_in_parts
    from kembar.folders import reserved
    from kembar.linking import both, linking
    from kembar.matcher import Matcher
    from kembar.posts.catalog import Catalog
    from kembar.results.report import summary

    large = Large(memory, on, workers)
    large.check()
    chosen = linking(Chosen(None, model, config, settings).config(), kind)
    with large.going_on(output), reserved(output, overwrite=overwrite), ctx.obj(quiet) as progress:
        mine = Catalog.read(left, images=images, columns=columns, layout=layout)
        other = replace(columns, **right_columns)
        theirs = Catalog.read(right, images=right_images or images, columns=other, layout=layout)
        posts, means = both(mine, theirs), resources(device, cache)
        if large.asked:
            running = large.running(len(posts), means)
            result = match_in_parts(posts, work_beside(output), chosen, running=running, progress=progress)
        else:
            large.warn(len(posts))
            result = Matcher(chosen, device=means.device, store=means.store).match(posts, progress=progress)
        progress("writing", 0, 0)
        result.save(output, overwrite=overwrite)
        large.clean(output)
    if not quiet:
        typer.echo(summary(result.report))
        typer.echo(f"Wrote {output} with {len(result.links_frame()):,} links")
