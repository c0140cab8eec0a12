"""Setting up from nothing: `make` explains what is missing, and a clean clone needs only Python and make."""

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.project.tracked import ROOT

SECOND_RUN_LIMIT_S = 1.0


def run(
    command: list[str], cwd: Path, path: str | None = None, home: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run with next to nothing in the environment, as on a machine that has just been set up."""
    environment = {"PATH": path or os.environ["PATH"], "HOME": str(home or cwd), **variables}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def command_line(directory: Path, name: str, script: str) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Copy what setting up reads, and nothing else."""
    copy = tmp_path / "tree"
    copy.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, copy / name)
    for name in ("requirements", "scripts"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Make a PATH that has the usual tools and no Python."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("sh", "make", "awk", "cat", "cksum", "cut", "dirname", "rm", "touch", "pwd", "find"):
        found = shutil.which(name)
        if found is not None:
            (directory / name).symlink_to(found)
    return directory


def test_help_is_the_default_and_names_every_target() -> None:
    listed = run(["make"], ROOT)
    assert listed.returncode == 0, listed.stderr
    for target in ("demo", "test", "test-slow", "ci", "check", "report", "bench", "lock", "clean"):
        assert f"make {target} " in listed.stdout


def test_without_python_it_says_what_to_install(tree: Path, tools: Path) -> None:
    done = run(["make", "demo"], tree, path=str(tools))
    assert done.returncode != 0
    assert "needs Python 3.11 or newer, and none was found" in done.stderr
    assert "apt-get install" in done.stderr
    assert not (tree / ".venv").exists()


def test_an_old_python_is_refused_by_name(tree: Path, tools: Path) -> None:
    old = command_line(tools, "python3.9", "exit 1")
    done = run(["make", "env"], tree, path=str(tools), PYTHON=str(old))
    assert done.returncode != 0
    assert "python3.9 does not run or is older than 3.11" in done.stderr


def test_a_newer_python_beside_an_old_one_is_found(tree: Path, tools: Path) -> None:
    command_line(tools, "python3", "exit 1")
    command_line(
        tools, "python3.12", 'case "$2" in *version_info\\ *) exit 0;; *ensurepip*) exit 1;; *) echo 3.12;; esac'
    )
    done = run(["make", "env"], tree, path=str(tools))
    assert "python3.12 (Python 3.12) cannot make virtual environments" in done.stderr


def test_without_venv_it_says_what_to_install(tree: Path, tools: Path) -> None:
    without = f'case "$2" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"'
    command_line(tools, "python3", without)
    done = run(["make", "test"], tree, path=str(tools))
    assert done.returncode != 0
    assert "'venv' or 'ensurepip' is missing" in done.stderr
    assert "python3-venv" in done.stderr
    assert not (tree / ".venv").exists()


def clone(directory: Path) -> Path:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so there is nothing to clone")
    target = directory / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(target)], check=True)
    return target


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_clean_clone_sets_itself_up_and_the_second_run_is_quick(tmp_path: Path) -> None:
    tree, home = clone(tmp_path), tmp_path / "home"
    home.mkdir()
    first = run(["make", "env"], tree, home=home)
    assert first.returncode == 0, first.stderr
    begun = time.monotonic()
    second = run(["make", "env"], tree, home=home)
    assert time.monotonic() - begun < SECOND_RUN_LIMIT_S
    assert second.returncode == 0, second.stderr
    imported = run([".venv/bin/python", "-c", "import chopmark, sklearn; print(chopmark.__file__)"], tree, home=home)
    assert imported.stdout.strip() == str(tree / "src" / "chopmark" / "__init__.py")
    status = subprocess.run(["git", "status", "--porcelain"], cwd=tree, capture_output=True, text=True, check=True)
    assert status.stdout == ""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_clean_clone_sets_itself_up_by_pip_where_uv_cannot_run(tmp_path: Path) -> None:
    tree, home = clone(tmp_path), tmp_path / "home"
    home.mkdir()
    done = run(["scripts/environment.sh", "demo"], tree, home=home, CHOPMARK_NO_UV="1")
    assert done.returncode == 0, done.stderr
    assert "falling back to pip" in done.stderr
    imported = run([".venv/bin/python", "-c", "import chopmark, sklearn, river"], tree, home=home)
    assert imported.returncode == 0, imported.stderr
