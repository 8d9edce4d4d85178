"""kembar finds the posts of a marketplace that sell the same product, from their photos and titles.

    >>> import kembar
    >>> result = kembar.match("posts.csv", images="photos")  # doctest: +SKIP
    >>> result.explain("post_17", "post_42")  # doctest: +SKIP

Each stage is a plain function of arrays in a module of its own: see docs/how/index.md. The public names stand in
`__init__.pyi`; each is imported when it is first asked for, so that `import kembar` stays quick, and a process that
only hashes photos never loads LightGBM.
"""

import os

import lazy_loader

# onnxruntime reads this when it is loaded, by whatever library, and child processes inherit it: from 1.32 on it sends
# telemetry and leaves a device id in the user's cache. Its own disable_telemetry_events() stops neither of the two.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
