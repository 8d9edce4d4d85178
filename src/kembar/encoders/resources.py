"""What work runs with: a device, the vectors of earlier runs, and who is told how far it is."""

from dataclasses import dataclass

from kembar.arrays import Progress
from kembar.encoders.store import VectorStore


@dataclass(frozen=True, slots=True)
class Resources:
    """What encoders and long work run with.

    Attributes:
        device: for the encoders, see `kembar.encoders.registry.open_encoder`.
        store: vectors of earlier runs; None: everything is encoded anew.
        progress: called with (stage, done, total).
    """

    device: str = "auto"
    store: VectorStore | None = None
    progress: Progress | None = None
