"""The encoders that a recipe names: where one is not at hand, one line says so before any work is done."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from kembar.errors import EncoderError, InputError, MissingExtraError

if TYPE_CHECKING:
    from kembar.config import Config
    from kembar.posts.catalog import Catalog


def check_encoders(name: str | None, config: "Config", catalog: "Catalog", brought: Collection[str]) -> None:
    """Open the encoders that a recipe names and that the user has not replaced.

    An encoder that the user named is left to the run, whose errors are about what the user wrote.

    Args:
        name: of the recipe; nothing is done where None.
        config: the recipe with the user's changes.
        catalog: the posts.
        brought: names of vectors that the user gives, for which no encoder is asked.

    Raises:
        EncoderError: which encoder of which recipe is not at hand, and how to give a folder.
    """
    from kembar.config.recipes import recipe
    from kembar.encoders.registry import open_encoder

    if name is None:
        return
    named = recipe(name)
    for part in ("title", "photo"):
        spec = config.encoder_of(part)
        wanted = getattr(config, part) and part not in brought and (part == "title" or catalog.folder is not None)
        if not wanted or spec is None or spec != named.get(f"{part}_encoder"):
            continue
        try:
            open_encoder(spec, device="cpu")
        except (EncoderError, MissingExtraError) as error:
            raise _not_at_hand(name, part, spec, error) from None


def _not_at_hand(name: str, part: str, spec: str, error: EncoderError | MissingExtraError) -> EncoderError:
    reason = error.given if isinstance(error, InputError) else str(error)
    return EncoderError(
        f"{part} encoder {spec!r} of recipe {name!r}, which is not at hand ({reason})",
        "its weights, or the folder of another encoder",
        f"Give a folder of `kembar train {part}` or of a model: --set {part}_encoder=FOLDER.",
    )
