"""Everything as one file: posts with their groups, decisions as labels."""

import asyncio
import tempfile
from typing import IO, Annotated, Literal, cast

import polars as pl
from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from kembar.results.tables import for_spreadsheets
from kembar.service.answers import described
from kembar.service.context import Context, Here, refuse_if_busy

router = APIRouter(prefix="/v1", tags=["export"])
_KINDS = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
_PIECE = 1 << 16
_ROWS = 50_000  # read at once
_COLUMNS = {
    "posting_id": pl.String,
    "group_id": pl.String,
    "title": pl.String,
    "image": pl.String,
    "hash": pl.String,
    "price": pl.Float64,
    "brand": pl.String,
    "source": pl.String,
    "category": pl.String,
}
_POSTS = """
SELECT p.id, g.id, p.title, p.image, p.hash, p.price, p.brand, p.source, p.category
FROM posts p JOIN groups g ON g.row = p.group_row WHERE p.removed IS NULL ORDER BY p.row
"""
Format = Annotated[Literal["csv", "parquet"], Query(description="of the file")]


@router.get("/export", responses=described(422, 429), response_class=StreamingResponse)
async def export_posts(here: Here, format: Format = "csv") -> StreamingResponse:
    """Send all posts with their groups as they are at one moment.

    In CSV, cells that a spreadsheet would take for formulas begin with an apostrophe, and a column that has them is
    shown by it; Parquet has all as it was given.
    """
    return await _sent(here, "posts", format)


@router.get("/labels", responses=described(422, 429), response_class=StreamingResponse)
async def export_labels(here: Here, format: Format = "csv") -> StreamingResponse:
    """Send what people decided, in the form that `kembar tune --labels` reads."""
    return await _sent(here, "labels", format)


class _SentFile(StreamingResponse):
    """The answer with a file, which is closed, and gives up its place, however the answer ends."""

    def __init__(self, stream: IO[bytes], places: asyncio.Semaphore, name: str) -> None:
        length = stream.seek(0, 2)
        stream.seek(0)
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(length)}
        super().__init__(iter(lambda: stream.read(_PIECE), b""), headers=headers, media_type=_KINDS[name.split(".")[1]])
        self._stream, self._places = stream, places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.close()
            self._places.release()


async def _sent(here: Context, what: str, format: str) -> StreamingResponse:
    """Write a file, and send it."""
    refuse_if_busy(here.exports, "export")
    await here.exports.acquire()
    try:
        stream = await here.call(_written, here, what, format)
    except BaseException:
        here.exports.release()
        raise
    return _SentFile(stream, here.exports, f"{what}.{format}")


def _written(here: Context, what: str, format: str) -> IO[bytes]:
    """Write all rows as of one moment into a file without a name, on the disk of the store."""
    stream = cast("IO[bytes]", tempfile.TemporaryFile(dir=here.live.folder))  # noqa: SIM115 - closed when it is sent
    try:
        frame = here.live.labels() if what == "labels" else _posts(here)
        if format == "csv":
            for_spreadsheets(frame).write_csv(stream)
        else:
            frame.write_parquet(stream)
    except BaseException:
        stream.close()
        raise
    return stream


def _posts(here: Context) -> pl.DataFrame:
    """Read all posts; one statement sees one moment."""
    cursor = here.live.reading().execute(_POSTS)
    frames = [pl.DataFrame(schema=_COLUMNS)]
    while rows := cursor.fetchmany(_ROWS):
        frames.append(pl.DataFrame(rows, schema=_COLUMNS, orient="row"))
    return pl.concat(frames).with_columns(pl.col(pl.String).fill_null(""))
