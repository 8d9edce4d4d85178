"""Whether the service lives, is ready, and how it does."""

import asyncio
import os
import tempfile
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from kembar.errors import StoreError
from kembar.service.answers import described
from kembar.service.context import Context, Here
from kembar.service.metrics import CONTENT_TYPE
from kembar.service.models import Health

router = APIRouter(tags=["operation"])


@router.get("/health")
async def health() -> Health:
    """Say that the process answers; asks nothing of the store."""
    return Health(status="alive")


@router.get("/ready", responses=described(503))
async def ready(here: Here) -> Health:
    """Say that the index is loaded and the disk can be written to; else 503."""
    await asyncio.to_thread(_try, here)
    return Health(status="ready")


@router.get("/metrics", response_class=Response)
async def metrics(here: Here) -> Response:
    """Give counts for Prometheus."""
    return Response(await asyncio.to_thread(_text, here), media_type=CONTENT_TYPE)


def _try(here: Context) -> None:
    """Read from the store and write beside it.

    Raises:
        StoreError: one of them fails.
    """
    here.live.counts()
    try:
        with tempfile.TemporaryFile(dir=here.live.folder) as stream:
            stream.write(b"ready")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise StoreError(
            f"a store whose disk cannot be written to ({error.strerror})", "one that can", "Free some space."
        ) from error


def _text(here: Context) -> bytes:
    counts: dict[str, Any] = asdict(here.live.counts())
    return here.metrics.text({**counts, "running": here.load.running, "waiting": here.load.waiting})
