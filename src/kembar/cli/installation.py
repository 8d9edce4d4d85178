"""What is installed here, for `kembar doctor`: versions, devices, models, the cache, and a match of four posts.

Nothing that tells who or where the user is: no name, no value of a variable, no folder but the cache, below `~`.
Nothing heavy is imported to look at it, but for the match, which needs what every match needs.
"""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement

from kembar.errors import visible

_WORK: Final = ("dev", "docs")  # the extras of those who work on kembar itself
_NVIDIA: Final = Path("/proc/driver/nvidia")
_TRIAL: Final = ("Logitech M185 wireless mouse grey", "wireless mouse Logitech M185 grey", "Epson lamp ELPLP12", "sofa")


@dataclass(frozen=True, slots=True)
class Dependency:
    """A package that kembar asks for.

    Attributes:
        name: of the distribution.
        wanted: the versions that kembar works with, such as ">=2.0".
        found: the version that is installed, None without it.
        fits: whether it is one of those.
    """

    name: str
    wanted: str
    found: str | None
    fits: bool


def dependencies(requirements: list[str], extra: str = "") -> list[Dependency]:
    """Compare what a distribution asks for with what is installed.

    Args:
        requirements: lines of its metadata, such as "torch>=2.6; extra == 'train'".
        extra: the extra whose packages are meant; those that are always needed by default.

    Returns:
        One for each that this platform needs, by name.
    """
    asked = [Requirement(line) for line in requirements]
    meant = [each for each in asked if _is_meant(each, extra)]
    return [_dependency(each) for each in sorted(meant, key=lambda each: each.name.lower())]


def _is_meant(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    if marker is None or "extra" not in str(marker):
        return not extra and (marker is None or marker.evaluate())
    return bool(extra) and marker.evaluate({"extra": extra})


def _dependency(requirement: Requirement) -> Dependency:
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Dependency(requirement.name, str(requirement.specifier), None, False)
    fits = requirement.specifier.contains(found, prereleases=True)
    return Dependency(requirement.name, str(requirement.specifier), found, fits)


def packages() -> dict[str, list[Dependency]]:
    """List the packages of the core, under "", and of each extra, under its name."""
    about = metadata.metadata("kembar")
    lines = about.get_all("Requires-Dist") or []
    extras = [name for name in about.get_all("Provides-Extra") or [] if name not in _WORK]
    return {name: dependencies(lines, name) for name in ("", *sorted(extras))}


def system() -> dict[str, Any]:
    """Tell the versions of kembar and Python, the platform, its cores and its memory in bytes (None if unknown)."""
    names = getattr(os, "sysconf_names", {})
    told = {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= set(names)
    return {
        "kembar": metadata.version("kembar"),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if told else None,
        "virtual_environment": sys.prefix != sys.base_prefix,
    }


def devices() -> dict[str, Any]:
    """Tell which build of torch is installed, and which NVIDIA GPUs the driver shows; torch is not imported for it."""
    try:
        torch = metadata.version("torch")
    except metadata.PackageNotFoundError:
        torch = None
    shown = sorted(_NVIDIA.glob("gpus/*/information"))
    return {"torch": torch, "gpus": [model for path in shown for model in _of(path)]}


def _of(information: Path) -> Iterator[str]:
    """Read the model of a GPU from what the driver tells of it."""
    for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "Model":
            yield value.strip()


def threads() -> int:
    """Count the threads that kembar works with."""
    from kembar.arrays import default_threads

    return default_threads()


def cache() -> dict[str, Any]:
    """Tell where vectors of earlier runs are kept, for how many encoders, and their bytes; of this user's choice.

    The folder is None where there is none, or where a variable names it: values of variables are not told.
    """
    from kembar.encoders.encoding import default_store

    store = default_store()
    variable = next((name for name in ("KEMBAR_CACHE", "XDG_CACHE_HOME") if os.environ.get(name)), None)
    if store is None:
        return {"folder": None, "variable": variable, "encoders": 0, "bytes": 0, "free": None}
    files = [path for path in store.folder.rglob("*.npy") if path.is_file()]
    there = next(path for path in (store.folder.absolute(), *store.folder.absolute().parents) if path.exists())
    return {
        "folder": None if variable else without_folders(str(store.folder)),
        "variable": variable,
        "encoders": len({path.parent for path in files}),
        "bytes": sum(path.stat().st_size for path in files),
        "free": shutil.disk_usage(there).free,
    }


def models() -> dict[str, str | None]:
    """Open each model that ships: None, or what is wrong with it."""
    from kembar.classifier.pair_classifier import PairClassifier
    from kembar.config import PHOTOS_ALONE
    from kembar.config import SHIPPED as CLASSIFIER
    from kembar.encoders.registry import SHIPPED, open_encoder

    found = {name: _problem(partial(PairClassifier.load, name)) for name in (CLASSIFIER, PHOTOS_ALONE)}
    return found | {name: _problem(partial(open_encoder, name, device="cpu")) for name in SHIPPED}


def loading() -> str | None:
    """Load what every match needs: None, or what went wrong."""
    return _problem(partial(import_module, "kembar.matcher"))


def trial() -> str | None:
    """Match four posts, two of them one product: None, or what went wrong."""
    return _problem(_match)


def _match() -> None:
    from kembar.matcher import match

    groups = match({"posting_id": [*"abcd"], "title": list(_TRIAL)}).groups.labels.tolist()
    if groups[0] != groups[1] or len(set(groups)) != 3:
        raise ValueError(f"four posts came into the groups {groups}, not the first two together and the others alone")


def _problem(attempt: Callable[[], Any]) -> str | None:
    """Try something: None where it works, else the error, whatever it is, without the names of private folders."""
    try:
        attempt()
    except Exception as error:
        return without_folders(visible(f"{type(error).__name__}: {error}"))
    return None


def without_folders(text: str) -> str:
    """Write ~ for the user's home, and PREFIX for where Python and its packages are, in the paths of a text."""
    for folder in {sys.prefix, sys.base_prefix}:
        text = text.replace(folder, "PREFIX")
    try:
        home = str(Path.home())
    except RuntimeError:  # a container's user may have none
        return text
    return text if home == os.sep else text.replace(home, "~")
