"""The unit and the image that README shows are those of the repository, and say what the program understands."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chopmark.cli.program import run

ROOT = Path(__file__).parents[2]
UNIT, IMAGE = ROOT / "deploy" / "chopmark.service", ROOT / "Dockerfile"


@pytest.mark.parametrize("path", [UNIT, IMAGE], ids=lambda path: path.name)
def test_readme_shows_it_as_it_is(path: Path) -> None:
    assert f"```text\n{path.read_text()}```" in (ROOT / "README.md").read_text()


def test_what_they_start_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    (started,) = re.findall(r"^ExecStart=\S+/chopmark (.*)$", UNIT.read_text(), re.MULTILINE)
    (told,) = re.findall(r"^CMD \[(.*)\]$", IMAGE.read_text(), re.MULTILINE)
    for arguments in (shlex.split(started), [word.strip(' "') for word in told.split(",")]):
        assert run([*arguments, "--help"]) == 0
        assert "Usage: chopmark serve" in capsys.readouterr().out


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/chopmark/bin/chopmark", sys.executable))
    found = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")
