"""A KeyboardInterrupt anywhere in a write leaves the way free for everybody."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import gc, json, sys
from chopmark.catalog import open_catalog
from chopmark.testing.catalog_records import Records

FILES = tuple(f"chopmark/catalog/{name}.py" for name in ("group_commit", "locks", "sqlite", "readers", "forks"))
records = Records()
mine, other = (open_catalog(sys.argv[1], lock_timeout_s=0.5) for _ in range(2))
mode, failing = sys.argv[2], sys.argv[3] == "failing"


class Stop(Exception):
    pass


def add(catalog, name):
    with catalog.writing() as tx:
        tx.projects.insert(records.project(name))


def look(catalog):
    with catalog.reading() as tx:
        return {p.name for p in tx.projects.list(limit=99999)}


def attempt(name):
    if mode == "reading":
        look(mine)
        return
    with mine.writing() as tx:
        tx.projects.insert(records.project(name))
        if failing:
            raise Stop


def tracer(at):
    seen = [0, ""]

    def trace(frame, event, _):
        code = frame.f_code
        if not code.co_filename.endswith(FILES):
            return trace
        frame.f_trace_lines = True
        if event == "line":
            seen[0] += 1
            if seen[0] == at:
                sys.settrace(None)
                seen[1] = f"{code.co_filename.rsplit('/', 1)[1]}:{frame.f_lineno} {code.co_name}"
                raise KeyboardInterrupt
        return trace

    return seen, trace


add(mine, "first"), add(other, "second"), look(mine)
at, found = 0, []
while True:
    at += 1
    seen, trace = tracer(at)
    done = False
    sys.settrace(trace)
    try:
        attempt(f"n{at}")
        done = True
    except Stop:
        pass
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    if not seen[1]:
        break
    for who, catalog in (("other", other), ("mine", mine)):
        try:
            add(catalog, f"{who}{at}")
            names = look(catalog)
            assert f"{who}{at}" in names
            assert not done or mode == "reading" or f"n{at}" in names
            assert not failing or f"n{at}" not in names
        except BaseException as error:
            found.append(f"{seen[1]}: {who}: {error!r}"[:200])
print(json.dumps([at, found]))
mine.close()
other.close()
"""


def interrupt_every_line(path: Path, mode: str, end: str) -> None:
    command = [sys.executable, "-c", PROGRAM, str(path), mode, end]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines, found = json.loads(done.stdout)
    assert lines > 20
    assert found == []


def test_while_writing(tmp_path: Path) -> None:
    interrupt_every_line(tmp_path / "catalog.db", "writing", "succeeding")


def test_while_a_failed_block_is_undone(tmp_path: Path) -> None:
    interrupt_every_line(tmp_path / "catalog.db", "writing", "failing")


def test_while_reading(tmp_path: Path) -> None:
    interrupt_every_line(tmp_path / "catalog.db", "reading", "succeeding")
