"""The store of a run: made beside it when somebody first wants to review it."""

from pathlib import Path

from kembar.store.database import FILE
from kembar.store.live import Live

SUFFIX = ".store"
"""What the folder of the store of a run is called beside the name of the run."""


def store_of(folder: Path | str) -> Live:
    """Open the store in a folder, or that of a run; it is made, as RUN.store, where there is none yet.

    Args:
        folder: of a store, or a run folder of `kembar match` or `kembar link`.

    Returns:
        The open store; what people have said in it stays, and the run itself is not changed.

    Raises:
        FolderError: the folder holds neither.
        StoreError: another process has the store open, or it cannot be used.
    """
    from kembar.results.result import Result

    folder = Path(folder).absolute()
    if (folder / FILE).is_file():
        return Live.open(folder)
    beside = folder.with_name(folder.name + SUFFIX)
    return Live.open(beside) if (beside / FILE).is_file() else Live.create(beside, run=Result.load(folder))
