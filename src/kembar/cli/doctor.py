"""`kembar doctor`: what is installed, what is missing and how to get it; one paste for a bug report."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kembar.cli.installation import Dependency

app = typer.Typer(rich_markup_mode="markdown")


@app.command(epilog="Example: `kembar doctor` — paste all of it into a bug report")
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Tell what is installed, whether it works, and what is missing.

    Versions, threads, devices, the cache, the models that ship, and a match of four posts. Nothing private: no user
    name, no value of a variable, no folder but that of the cache, below `~`. Exit code 1 if matching does not work.
    """
    found = examined()
    print(json.dumps(found, indent=2, default=asdict) if as_json else text_of(found))
    if found["problems"]:
        raise typer.Exit(1)


def examined() -> dict[str, Any]:
    """Look at everything; what needs the core is left out where the core is not whole."""
    from kembar.cli import installation as here

    found: dict[str, Any] = {"system": here.system(), "packages": here.packages(), "devices": here.devices()}
    unfit = [each for each in found["packages"][""] if not each.fits]
    if unfit:
        names = " ".join(f"'{each.name}{each.wanted}'" for each in unfit)
        return {**found, "problems": [f"Packages that every match needs are missing or too old: pip install {names}"]}
    if problem := here.loading():
        return {**found, "problems": [f"What every match needs does not load: {problem}"]}
    found |= {"threads": here.threads(), "cache": here.cache(), "models": here.models(), "match": here.trial()}
    tried = {**found["models"], "a match of four posts": found["match"]}
    return {**found, "problems": [f"{name} does not work: {problem}" for name, problem in tried.items() if problem]}


def text_of(found: dict[str, Any]) -> str:
    """Write what was found as lines."""
    core, *_ = found["packages"].values()
    extras = {name: own for name, own in found["packages"].items() if name}
    lines = [
        *_system_lines(found["system"]),
        _devices(found["devices"]),
        *([_threads(found["threads"]), _cache(found["cache"]), _models(found["models"])] if "models" in found else []),
        *("", "Packages that every match needs", f"  {_versions(core)}"),
        *("", "Extras", *(f"  {name}: {_extra(name, own)}" for name, own in extras.items())),
        *("", *(found["problems"] or ["Matching works."])),
    ]
    return "\n".join(lines)


def _system_lines(system: dict[str, Any]) -> list[str]:
    memory = "" if system["memory"] is None else f", memory: {system['memory'] / 2**30:.1f} GiB"
    place = "in a virtual environment" if system["virtual_environment"] else "in no virtual environment"
    return [
        f"kembar {system['kembar']}",
        f"{system['implementation']} {system['python']}, {place}",
        system["platform"],
        f"cores: {system['cores']}{memory}",
    ]


def _threads(count: int) -> str:
    return f"threads that kembar uses: {count}"


def _devices(found: dict[str, Any]) -> str:
    gpus = ", ".join(found["gpus"]) or "none that an NVIDIA driver shows"
    if found["torch"] is None:
        return f"GPUs: {gpus}; torch is not installed"
    built = ", which is built without CUDA" if "+cpu" in found["torch"] else ""
    return f"GPUs: {gpus}; torch {found['torch']}{built}"


def _cache(found: dict[str, Any]) -> str:
    if found["free"] is None:
        return "cache: none, since this user has no home; name a folder by --cache or KEMBAR_CACHE"
    named = f"the folder that {found['variable']} names" if found["variable"] else found["folder"]
    held = f"{found['bytes'] / 1e6:.1f} MB of vectors, encoders: {found['encoders']}"
    return f"cache: {named}, {held}, free: {found['free'] / 1e9:.1f} GB"


def _models(found: dict[str, str | None]) -> str:
    told = (f"{name} {'does not open' if problem else 'opens'}" for name, problem in found.items())
    return "models: " + ", ".join(told)


def _versions(own: "list[Dependency]") -> str:
    return ", ".join(_version(each) for each in own)


def _version(each: "Dependency") -> str:
    if each.found is None:
        return f"{each.name} MISSING"
    return f"{each.name} {each.found}" + ("" if each.fits else f" (kembar needs {each.wanted})")


def _extra(name: str, own: "list[Dependency]") -> str:
    if all(each.fits for each in own):
        return _versions(own)
    there = [each for each in own if each.found]
    missing = ", ".join(each.name for each in own if not each.found)
    told = f"{_versions(there)}; " * bool(there) + f"without {missing}; " * bool(missing)
    return f"{told}to add it: pip install 'kembar[{name}]'"
