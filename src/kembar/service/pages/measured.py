"""How far the review is, what it measured, and its answers as labels."""

from types import SimpleNamespace
from typing import Final

import polars as pl
from fastapi import APIRouter, Request
from starlette.responses import Response

from kembar.posts.cells import guarded
from kembar.service.pages.reviewed import reviewed
from kembar.service.pages.views import VERDICT_WORDS, PageRoute, render
from kembar.store.progress import Progress, disagreements, progress
from kembar.store.review import APART_SHARE, QUIET_SHARE

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_NAMED: Final = 'attachment; filename="labels.csv"'
_ENDS: Final = {"left": pl.String, "right": pl.String}
_ACCEPTED: Final = (
    f"Of pairs that were accepted without a person, drawn at random as quiet cases (one item of {QUIET_SHARE}), the "
    "share that are the same product."
)
_MISSED: Final = (
    f"Of pairs that were kept apart, drawn at random (one quiet case of {APART_SHARE}), the share that are the same "
    "product after all."
)
_DOUBTFUL: Final = "Of doubtful pairs and proposed merges, the share that are the same product."
_AGREEMENT: Final = "Of pairs that several people answered, the share on which all say the same."


@router.get("/review/progress")
def measured(request: Request) -> Response:
    """Show what was answered and what it says."""
    connection = reviewed(request).live.reading()
    found = progress(connection)
    return render(
        request,
        "progress.html",
        found=found,
        measures=_measures(found),
        expected=found.expected,
        disagreeing=len(disagreements(connection)),
        verdicts=VERDICT_WORDS,
        left_out=len(reviewed(request).against()),
    )


@router.get("/review/labels.csv")
def labels(request: Request) -> Response:
    """Write the answers as labels for `kembar tune --labels`, which takes none that contradict each other."""
    frame = reviewed(request).live.labels()
    against = pl.DataFrame([(each.a, each.b) for each in reviewed(request).against()], _ENDS, orient="row")
    frame = frame.join(against, on=["left", "right"], how="anti", maintain_order="left")
    ends = (guarded(frame[end]) for end in ("left", "right"))
    text = frame.with_columns(*ends).write_csv()
    return Response(text, media_type="text/csv; charset=utf-8", headers={"Content-Disposition": _NAMED})


def _measures(found: Progress) -> list[SimpleNamespace]:
    shares = (
        ("Precision of what is accepted", found.accepted, _ACCEPTED, "answers"),
        ("Missed among what is apart", found.missed, _MISSED, "answers"),
        ("Doubtful pairs that are one product", found.doubtful, _DOUBTFUL, "answers"),
        ("People who agree", found.agreement, _AGREEMENT, "pairs"),
    )
    return [SimpleNamespace(name=name, share=share, words=words, unit=unit) for name, share, words, unit in shares]
