"""`kembar serve`: the live matcher over HTTP."""

import logging
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode="markdown")


@app.command(epilog="Example: `kembar serve store` — then `curl http://127.0.0.1:8321/health`")
def serve(
    ctx: typer.Context,
    store: Annotated[Path, typer.Argument(help="Folder of the store.", show_default=False)],
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; any but a loopback one needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0: a free one.", min=0, max=65535)] = 8321,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="File with the token that clients must show; or set KEMBAR_TOKEN."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="Further name of the service, such as that of a proxy; repeat for more."),
    ] = None,
    max_body: Annotated[float, typer.Option("--max-body", help="Megabytes that a request may have.", min=0.001)] = 10,
    max_posts: Annotated[int, typer.Option("--max-posts", help="Posts that a request may have.", min=1)] = 1000,
    photo_pixels: Annotated[
        float, typer.Option("--photo-pixels", help="Megapixels that a photo may have.", min=0.01)
    ] = 50,
    photo_seconds: Annotated[
        float, typer.Option("--photo-seconds", help="Seconds that decoding a photo may take.", min=0.1)
    ] = 10,
    workers: Annotated[int, typer.Option("--workers", help="Requests that are worked on at once.", min=1)] = 8,
    queue: Annotated[int, typer.Option("--queue", help="Requests that may wait; more get 429.", min=0)] = 64,
    connections: Annotated[int, typer.Option("--connections", help="Connections that may be open.", min=1)] = 512,
    head_seconds: Annotated[
        float, typer.Option("--head-seconds", help="Seconds until the head of a request must be there.", min=0.1)
    ] = 10,
    body_seconds: Annotated[
        float, typer.Option("--body-seconds", help="Seconds until its body must be there.", min=0.1)
    ] = 60,
    send_seconds: Annotated[
        float, typer.Option("--send-seconds", help="Seconds that a client may leave an answer unread.", min=0.1)
    ] = 60,
    stop_seconds: Annotated[
        float, typer.Option("--stop-seconds", help="Seconds that accepted requests may take at the end.", min=0.1)
    ] = 60,
    access_log: Annotated[bool, typer.Option(help="Log every request on standard error.")] = True,
) -> None:
    """Serve a store over HTTP: add posts, look them up, decide, export; and pages to review groups at /review.

    One process holds a store. SIGTERM or Ctrl-C ends accepted requests, then closes it.
    """
    from kembar.errors import MissingExtraError
    from kembar.service.settings import Settings, find_token

    settings = Settings(
        host=host,
        port=port,
        token=find_token(token_file),
        hosts=tuple(allow_host or ()),
        max_body=int(max_body * 1e6),
        max_posts=max_posts,
        photo_pixels=int(photo_pixels * 1e6),
        photo_seconds=photo_seconds,
        workers=workers,
        queue=queue,
        connections=connections,
        head_seconds=head_seconds,
        body_seconds=body_seconds,
        send_seconds=send_seconds,
        stop_seconds=stop_seconds,
    )
    logging.getLogger("kembar.service.access").setLevel(logging.INFO if access_log else logging.WARNING)
    try:
        from kembar.service.running import serve as serve_store
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("kembar"):
            raise
        raise MissingExtraError(error.name or "uvicorn", "serve") from error
    from kembar.store import Live

    with ctx.obj(False) as progress:
        live = Live.open(store, progress=progress)
    with live:
        serve_store(live, settings, lambda address: typer.echo(f"Serving {store} at {address}"))
        typer.echo(f"Stopped; {store} is closed")
