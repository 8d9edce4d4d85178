"""Which column of a source holds what, and whether the source has it."""

import logging
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Final

from kembar.errors import CatalogError, nearest, quoted

_SEVERAL = ("further", "identifiers", "shown", "further_images")
"""The fields that name any number of columns."""

log = logging.getLogger(__name__)


ALWAYS_SHOWN: Final = ("title", "image")
"""What `Columns.shown` may name whatever the columns of the file are called: the titles and photos of the posts."""
_ALWAYS = tuple(("shown", name) for name in ALWAYS_SHOWN)
"""What needs no column of that name."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of a source holds what; the defaults are the names of Kaggle's Shopee data.

    A column under its default name may be absent (except the id). A column named otherwise must be there.

    Args:
        id: name of the post, unique; text or whole numbers.
        title: what the seller wrote; None to ignore titles; likewise below.
        image: file name of the photo, relative to the photo folder, or several of them in one cell.
        hash: 64-bit perceptual hash of the photo, 16 hex digits.
        label: group of the posts that sell the same product.
        price: what the post asks for, in any currency; all posts in the same one.
        brand: who made the product, or its brand.
        further: other columns that describe a post, such as its model number or a description; none by default.
        identifiers: columns of codes that name a product everywhere, such as a GTIN or a manufacturer's part number.
        source: who lists the post, such as a seller or a shop; a source lists a product at most once.
        within: a category; posts of two categories are never the same product.
        shown: columns that are carried into the results as they are; "title" and "image" are always possible, and are
            the columns named above.
        further_images: columns of further photos.

    Raises:
        CatalogError: a name is not a non-empty string.
    """

    id: str = "posting_id"
    title: str | None = "title"
    image: str | None = "image"
    hash: str | None = "image_phash"
    label: str | None = "label_group"
    price: str | None = "price"
    brand: str | None = "brand"
    further: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    source: str | None = None
    within: str | None = None
    shown: tuple[str, ...] = ()
    further_images: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in _SEVERAL:
            given = getattr(self, field)
            if isinstance(given, str):
                raise CatalogError(f"{quoted(given)} as {field}", "names in a tuple", f"Give ({given!r},).")
        for field, name in self._named():
            if not (isinstance(name, str) and name) and (name is not None or field in ("id", *_SEVERAL)):
                raise CatalogError(
                    f"{quoted(name)} as the name of the {field} column",
                    "the name of a column, or None to ignore it (never for the id)",
                    f"Give Columns({field}=...) a name that the source has.",
                )

    def _named(self) -> list[tuple[str, str | None]]:
        """List what each column holds, and its name."""
        own = [(field.name, getattr(self, field.name)) for field in fields(self) if field.name not in _SEVERAL]
        several = [(field, name) for field in _SEVERAL for name in getattr(self, field)]
        return [*own, *(each for each in several if each not in _ALWAYS)]

    def wanted(self) -> list[str]:
        """Return the names to read, in the order of the fields."""
        return list(dict.fromkeys(name for _, name in self._named() if name is not None))

    def without_label_as_evidence(self) -> "Columns":
        """Leave the column of known groups out of what posts are compared by: it holds what is to be found.

        Warns in the log where it was named as both.
        """
        brand = None if self.brand == self.label else self.brand
        further, identifiers = (
            tuple(name for name in names if name != self.label) for names in (self.further, self.identifiers)
        )
        if (brand, further, identifiers) == (self.brand, self.further, self.identifiers):
            return self
        log.warning("%r holds the known groups, so posts are not compared by it", self.label)
        return replace(self, brand=brand, further=further, identifiers=identifiers)

    def check(self, source: str, names: Collection[str]) -> None:
        """Check the names against those of a source.

        Raises:
            CatalogError: the id, a column that was named, or every one of title, image and hash is missing.
        """
        default = {field.name: field.default for field in fields(self) if field.name not in ("id", *_SEVERAL)}
        for field, name in self._named():
            if name is None or name in names or name == default.get(field):
                continue
            raise CatalogError(
                f"{quoted(source)} without a column {quoted(name)}; it has {_listed(names)}",
                f"a column {quoted(name)}" if field in _SEVERAL else f"a column {quoted(name)} for the {field}",
                f"Name the right one: Columns({field}=...).{nearest(name, names)}",
            )
        if not {self.title, self.image, self.hash, *self.further_images} & set(names):
            raise CatalogError(
                f"{quoted(source)} with nothing to match posts by; it has {_listed(names)}",
                "at least one column of titles, image names or perceptual hashes",
                "Name it: Columns(title=...), Columns(image=...) or Columns(hash=...).",
            )


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(map(repr, list(names)[:20]))
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown or "no columns"
