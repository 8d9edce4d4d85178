"""Model files by their name on the Hugging Face hub: the files that are needed, in one local folder.

By itself huggingface_hub asks a hub that refuses connections six times in 25 seconds before it says so. Here the hub is
asked once, briefly; if it does not answer, the local cache is used, or one line says what to do. The library's own way
to the cache, `snapshot_download(local_files_only=True)`, refuses models of which only the needed files were downloaded.
"""

import logging
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from kembar.errors import EncoderError, MissingExtraError, quoted

_PATIENCE = 5.0  # seconds
_DESCRIPTIONS = (".json", ".txt", ".model", ".jinja")
_OTHER_FORMS = ("onnx", "openvino", "coreml")
_log = logging.getLogger(__name__)


def fetch(names: Sequence[str], *, fix: str, weights: str | None = None) -> Path:
    """Find the files of a model in the local cache, or download them.

    Args:
        names: names on the hub, such as "facebook/dinov2-small"; the first one that is there is taken, the last one
            is what the user gave.
        fix: how a local folder is given instead, for the message.
        weights: name of the file of weights where it is not the usual one.

    Returns:
        A folder with the configuration, the tokenizer and the weights.

    Raises:
        EncoderError: the hub cannot be reached and the cache has no such model, or the hub has none.
        MissingExtraError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import constants, errors, is_offline_mode, list_repo_files
    except ImportError:
        raise MissingExtraError("huggingface_hub", "train") from None
    if not _reachable(constants.ENDPOINT, is_offline_mode()):
        return _cached(names, fix)
    for name in names:
        try:
            there = list_repo_files(name)
        except (errors.RepositoryNotFoundError, errors.HFValidationError):
            continue
        except Exception as error:
            raise _unusable(names[-1], first_line(error), fix) from error
        return _download(name, _wanted(there, weights), fix)
    raise EncoderError(
        f"model {quoted(names[-1])}, which the hub does not have, or does not let you read",
        "the name of a model on the hub, or a local folder",
        f"Check the spelling; for a private model, log in with `hf auth login`. {fix}",
    )


def _reachable(endpoint: str, offline: bool) -> bool:
    """Check that the hub answers at all; a certificate that only its library knows counts as an answer."""
    if offline:
        return False
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=_PATIENCE):
            return True
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        return "CERTIFICATE" in str(error.reason).upper()
    except (OSError, ValueError):
        return False


def _cached(names: Sequence[str], fix: str) -> Path:
    """Find an earlier download, by kembar or by the libraries themselves: they may have stored fewer or more files."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        for file in ("modules.json", "config.json", "model.safetensors", "pytorch_model.bin"):
            found = try_to_load_from_cache(name, file)
            if isinstance(found, str):
                return Path(found).parent
    raise EncoderError(
        f"model {quoted(names[-1])}, which is not in the local cache, and the hub cannot be reached",
        "a connection to the hub, a model downloaded before, or a local folder",
        fix,
    )


def _wanted(there: Sequence[str], weights: str | None) -> list[str]:
    """Choose the files to download: descriptions, and in each folder the weights in one form only."""
    useful = [name for name in there if name.split("/")[0] not in _OTHER_FORMS]
    safe = {name.rpartition("/")[0] for name in useful if name.endswith(".safetensors")}
    chosen = [name for name in useful if name.endswith(_DESCRIPTIONS)]
    if weights is not None:
        return [*chosen, weights]
    for name in useful:
        folder, _, file = name.rpartition("/")
        pickled = file.startswith("pytorch_model") and file.endswith(".bin") and folder not in safe
        if pickled or file.endswith(".safetensors"):
            chosen.append(name)
    return chosen


def _download(name: str, wanted: Sequence[str], fix: str) -> Path:
    from huggingface_hub import snapshot_download

    _log.info("downloading %s from the hub", name)
    try:
        return Path(snapshot_download(name, allow_patterns=list(wanted)))
    except Exception as error:
        raise _unusable(name, first_line(error), fix) from error


def _unusable(name: str, reason: str, fix: str) -> EncoderError:
    return EncoderError(
        f"model {quoted(name)}, which cannot be downloaded ({reason})", "a model that the hub lets you download", fix
    )


def first_line(error: BaseException) -> str:
    """Give the first line of an error's message, for a message of one line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


def weights_in(folder: Path) -> Path:
    """Find the file of weights in a folder.

    Args:
        folder: with model.safetensors, pytorch_model.bin, or any single .safetensors, .pth, .pt or .bin file.

    Returns:
        The file.

    Raises:
        EncoderError: there is none, or several are possible.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return folder / name
    endings = (".safetensors", ".pth", ".pt", ".bin")
    found = sorted(path for path in folder.iterdir() if path.suffix in endings and path.is_file())
    if len(found) != 1:
        names = f"{len(found)} possible files: {', '.join(path.name for path in found[:4])}" if found else "none"
        raise EncoderError(
            f"folder {quoted(folder)} in search of weights: {names}",
            "model.safetensors, pytorch_model.bin or one .safetensors, .pth, .pt or .bin file",
            "Download the weights too, or name the file itself.",
        )
    return found[0]
