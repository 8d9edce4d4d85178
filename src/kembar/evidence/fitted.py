"""What a run knows of its catalogue as a whole: fitted once, saved, loaded, and applied to any posts.

Everything else works on slices. The titles of a post that comes later are weighted by the terms of the catalogue, and
the post is compared with its views; nothing has to be fitted again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from kembar.arrays import Sparse
from kembar.config import Config
from kembar.encoders.embeddings import Embeddings
from kembar.encoders.tfidf import Counted, Terms
from kembar.errors import FolderError, quoted
from kembar.evidence.copies import Copies
from kembar.evidence.identity import TokenCounts
from kembar.evidence.title_pairs import TitleTerms
from kembar.evidence.views import View, term_encoders, views_of
from kembar.folders import new_folder
from kembar.posts.buckets import Buckets
from kembar.posts.catalog import Catalog

_MARK: Final = "fitted.json"
_FORMAT: Final = {"format": "kembar fitted catalogue", "version": 2}


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a catalogue says of its terms, its titles and its copies.

    Attributes:
        terms: for each view of terms, its document frequencies.
        titles: words and titles, for the comparison of pairs.
        tokens: codes, numbers and other tokens, likewise.
        copies: which posts stand for which.
    """

    terms: Mapping[str, Terms]
    titles: TitleTerms
    tokens: TokenCounts
    copies: Copies

    @classmethod
    def fit(
        cls,
        titles: pl.Series,
        copies: Copies,
        slices: Sequence[Mapping[str, Counted]],
        config: Config,
        further: pl.DataFrame | None = None,
    ) -> "Fitted":
        """Fit a catalogue.

        Args:
            titles: (m,) String in normal form, of the kept posts.
            copies: which posts are kept.
            slices: what `count_terms` found in slices that together hold these titles.
            config: which views of terms there are.
            further: (m, c) String, further texts of these posts, see `Catalog.further`.

        Returns:
            The fitted catalogue.
        """
        terms = {name: tfidf.fit([part[name] for part in slices]) for name, tfidf in term_encoders(config).items()}
        return cls(terms, TitleTerms.fit(titles), TokenCounts.fit(titles, further), copies)

    def views(
        self, catalog: Catalog, titles: pl.Series, config: Config, embeddings: Mapping[str, Embeddings]
    ) -> tuple[View, ...]:
        """Make the views of any posts, by the terms of the catalogue.

        Args:
            catalog: q posts, of the catalogue or others.
            titles: (q,) String in normal form.
            config: as for the catalogue.
            embeddings: their vectors, by the encoders of the catalogue.

        Returns:
            The views that can be compared with those of the catalogue.
        """
        return views_of({name: terms.encode(titles) for name, terms in self.terms.items()}, catalog, config, embeddings)

    def weigh(self, slices: Sequence[Mapping[str, Counted]], buckets: Buckets) -> dict[str, Sparse]:
        """Weigh the slices that were counted: for each view of terms the (m, d) rows of all buckets, in row order."""
        import scipy.sparse as sp

        found: dict[str, Sparse] = {}
        for name, terms in self.terms.items():
            parts = [terms.weigh(part[name]) for part in slices]
            found[name] = parts[0] if len(parts) == 1 else sp.vstack(parts, format="csr")[buckets.places()]
        return found

    def save(self, folder: Path | str, *, overwrite: bool = False) -> None:
        """Write a folder: all of it or, on any failure, nothing; raises FolderError."""
        with new_folder(folder, overwrite=overwrite, mark=_MARK) as target:
            for name, terms in self.terms.items():
                terms.save(target / f"terms-{name}.parquet")
            self.titles.save(target)
            self.tokens.save(target)
            self.copies.save(target / "copies.npz")
            (target / _MARK).write_text(json.dumps({**_FORMAT, "terms": sorted(self.terms)}) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> "Fitted":
        """Read what `save` wrote.

        Raises:
            FolderError: there is nothing whole in the folder, or it is of another version.
        """
        source = Path(folder)
        try:
            mark = json.loads((source / _MARK).read_text(encoding="utf-8"))
            if {key: mark.get(key) for key in _FORMAT} != _FORMAT:
                raise ValueError(f"version {mark.get('version')}")
            terms = {name: Terms.load(source / f"terms-{name}.parquet") for name in mark["terms"]}
            return cls(terms, TitleTerms.load(source), TokenCounts.load(source), Copies.load(source / "copies.npz"))
        except (OSError, KeyError, ValueError, AttributeError, pl.exceptions.PolarsError) as error:
            given = (
                f"{quoted(Path(source))}, which does not hold a whole fitted catalogue ({str(error).splitlines()[0]})"
            )
            raise FolderError(given, "what Fitted.save wrote", "Match the catalogue again.") from error


def count_terms(titles: pl.Series, config: Config) -> dict[str, Counted]:
    """Count the terms of a slice of titles in normal form, for each view of terms."""
    return {name: tfidf.count(titles) for name, tfidf in term_encoders(config).items()}
