"""The memory of this process, and what is free: of the machine, or of the container."""

import ctypes
import mmap
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def peak_memory() -> int:
    """Peak resident memory of this process so far, in bytes; 0 where the system does not tell."""
    # Linux hands ru_maxrss down from the process that started this one; VmHWM is its own.
    status = Path("/proc/self/status")
    own = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii")) if status.is_file() else None
    if own:
        return int(own[1]) * 1024
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def free_memory(proc: Path = Path("/proc"), group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that processes can still take: of this machine and, where there is less, of this container (cgroup v2).

    Args:
        proc: where Linux tells of the machine.
        group: where it tells of the container.

    Returns:
        None where the system does not tell.
    """
    told = [_number(proc / "meminfo", r"MemAvailable:\s+(\d+) kB")]
    whole, used = (_number(group / name, r"(\d+)") for name in ("memory.max", "memory.current"))
    if whole is not None and used is not None:
        files = _number(group / "memory.stat", r"(?m)^inactive_file (\d+)") or 0  # given back when asked for
        told.append((whole - used + files) // 1024)
    return min((1024 * each for each in told if each is not None), default=None)


def give_back() -> None:
    """Give memory that is free back to the system: glibc keeps what lies between blocks that are in use."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            trim(0)


def let_go(array: npt.NDArray[Any]) -> None:
    """Give the pages of an array that is mapped from a file back to the system; they are read again when asked for."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        file = owner.base
        if (
            isinstance(owner, np.memmap)
            and owner.mode == "r"
            and isinstance(file, mmap.mmap)
            and sys.platform == "linux"
        ):
            file.madvise(mmap.MADV_DONTNEED)
        owner = file


def _number(path: Path, pattern: str) -> int | None:
    """Read a number from a file of the system; None where it is not there."""
    try:
        found = re.search(pattern, path.read_text(encoding="ascii"))
    except OSError:
        return None
    return int(found[1]) if found else None
