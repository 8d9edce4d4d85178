"""Everything as one file: posts with their groups, decisions as labels."""

import tempfile
from collections.abc import AsyncIterator
from typing import IO, Annotated, Literal, cast

import polars as pl
from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from kembar.results.tables import for_spreadsheets
from kembar.service.answers import Refused, described
from kembar.service.context import Context, Here
from kembar.service.limits import RETRY

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


async def _sent(here: Context, what: str, format: str) -> StreamingResponse:
    """Write a file and send it; it has no name and goes when it is sent."""
    if here.exports.locked():
        raise Refused(429, "one export more than are made at once", "at most 2 at once", "Send it again later.", RETRY)
    await here.exports.acquire()
    try:
        stream = await here.call(_written, here, what, format)
    except BaseException:
        here.exports.release()
        raise
    length = stream.seek(0, 2)
    headers = {"Content-Disposition": f'attachment; filename="{what}.{format}"', "Content-Length": str(length)}
    return StreamingResponse(_pieces(here, stream), media_type=_KINDS[format], headers=headers)


async def _pieces(here: Context, stream: IO[bytes]) -> AsyncIterator[bytes]:
    try:
        stream.seek(0)
        while piece := stream.read(_PIECE):
            yield piece
    finally:
        stream.close()
        here.exports.release()


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
