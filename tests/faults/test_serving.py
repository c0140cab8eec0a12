"""The campaign of killed servers, and that it finds servers that break their promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.options import Options
from faults.places import Pair, make_grounds
from faults.serving import Lane
from tests.faults.misbehaving_server import BREAKS

SQLITE = Pair("SQLite", "directory")


def lane(path: Path, *, module: str = "chopmark") -> Lane:
    options = Options(seed=5, short=True, kills=3, versions=10, scratch=path / "scratch", keep=path / "kept")
    return Lane(make_grounds(SQLITE, path / "sqlite"), options, module)


@pytest.mark.slow
def test_a_server_that_keeps_its_promises_is_not_complained_of(tmp_path: Path) -> None:
    killed = lane(tmp_path)
    killed.run(3)
    assert killed.findings == []
    assert killed.kills == 3
    assert killed.counts["registered"] > 0
    assert killed.counts["put"] > 0


@pytest.mark.parametrize(
    ("breaks", "kind"),
    [
        ("early", "lost"),
        pytest.param("bytes", "lost", marks=pytest.mark.slow),
        pytest.param("twice", "wrong", marks=pytest.mark.slow),
    ],
)
def test_a_server_that_breaks_a_promise_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks: str, kind: str
) -> None:
    monkeypatch.setenv(BREAKS, breaks)
    monkeypatch.setattr("faults.serving_processes.KEPT", (BREAKS,))
    killed = lane(tmp_path, module="tests.faults.misbehaving_server")
    killed.run(2)
    assert killed.faults[kind] > 0, killed.findings
    assert killed.findings
