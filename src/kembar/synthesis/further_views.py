"""Further photos of the posts of a shop: other views of their products, edited as sellers do."""

from dataclasses import replace

import numpy as np
import polars as pl

from kembar.synthesis.shop import Shop

VIEWS = 3
"""Original photos of a product."""


def further_views(shop: Shop, most: int, *, seed: int = 0) -> list[Shop]:
    """Choose further photos: of 1 to `most` photos per post, all numbers as often, those after the first.

    Args:
        shop: n posts with photos to be drawn.
        most: photos of a post, at least 1.
        seed: the same seed gives the same photos.

    Returns:
        A shop for each place from the second on: the posts that have so many photos, `image` being the file name there,
        each with the view after that of the photo before.
    """
    rng = np.random.default_rng([seed, most])
    photos = rng.integers(1, most + 1, len(shop.posts))
    found = []
    for place in range(1, most):
        rows = np.flatnonzero(photos > place)
        edited = rng.random(len(rows)) < 0.5
        names = shop.posts["image"].gather(rows).str.replace(r"\.jpg$", f"-{place + 1}.jpg")
        found.append(
            replace(
                shop,
                posts=pl.DataFrame({"posting_id": shop.posts["posting_id"].gather(rows), "image": names}),
                product=shop.product[rows],
                view=((shop.view[rows] + place) % VIEWS).astype(np.uint8),
                edit=np.where(edited, rng.integers(1, 1 << 62, len(rows)), 0),
                quality=np.where(edited, rng.integers(40, 93, len(rows)), 85).astype(np.uint8),
            )
        )
    return found
