"""Perceptual hashes as vectors: so the store of vectors keeps them too, and a photo is hashed once, not every night."""

import hashlib
from typing import Final

import numpy as np
import PIL

from kembar.arrays import Bools, Floats, Progress
from kembar.encoders.protocol import Items, Modality, Problem, check_paths
from kembar.posts.hashing import hash_photos
from kembar.posts.photos import Hashes

_FORM: Final = f"kembar perceptual hashes 1, decoded by Pillow {PIL.__version__}"


class PhotoHasher:
    """An encoder whose vectors are perceptual hashes: four numbers of 16 bits and a 1, which float32 holds exactly."""

    name: Final = "perceptual hash"
    modality: Modality = "photo"
    dimension: Final = 5
    fingerprint: Final = hashlib.sha256(_FORM.encode()).hexdigest()[:32]

    def encode(
        self,
        items: Items,
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
        problem: Problem | None = None,
    ) -> Floats:
        """Hash photos; arguments as in `Encoder.encode`. A photo that is cut short is hashed, and a problem too.

        Returns:
            (n, 5) float32, zeros where a photo has no hash.
        """
        found = hash_photos(check_paths(items), progress=progress)
        for row, told in found.problems.iter_rows():
            if problem is not None:
                problem(row, told)
        quarters = found.hashes.astype("<u8").view("<u2").reshape(-1, 4)
        return np.column_stack([quarters, found.hashed]).astype(np.float32)


def hashes_of(vectors: Floats) -> tuple[Hashes, Bools]:
    """Read hashes from their vectors: (n, 5) float32 to (n,) uint64, and (n,) bool, whether there is one."""
    quarters = np.ascontiguousarray(vectors[:, :4], dtype="<u2")
    return quarters.view("<u8").ravel().astype(np.uint64), vectors[:, 4] > 0
