"""From two catalogues to the links between them: the way of `kembar.matcher`, for pairs across alone."""

from typing import Final, Literal

from kembar.arrays import Progress
from kembar.config import Config
from kembar.config.advanced import one_of
from kembar.errors import CatalogError
from kembar.grouping.links import LINKS
from kembar.matcher import Matcher
from kembar.posts.catalog import Catalog
from kembar.posts.sources import Source
from kembar.posts.united import united
from kembar.results.result import Result

SIDES: Final = ("left", "right")
"""The names of the two catalogues among the sources of a linking run, in the order of their names."""
Kind = Literal["one-to-one", "one-to-many", "many-to-many"]


def link(
    left: Catalog | Source,
    right: Catalog | Source,
    *,
    kind: Kind = "one-to-many",
    config: Config | None = None,
    progress: Progress | None = None,
) -> Result:
    """Find the posts of one catalogue that sell the products of another; posts of one catalogue are never compared.

    Args:
        left: a catalogue, or what `Catalog.read` takes with the names of columns by default.
        right: likewise. Ten thousand posts against a million cost about what reading and encoding the million does.
        kind: one-to-one: each post takes one link at most; one-to-many: each post of `right` takes one link at most, so
            that many offers may link to one product of `left`; many-to-many: all pairs that reach the cut.
        config: what can be set; the defaults where None.
        progress: called with (stage, done, total).

    Returns:
        A result over the posts of both, named "left/ID" and "right/ID"; `result.links_frame()` has the links.

    Raises:
        InputError: posts or options that cannot be used.
    """
    chosen = linking(config or Config(), kind)
    return Matcher(chosen).match(both(left, right), progress=progress)


def linking(config: Config, kind: str) -> Config:
    """Set the rule of a linking run; raises ConfigError where it is no kind of link."""
    one_of("kind", kind, tuple(LINKS))
    return config.model_copy(update={"rule": kind})


def both(left: Catalog | Source, right: Catalog | Source) -> Catalog:
    """Unite the two catalogues of a linking run: arguments as in `link`.

    Raises:
        CatalogError: a catalogue whose posts have sources of their own.
    """
    read = [given if isinstance(given, Catalog) else Catalog.read(given) for given in (left, right)]
    if any(catalog.sources is not None for catalog in read):
        raise CatalogError(
            "a column of sources in a catalogue to link", "catalogues, each one source", "Leave the sources out."
        )
    return united(dict(zip(SIDES, read, strict=True)))
