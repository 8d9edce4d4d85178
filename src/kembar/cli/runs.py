"""The commands that look at a run: its score, one pair, the pairs whose labels would teach most."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kembar.cli.columns import column_options
from kembar.cli.options import PLACE, Output, Overwrite, Quiet, Settings, check_new_file
from kembar.errors import ConfigError, visible
from kembar.posts.columns import Columns

app = typer.Typer(rich_markup_mode="markdown")

Run = Annotated[Path, typer.Argument(help="Run folder of `kembar match`.", show_default=False, **PLACE)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog="Example: `kembar evaluate run -o curve` — writes curve/curve.svg and curve/curve.csv")
@column_options("id", "label")
def evaluate(
    run: Run,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="File with known groups; the run's own labels by default.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the curve over the threshold, as CSV and SVG.")
    ] = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
    *,
    columns: Columns,
) -> None:
    """Score a run against known groups.

    Mean F1, precision and recall over the posts, with the size of the pool; F1 over pairs, B-cubed F1, and what a
    perfect decision on the candidate pairs would reach. With `-o`, also F1 for every threshold on the similarity.
    """
    from kembar.cli.summary import draw_scores
    from kembar.evidence.pairs import SIMILARITY
    from kembar.folders import check_free, new_folder
    from kembar.posts.labels import read_truth
    from kembar.results.charts import threshold_curve
    from kembar.results.result import Result

    if output is not None:
        check_free(output, overwrite=overwrite, mark="curve.csv")
    result = Result.load(run, evidence=(SIMILARITY,))
    labels = None if truth is None else read_truth(truth, result.catalog.ids, columns)
    scores = result.scores(labels)
    if as_json:
        typer.echo(json.dumps(scores, indent=2))
    else:
        draw_scores(scores)
    if output is not None:
        table = result.curve(labels).frame()
        with new_folder(output, overwrite=overwrite, mark="curve.csv") as folder:
            table.write_csv(folder / "curve.csv")
            threshold_curve(table, folder / "curve.svg")


@app.command(epilog="Example: `kembar explain run post_17 post_42 --picture why.svg`")
def explain(
    run: Run,
    a: Annotated[str, typer.Argument(help="A posting id.", show_default=False)],
    b: Annotated[str, typer.Argument(help="Another posting id.", show_default=False)],
    picture: Annotated[
        Path | None, typer.Option("--picture", "-p", help="SVG file: what each piece of evidence added.")
    ] = None,
    columns: Annotated[
        bool, typer.Option("--columns", help="Tell of each evidence column, not of each kind of evidence.")
    ] = False,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Explain why two posts match or not: the evidence, what the classifier made of it, what each rule said."""
    from kembar.folders import new_file
    from kembar.results.result import Result

    if picture is not None:
        check_new_file(picture, overwrite)
    explanation = Result.load(run).explain(a, b)
    text = (
        json.dumps(explanation.as_dict(), indent=2, ensure_ascii=False)
        if as_json
        else explanation.text(columns=columns)
    )
    typer.echo(visible(text))
    if picture is not None:
        with new_file(picture) as target:
            explanation.waterfall(target, columns=columns)


@app.command(epilog='Example: `kembar score "Galaxy S10 128GB black" "Samsung Galaxy S10 128 GB"`')
def score(
    a: Annotated[str, typer.Argument(help="A title.", show_default=False)],
    b: Annotated[str, typer.Argument(help="Another title.", show_default=False)],
    image_a: Annotated[Path | None, typer.Option("--image-a", help="The photo of the first.")] = None,
    image_b: Annotated[Path | None, typer.Option("--image-b", help="The photo of the second.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell how likely it is that two titles sell one product, without a run.

    How rare a word is shows only in a catalogue: in a run the probability is surer.
    """
    from kembar.two_posts import score as scored

    if (image_a is None) != (image_b is None):
        raise ConfigError("one photo", "two, or none", "Give both --image-a and --image-b.")
    found = scored(a, b, images=None if image_a is None or image_b is None else (image_a, image_b))
    typer.echo(json.dumps(asdict(found), indent=2, ensure_ascii=False) if as_json else str(found))


@app.command(
    "label-queue",
    epilog="Example: `kembar label-queue run -o pairs.csv`, fill in `same`, then `kembar tune ... --labels pairs.csv`",
)
def label_queue(
    run: Run,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="CSV file to write, with an empty column `same`.", show_default=False)
    ],
    n: Annotated[int, typer.Option("-n", help="Number of pairs.", min=1)] = 200,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """List the pairs whose labels would teach most: those that the classifier is least sure of.

    Writes left, right, their titles and the similarity, and a column **same** to fill with 1, 0 or nothing. Then
    `kembar tune posts.csv --labels pairs.csv -o model` learns from the answers. The file is meant for spreadsheets:
    titles and ids that begin with = + - or @ have an apostrophe before them, so that none is taken for a formula.
    """
    from kembar.evidence.pairs import OF_RULES, SIMILARITY
    from kembar.folders import new_file
    from kembar.posts.cells import guarded
    from kembar.results.result import Result

    check_new_file(output, overwrite)
    queue = Result.load(run, evidence=(SIMILARITY, OF_RULES)).label_queue(n)
    with new_file(output) as target:
        text = ("left", "right", "left_title", "right_title")
        queue.with_columns(guarded(queue[name]) for name in text).write_csv(target)
    if not quiet:
        typer.echo(f"Wrote {output} with {len(queue):,} pairs")


@app.command(epilog="Example: `kembar regroup run --set cut=.6 -o stricter` — the same pairs, other groups")
def regroup(
    run: Run,
    output: Output,
    settings: Settings = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Decide again about the pairs of a run, by another cut or rule, without comparing anything again.

    Takes `cut`, `rule`, `target_size`, `single`, `advanced.decide` and `advanced.group.link`; other options change the
    pairs themselves. Cuts hold for the pool of this run, as its config.toml has them. The new run folder is the one
    that `kembar match` with this config.toml and these options would make.
    """
    from kembar.cli.summary import draw
    from kembar.evidence.pairs import SIMILARITY
    from kembar.folders import reserved
    from kembar.regrouping import regroup as decided_again
    from kembar.results.result import Result

    with reserved(output, overwrite=overwrite):
        result = decided_again(Result.load(run, evidence=(SIMILARITY,)), settings or ())
        result.save(output, overwrite=overwrite, like=run)
    if not quiet:
        draw(result.report)
        typer.echo(f"Wrote {output}")


@app.command(epilog="Example: `kembar export run --to run.xlsx`, or `--to sqlite:run.db`")
def export(
    run: Run,
    target: Annotated[
        str,
        typer.Option(
            "--to",
            help="`FILE.xlsx`, `duckdb:FILE`, `sqlite:FILE` or `postgresql://USER@HOST/DATABASE`.",
            show_default=False,
        ),
    ],
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write a run for people with a spreadsheet, or into a database.

    A workbook has a sheet of groups in bands of colour with photos, one of doubtful pairs, one of figures. A database
    gets the tables **posts**, **groups**, **matches**, **pairs** and **kembar_run**, with keys: all of them, or none;
    what else is in it is left alone.
    """
    from kembar.results.databases import is_database
    from kembar.results.export import check_target
    from kembar.results.export import export as written
    from kembar.results.result import Result

    check_target(target)
    if not is_database(target):
        check_new_file(Path(target), overwrite)
    written(Result.load(run), target, overwrite=overwrite)
    if not quiet:
        typer.echo(f"Wrote {visible(target if '@' not in target else target.rpartition('@')[2])}")
