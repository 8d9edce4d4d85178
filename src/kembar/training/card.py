"""The model card: what an encoder is, what it was trained on, how good it is and its license."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from kembar.training.models import Model


def card(model: Model, story: Mapping[str, str], forms: Sequence[Mapping[str, str]]) -> str:
    """Write the card of an encoder.

    Args:
        model: the model.
        story: paragraphs by their headings, such as "Trained on".
        forms: a row of figures for each exported form.

    Returns:
        Markdown.
    """
    recipe, origin = model.recipe, model.origin
    parts = [
        f"# An encoder of {recipe.modality}s",
        f"Turns a {recipe.modality} into a vector of {model.embedder.dimension} numbers: posts of one product are "
        f"close to each other. Open it with `kembar.encoders.registry.open_encoder(folder)`; it runs on onnxruntime.",
        f"**Started from** {origin['model']} (weights: {origin['weights']}). "
        f"**License of these weights**: {origin['license'] or 'none, they are yours'}.",
    ]
    parts += [f"**{heading}**: {text}" for heading, text in story.items()]
    parts += ["## Figures", _table(forms), _FIGURES]
    parts += ["## Recipe", f"```toml\n{recipe.text()}```"]
    parts.append(f"Made with kembar {version('kembar')} on {datetime.now(UTC):%Y-%m-%d}.")
    return "\n\n".join(parts) + "\n"


_FIGURES = (
    "F1 is the mean over posts of 2|P∩T| / (|P|+|T|), the post itself in both sets, among posts that were held out. "
    "The threshold was chosen on one half of their groups, the F1 is that of the other half. It falls as the pool "
    "grows."
)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    lines = [names, ["---"] * len(names), *([row[name] for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
