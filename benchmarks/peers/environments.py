"""Environments of the peers: one directory each below ``.bench``, made from its pinned versions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

__all__ = ["DRIFT_PEERS", "PEERS", "SERVING_PEERS", "made", "make", "pinned_version"]

PEERS = ("dvc", "mlflow", "bentoml")
DRIFT_PEERS = ("evidently", "alibi-detect")
SERVING_PEERS = ("mlserver",)

_ROOT = Path(__file__).parents[2]
_ENVIRONMENTS = _ROOT / ".bench"
_UV = _ROOT / ".uv" / "bin" / "uv"


def made(peer: str) -> Path | None:
    """The Python of a peer's environment; None when it was not made, or from other versions than are asked for now."""
    python = _python(peer)
    try:
        is_current = _stamp(peer).read_text() == _requirements(peer).read_text()
    except FileNotFoundError:
        return None
    return python if is_current and os.access(python, os.X_OK) else None


def make(peer: str) -> None:
    """Make a peer's environment, anew when it is not as asked for."""
    if made(peer) is not None:
        return
    directory = _ENVIRONMENTS / peer
    shutil.rmtree(directory, ignore_errors=True)
    has_uv = _runs(_UV)
    venv.create(directory, with_pip=not has_uv, symlinks=True)
    if not (has_uv and any(_by_uv(peer, system_certs) for system_certs in ("1", "0"))):
        if has_uv:
            venv.create(directory, with_pip=True, symlinks=True)
        _by_pip(peer)
    _stamp(peer).write_text(_requirements(peer).read_text())


def pinned_version(peer: str) -> str:
    """The version that a peer's figures are of."""
    return _requirements(peer).read_text().splitlines()[0].rpartition("==")[2]


def _by_uv(peer: str, system_certs: str) -> bool:
    command = [str(_UV), "pip", "install", "--quiet", "--python", str(_python(peer)), "-r", str(_requirements(peer))]
    environment = os.environ | {"UV_SYSTEM_CERTS": system_certs, "UV_PYTHON_DOWNLOADS": "never"}
    return subprocess.run(command, check=False, env=environment).returncode == 0


def _by_pip(peer: str) -> None:
    pip = [str(_python(peer)), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "-r", str(_requirements(peer))], check=True)


def _runs(program: Path) -> bool:
    try:
        return subprocess.run([program, "--version"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def _requirements(peer: str) -> Path:
    return Path(__file__).with_name(f"requirements-{peer}.txt")


def _python(peer: str) -> Path:
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    return _ENVIRONMENTS / peer / scripts / "python"


def _stamp(peer: str) -> Path:
    return _ENVIRONMENTS / peer / "made-from.txt"
