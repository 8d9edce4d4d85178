"""The same posts with some of their evidence hidden: what a classifier must see in training to do without it later.

Trees that always had every view do badly where one is lacking: they lean on columns that are then empty. So a
classifier learns from each pool several times, whole and with views hidden, as a network learns with dropout
(Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting"). Pools that lack nothing
are scored no worse.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Final

import polars as pl

from kembar.arrays import Doubles
from kembar.evidence.view_kinds import KINDS
from kembar.evidence.views import View

_NO_PHOTO: Final = 0.5  # share of the posts whose photo is hidden
_NO_TITLE: Final = 0.1  # share of the posts that keep their photo, but not their title


@dataclass(frozen=True, slots=True)
class Thinned:
    """Posts with some evidence hidden.

    Attributes:
        without: names of the views that are lacking altogether, in order of the alphabet; none where single posts
            lack something.
        views: what is left.
        titles: (n,) String in normal form, "" where hidden.
    """

    without: tuple[str, ...]
    views: tuple[View, ...]
    titles: pl.Series


def thinned(views: Sequence[View], titles: pl.Series, draws: Doubles) -> Iterator[Thinned]:
    """Hide evidence in every way that leaves the titles something to say.

    Kinds of evidence are the photos (hashes and vectors), the title encoders, and words with characters. Left out are
    each kind, and the photos with either of the others; last, half of the posts lose their photos and a tenth of the
    posts, which keep them, their titles.

    Args:
        views: all there are.
        titles: (n,) String in normal form.
        draws: (n,) in [0, 1), which posts lose what; see `kembar.posts.buckets.draws_of`.

    Yields:
        Up to six pools; none where photos are all there is, or words.
    """
    photos = {view.name for view in views if view.modality == "photo"}
    words = {view.name for view in views if view.name in KINDS and KINDS[view.name].family == "terms"}
    kinds = [kind for kind in (photos, {view.name for view in views} - photos - words, words) if kind]
    for some in chain(combinations(kinds, 1), combinations(kinds, 2)):
        hidden = set().union(*some)
        left = tuple(view for view in views if view.name not in hidden)
        if any(view.modality == "title" for view in left):
            yield Thinned(tuple(sorted(hidden)), left, titles)
    if photos and len(photos) < len(views):
        no_photo, no_title = draws >= 1 - _NO_PHOTO, draws < _NO_TITLE
        left = tuple(view.hidden(no_photo if view.modality == "photo" else no_title) for view in views)
        yield Thinned((), left, titles.zip_with(pl.Series(~no_title), pl.Series([""])))
