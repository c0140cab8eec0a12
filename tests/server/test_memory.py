"""How much room there is for one more model."""

from __future__ import annotations

from pathlib import Path

import pytest

from chopmark.errors import Unavailable
from chopmark.server import memory
from chopmark.server.memory import available_bytes, check_memory

MIB = 1 << 20


def test_a_model_needs_twice_its_bytes_and_something_beside() -> None:
    check_memory("fraud:1", 100 * MIB, 264 * MIB)
    with pytest.raises(Unavailable, match=r"fraud:1 has 104,857,600 bytes, and 276,824,063 bytes of memory are free"):
        check_memory("fraud:1", 100 * MIB, 264 * MIB - 1)
    check_memory("fraud:1", 0, 64 * MIB)
    with pytest.raises(Unavailable):
        check_memory("fraud:1", 0, 64 * MIB - 1)


def test_what_cannot_be_told_stops_nothing() -> None:
    check_memory("fraud:1", 1 << 50, None)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 GiB, of which 3 can be had, and no control group."""
    (tmp_path / "meminfo").write_text("MemTotal:  8388608 kB\nMemFree:  1048576 kB\nMemAvailable:  3145728 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    return tmp_path


def grouped(machine: Path, limit: str, used: str) -> None:
    (machine / "memory.max").write_text(limit + "\n")
    (machine / "memory.current").write_text(used + "\n")


def test_what_can_be_had_is_what_the_machine_says(machine: Path) -> None:  # noqa: ARG001
    assert available_bytes() == 3 << 30


@pytest.mark.parametrize(
    ("limit", "used", "left"),
    [("max", "5", 3 << 30), (str(1 << 30), str(1 << 29), 1 << 29), (str(1 << 40), "0", 3 << 30), ("5", "7", 0), ("", "", 3 << 30)],
)  # fmt: skip
def test_a_control_group_may_leave_less(machine: Path, limit: str, used: str, left: int) -> None:
    grouped(machine, limit, used)
    assert available_bytes() == left


def test_a_machine_that_says_nothing(machine: Path) -> None:
    (machine / "meminfo").write_text("MemTotal: 8388608 kB\n")
    assert available_bytes() is None
    (machine / "meminfo").unlink()
    grouped(machine, "5", "1")
    assert available_bytes() is None


def test_this_machine_has_some() -> None:
    found = available_bytes()
    assert found is None or 0 <= found < 1 << 50
