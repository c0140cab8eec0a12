"""How much memory there is for one more model."""

from __future__ import annotations

from pathlib import Path

from chopmark.domain.names import counted
from chopmark.errors import Unavailable

__all__ = ["available_bytes", "check_memory"]

_TIMES = 2
_BESIDE_BYTES = 64 << 20
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED_BYTES = 1 << 60


def check_memory(ref: str, size_bytes: int, available: int | None) -> None:
    """Refuse to load a model that there is no room for: loading holds its bytes about twice for a moment.

    Raises
    ------
    Unavailable
        When it does not fit; what is served goes on.
    """
    needed = _TIMES * size_bytes + _BESIDE_BYTES
    if available is not None and needed > available:
        msg = f"{ref} has {counted(size_bytes, 'byte')}, and {counted(available, 'byte')} of memory are free."
        raise Unavailable(msg, hint="Stop serving another version here, or use a machine with more memory.")


def available_bytes() -> int | None:
    """Memory that can be had without swapping, within the limit of this process's control group; None where it cannot be told."""
    machine = _machine_bytes()
    if machine is None:
        return None
    return min(machine, _group_bytes())


def _machine_bytes() -> int | None:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith("MemAvailable:")), "")
    return int(found.split()[1]) << 10 if found else None


def _group_bytes() -> int:
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = (_CGROUP / "memory.current").read_text(encoding="ascii").strip()
    except OSError:
        return _UNLIMITED_BYTES
    return max(0, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else _UNLIMITED_BYTES
