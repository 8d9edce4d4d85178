"""The command that lets people review groups in their browser."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode="markdown")

Folder = Annotated[
    Path, typer.Argument(help="Run folder of `kembar match` or `kembar link`, or a store.", show_default=False)
]


@app.command(epilog="Example: `kembar review run` — answer with S, D, V and C; stop with Ctrl-C, nothing is lost")
def review(
    folder: Folder,
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0: a free one.", min=0, max=65535)] = 8321,
    browser: Annotated[bool, typer.Option(help="Open the browser.")] = True,
) -> None:
    """Review doubtful pairs and groups in the browser, on this machine alone.

    On a run folder a store is made beside it, **RUN.store**, where there is none; the run itself stays as it is. Every
    answer is on disk before the next pair is shown. The answers are labels for `kembar tune --labels`: the page
    *Progress* has them as CSV.
    """
    import webbrowser

    from kembar.errors import MissingExtraError
    from kembar.service.settings import Settings

    try:
        from kembar.service.running import serve
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("kembar"):
            raise
        raise MissingExtraError(error.name or "uvicorn", "serve") from error
    from kembar.store import Live

    def told(address: str) -> None:
        """Say where it is, and show it."""
        typer.echo(f"Review at {address}/review (Ctrl-C ends it)")
        if browser:
            webbrowser.open(f"{address}/review")

    with Live.beside(folder) as live:
        serve(live, Settings(port=port), told)
