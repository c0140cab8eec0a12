"""Many threads that read values of one type for the first time, at once."""

import subprocess
import sys

# A chain of types with many fields each: reading their annotations takes long enough for threads to meet within it.
TYPES = """
from __future__ import annotations
from typing import Any
import msgspec
"""
FIELDS = ("int", "str", "dict[str, Any]", "tuple[str, ...]", "float | None")
VALUES: tuple[object, ...] = (1, "a", {}, ["x"], 1.0)
DEPTH, WIDTH, THREADS = 40, 12, 8

CHILD = """
import faulthandler, sys, threading
faulthandler.enable()
import msgspec, kinds
from chopmark.base import jsons

def value(depth):
    made = {{f"f{{n}}": {values!r}[n % {count}] for n in range({width})}}
    made["f0"] = value(depth - 1) if depth else None
    return made

whole = value({depth} - 1)
text = msgspec.json.encode(whole)
kind = getattr(kinds, "S{last}")
sys.setswitchinterval(1e-6)
start = threading.Barrier({threads})
read, errors = [], []

def first_use():
    start.wait()
    try:
        read.append({call})
    except Exception as error:
        errors.append(error)

members = [threading.Thread(target=first_use) for _ in range({threads})]
for member in members:
    member.start()
for member in members:
    member.join()
assert not errors, errors
assert len(read) == {threads} and all(msgspec.json.encode(each) == text for each in read)
"""


def _types() -> str:
    lines = [TYPES]
    for depth in range(DEPTH):
        lines.append(f"class S{depth}(msgspec.Struct):")
        lines.append(f"    f0: S{depth - 1} | None" if depth else "    f0: None")
        lines += [f"    f{n}: {FIELDS[n % len(FIELDS)]}" for n in range(1, WIDTH)]
    return "\n".join(lines) + "\n"


def _ended(tmp_path, call: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "kinds.py").write_text(_types())
    child = CHILD.format(
        values=VALUES, count=len(VALUES), width=WIDTH, depth=DEPTH, last=DEPTH - 1, threads=THREADS, call=call
    )
    return subprocess.run(
        [sys.executable, "-c", child], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60
    )


def test_threads_that_decode_a_type_for_the_first_time_all_get_its_values(tmp_path) -> None:
    done = _ended(tmp_path, "jsons.decode(text, kind)")
    assert done.returncode == 0, done.stderr


def test_threads_that_convert_to_a_type_for_the_first_time_all_get_its_values(tmp_path) -> None:
    done = _ended(tmp_path, "jsons.converted(whole, kind)")
    assert done.returncode == 0, done.stderr


def test_threads_that_ask_for_a_decoder_at_once_all_get_one_that_works(tmp_path) -> None:
    done = _ended(tmp_path, "jsons.decoder(kind)(text)")
    assert done.returncode == 0, done.stderr
