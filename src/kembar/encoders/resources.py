"""What work runs with: a device, the vectors of earlier runs, and who is told how far it is."""

from dataclasses import dataclass, field

from kembar.arrays import Progress
from kembar.encoders.protocol import Encoder
from kembar.encoders.registry import open_encoder
from kembar.encoders.store import VectorStore


@dataclass(frozen=True, slots=True)
class Resources:
    """What encoders and long work run with.

    Attributes:
        device: for the encoders, see `kembar.encoders.registry.open_encoder`.
        store: vectors of earlier runs; None: everything is encoded anew.
        progress: called with (stage, done, total).
        encoders: those that were opened, by spec.
    """

    device: str = "auto"
    store: VectorStore | None = None
    progress: Progress | None = None
    encoders: dict[str, Encoder] = field(default_factory=dict, compare=False, repr=False)

    def encoder(self, spec: str) -> Encoder:
        """Open an encoder, or take it from those that were opened before; raises as `open_encoder`."""
        if spec not in self.encoders:
            self.encoders[spec] = open_encoder(spec, device=self.device)
        return self.encoders[spec]
