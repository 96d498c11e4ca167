"""The machine: cores, memory, and what it is in words."""

import os
import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["CONTENDER_CORE", "SERVER_CORE", "forget_peak", "in_words", "peak_mib", "pin", "versions"]

CONTENDER_CORE = 0
SERVER_CORE = 1

_PACKAGES = (
    *("webcom-async", "httpx2", "anyio", "msgspec", "tenacity"),
    *("aiohttp", "httpx", "requests", "elasticsearch", "aiokafka"),
)
_MIB = 1 << 20
_STATUS = Path("/proc/self/status")
_PEAK = "VmHWM:"


def pin(place: int) -> None:
    """Keep this process on one of the cores that it may use: the first, second, … of them; no core, no pin."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[place % len(cores)]})


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_mib() -> float:
    """Return the highest memory of this process since `forget_peak`, or since its start, in MiB."""
    if _STATUS.exists():
        # Not `ru_maxrss`: that of a child begins with its parent's.
        [line] = [line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith(_PEAK)]
        return int(line.split()[1]) * 1024 / _MIB
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB


def forget_peak() -> None:
    """Let the peak be what is used now, where the system can do that."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc_pid_clear_refs(5)
    except OSError:
        return


def versions() -> dict[str, str]:
    """Return the version of Python, and of everything that takes part."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def in_words() -> str:
    """Return what this machine is."""
    pinned = "gateway and contenders each on a core of their own" if cores() > 1 else "gateway and contender share it"
    return (
        f"{platform.system()} on {platform.machine()}, {cores()} core{'s' if cores() > 1 else ''} ({pinned}), "
        f"{platform.python_implementation()} {platform.python_version()}"
    )
