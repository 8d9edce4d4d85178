"""How many random examples a property is tried on.

The check tries few, the same ones every time, so that it fails or passes alike on every machine. `./search 10000` tries
many, other ones each time; what it finds becomes a fixed example of its test (`@example`).
"""

import os

from hypothesis import settings

SEARCH = int(os.environ.get("KEMBAR_EXAMPLES", "0"))

settings.register_profile(
    "kembar",
    deadline=None,
    derandomize=not SEARCH,
    database=None,
    max_examples=SEARCH or 100,
    print_blob=True,
)


def examples(most: int) -> settings:
    """Try a property on this many examples; in a search on as many as were asked for."""
    return settings(settings.get_profile("kembar"), max_examples=SEARCH or most)
