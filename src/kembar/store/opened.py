"""A store that is open in this process: its file, its index in memory, and the counting of words."""

import sqlite3
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from kembar.arrays import Progress
from kembar.config import Config
from kembar.encoders.encoding import default_store
from kembar.matcher import Matcher
from kembar.newcomers import Prepared
from kembar.results.result import Result
from kembar.store.connection import damaged_rows_told
from kembar.store.database import FILE, PHOTOS, Database
from kembar.store.founding import config_of, founded
from kembar.store.index import Index
from kembar.store.records import Event
from kembar.store.sealing import Sealed, loaded, refit_due, sealed_now, sealed_with

SUFFIX: Final = ".store"
"""What the folder of the store of a run is called beside the name of the run."""

_BACKGROUND: Final = 5000
"""Posts from which on words are counted anew in a thread of its own."""


class OpenStore:
    """A store of posts, open in this process; safe to use from several threads.

    What is acknowledged is on disk. `Live.create` makes a store, `Live.open` opens one, `Live.beside` opens that of a
    run; all hold its folder until `close`, so that no other process writes to it.

    Args:
        database: the open store.
        config: its configuration.
    """

    def __init__(self, database: Database, config: Config) -> None:
        self.folder = database.folder
        self.photos = database.folder / PHOTOS
        self.config = config
        self._database = database
        self._matcher = Matcher(config, store=default_store())
        self._lock = threading.RLock()
        self._index = Index()
        self._sealing: threading.Thread | None = None

    @classmethod
    def create(cls, folder: Path | str, *, run: Result | None = None, config: Config | None = None) -> Self:
        """Make a store.

        Args:
            folder: a folder that is not there, or empty.
            run: a finished run, whose posts, pairs and groups it begins with; photos are linked or copied.
            config: what can be set, where there is no run; the defaults where None.

        Returns:
            The open store.

        Raises:
            StoreError: the folder is in the way or cannot be written.
            ConfigError: a run with rules for lists, not groups, or that links two catalogues one to one.
        """
        return cls._started(founded(Path(folder), run, config or Config()))

    @classmethod
    def open(cls, folder: Path | str, *, progress: Progress | None = None) -> Self:
        """Open a store.

        Args:
            folder: what `create` made.
            progress: called with (stage, done, total) while the index is made.

        Returns:
            The store.

        Raises:
            StoreError: there is no store, it is damaged or of a newer version, or another process has it.
        """
        return cls._started(Database.open(Path(folder)), progress)

    @classmethod
    def beside(cls, folder: Path | str) -> Self:
        """Open the store of a run, as `kembar review` does: RUN.store, which is made where there is none yet.

        Args:
            folder: a run folder of `kembar match` or `kembar link`; of a store: that one is opened.

        Returns:
            The open store; what people have said in it stays, and the run itself is not changed.

        Raises:
            FolderError: the folder holds neither.
            StoreError: another process has the store open, or it cannot be used.
        """
        folder = Path(folder).absolute()
        if (folder / FILE).is_file():
            return cls.open(folder)
        store = folder.with_name(folder.name + SUFFIX)
        return cls.open(store) if (store / FILE).is_file() else cls.create(store, run=Result.load(folder))

    @classmethod
    def _started(cls, database: Database, progress: Progress | None = None) -> Self:
        try:
            live = cls(database, config_of(database))
            with damaged_rows_told(database.folder):
                live._index = loaded(live.reading(), live._matcher, live.photos, progress) or live._begun()
        except BaseException:
            database.close()
            raise
        return live

    def _begun(self) -> Index:
        """Count the words of a store that began with the posts of a run."""
        if not self.reading().execute("SELECT 1 FROM posts WHERE removed IS NULL LIMIT 1").fetchone():
            return Index()
        sealed = sealed_now(self.reading(), self._matcher, self.photos)
        with self._database.change("refit") as change:
            change.body["posts"] = sealed.counted
            sealed.save(change.write)
        return sealed.index

    def close(self) -> None:
        """Let the store go."""
        if self._sealing is not None:
            self._sealing.join()
        with self._lock:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def reading(self) -> sqlite3.Connection:
        """Give this thread a connection that can only read."""
        return self._database.reading()

    def _index_for(self, ready: Prepared) -> tuple[Index, Sealed | None]:
        """Give the index to compare new posts with; of a small store, one whose words have just been counted anew."""
        index = self._index
        if not refit_due(index, len(ready.posts)) or (index.model is not None and len(index) >= _BACKGROUND):
            return index, None
        sealed = sealed_with(self.reading(), ready, self._matcher, self.photos)
        return sealed.index, sealed

    def _seal_behind(self) -> None:
        """Have words counted anew by a thread, where a large store has grown."""
        busy = self._sealing is not None and self._sealing.is_alive()
        if len(self._index) >= _BACKGROUND and refit_due(self._index, 0) and not busy:
            self._sealing = threading.Thread(target=self.seal, name="kembar-seal", daemon=True)
            self._sealing.start()

    def seal(self) -> Event:
        """Count words anew in all posts, while others go on; a store does so by itself as it grows."""
        sealed = sealed_now(self.reading(), self._matcher, self.photos)
        with self._lock:
            with self._database.change("refit") as change:
                change.body["posts"] = len(sealed.index)
                sealed.save(change.write)
            self._index = sealed.caught_up(self.reading(), self._matcher, self.photos)
        return change.done()
