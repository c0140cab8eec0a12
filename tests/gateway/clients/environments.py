"""Environments of the public clients: one directory each below ``.clients``, made from its pinned versions when it is first needed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import venv
from pathlib import Path

from benchmarks.peers import environments as peers
from tests.backends.required import require

__all__ = ["CLIENTS", "client_python"]

CLIENTS = ("triton", "kserve", "openai", "mlflow")

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[2]
_ENVIRONMENTS = _ROOT / ".clients"
_UV = _ROOT / ".uv" / "bin" / "uv"
_MAKING_S = 900.0


def client_python(client: str) -> Path:
    """The Python that has a client; ends the test where it cannot be had. MLflow is also a peer of the benchmarks, and made there."""
    _ENVIRONMENTS.mkdir(exist_ok=True)
    with (_ENVIRONMENTS / f"{client}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker of the same run may need it just now
        try:
            if client == "mlflow":
                peers.make("mlflow")
                python = peers.made("mlflow")
            else:
                python = _made(client)
        except (OSError, subprocess.SubprocessError) as error:
            require("clients", f"the environment of {client} cannot be made: {error}")
    if python is None:
        require("clients", f"the environment of {client} cannot be made")
    return python


def _made(client: str) -> Path:
    directory = _ENVIRONMENTS / client
    python, stamp = directory / "bin" / "python", directory / "made-from.txt"
    wanted = _HERE / f"requirements-{client}.txt"
    if stamp.exists() and stamp.read_text() == wanted.read_text() and python.exists():
        return python
    shutil.rmtree(directory, ignore_errors=True)
    has_uv = _UV.exists()
    venv.create(directory, with_pip=not has_uv, symlinks=True)
    by = [str(_UV), "pip", "install", "--python", str(python)] if has_uv else [str(python), "-m", "pip", "install"]
    environment = os.environ | {"UV_PYTHON_DOWNLOADS": "never"}
    for certificates in ("1", "0"):
        ran = subprocess.run(
            [*by, "--quiet", "-r", str(wanted)],
            env=environment | {"UV_SYSTEM_CERTS": certificates}, timeout=_MAKING_S, check=certificates == "0",
        )  # fmt: skip
        if ran.returncode == 0:
            break
    stamp.write_text(wanted.read_text())
    return python
