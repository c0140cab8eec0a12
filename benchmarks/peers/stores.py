"""Runs in a peer's environment and does its part of the work: ``python -m benchmarks.peers.stores PEER DIRECTORY``.

What is timed, in this process, after all was imported:

- DVC: ``Repo.add`` of the directory in a repository without Git, with its defaults: it hashes (MD5), brings the files into the
  cache and links the workspace to them, by a copy where the file system has no reflinks.
- MLflow: ``MlflowClient.log_artifacts`` into a run of a local SQLite store: it copies. Making the run and registering
  a model version, which only write rows, are not timed.
- BentoML: ``bentoml.models.create``, within which the files are copied into the model's directory as its savers
  write them there, and which moves them into the model store at its end.

None of the three waits for the disk. Of this repository only what needs nothing but the standard library may be imported here:
the environment has only the peer.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.aside import set_aside

__all__ = ["main"]


class Dvc:
    """The cache of a DVC repository."""

    def __init__(self, home: Path) -> None:
        from dvc.repo import Repo  # type: ignore[import-not-found]

        self._init = Repo.init
        self._workspace = home / "workspace"
        self._aside = home / "aside"
        self._repo: Any = None

    def prepare(self, source: Path) -> None:
        """Make the repository and copy the files into its workspace."""
        self._workspace.mkdir()
        self._repo = self._init(str(self._workspace), no_scm=True)
        shutil.copytree(source, self._workspace / "data")

    def run(self) -> None:
        """Add them."""
        self._repo.add([str(self._workspace / "data")])

    def stored(self) -> list[Path]:
        """The files in the cache."""
        return [path for path in (self._workspace / ".dvc" / "cache").rglob("*") if path.is_file()]

    def tidy(self) -> None:
        """Put the repository out of the way."""
        self._repo.close()
        set_aside(self._workspace, self._aside)


class Mlflow:
    """The artifacts of an MLflow run."""

    def __init__(self, home: Path) -> None:
        from mlflow import MlflowClient

        self._artifacts = home / "artifacts"
        self._aside = home / "aside"
        self._client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
        self._experiment = self._client.create_experiment("stores", artifact_location=str(self._artifacts))
        self._run = ""
        self._source = Path()

    def prepare(self, source: Path) -> None:
        """Begin a run."""
        self._run = self._client.create_run(self._experiment).info.run_id
        self._source = source

    def run(self) -> None:
        """Log the files."""
        self._client.log_artifacts(self._run, str(self._source), "model")

    def stored(self) -> list[Path]:
        """The artifacts."""
        return [path for path in self._artifacts.rglob("*") if path.is_file()]

    def tidy(self) -> None:
        """Put them out of the way."""
        self._client.delete_run(self._run)
        set_aside(self._artifacts, self._aside)


class BentoMl:
    """A model of BentoML's store."""

    def __init__(self, home: Path) -> None:
        os.environ["BENTOML_HOME"] = str(home / "bentoml")
        import bentoml  # type: ignore[import-not-found]

        self._models = bentoml.models
        self._store = home / "bentoml" / "models"
        self._aside = home / "aside"
        self._source = Path()

    def prepare(self, source: Path) -> None:
        """Note what to store."""
        self._source = source

    def run(self) -> None:
        """Create a model of the files."""
        with self._models.create("stored") as model:
            shutil.copytree(self._source, model.path, dirs_exist_ok=True)

    def stored(self) -> list[Path]:
        """The model's files."""
        return [path for path in self._store.rglob("*") if path.is_file()]

    def tidy(self) -> None:
        """Put it out of the way."""
        set_aside(self._store, self._aside)
        self._store.mkdir()


KINDS: dict[str, Callable[[Path], Dvc | Mlflow | BentoMl]] = {"dvc": Dvc, "mlflow": Mlflow, "bentoml": BentoMl}


def _cpu_s() -> float:
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(s.ru_utime + s.ru_stime for s in spent)


def _timed(call: Callable[[], object]) -> dict[str, float]:
    cpu, wall = _cpu_s(), time.perf_counter()
    call()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": _cpu_s() - cpu}


def main() -> None:
    """Do what the lines on the standard input say, until there are no more."""
    # Answers have the real standard output to themselves: what a peer prints goes to the log.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ |= {"DVC_NO_ANALYTICS": "1", "BENTOML_DO_NOT_TRACK": "True", "MLFLOW_DISABLE_TELEMETRY": "true"}
    peer = None
    wanted_bytes = 0
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, float] = {}
        match order["verb"]:
            case "start":
                home = Path(sys.argv[2])
                os.environ["DVC_SITE_CACHE_DIR"] = str(home / "site-cache")
                peer = KINDS[sys.argv[1]](home)
            case "prepare" if peer:
                source = Path(order["source"])
                wanted_bytes = sum(path.stat().st_size for path in source.iterdir())
                peer.prepare(source)
            case "run" if peer:
                answer = _timed(peer.run)
                stored_bytes = sum(path.stat().st_size for path in peer.stored())
                if stored_bytes < wanted_bytes:
                    raise RuntimeError(f"Only {stored_bytes:,} of {wanted_bytes:,} bytes were stored.")
            case "tidy" if peer:
                peer.tidy()
            case verb:
                raise ValueError(verb)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
