"""Peers as processes that wait to be told what to do: a line of JSON in, a line of JSON out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import PEERS, made, pinned_version
from benchmarks.turns import Spent, Way

__all__ = ["Peer", "PeerFailed", "running"]

_ROOT = Path(__file__).parents[2]
_TITLES = {"dvc": "DVC", "mlflow": "MLflow", "bentoml": "BentoML"}


class PeerFailed(RuntimeError):
    """A peer did not do what it was asked; its own words are in the log that is named."""


class Peer:
    """A peer that is running.

    Parameters
    ----------
    what
        Its title and version.
    process
        The process that does its work.
    log
        What it writes to its standard error.
    """

    def __init__(self, what: str, process: subprocess.Popen[str], log: Path) -> None:
        self.what = what
        self._process = process
        self._log = log

    def storing(self, directory: Path) -> Way:
        """Its way to store the files in a directory."""
        return _Storing(self, directory)

    def ask(self, verb: str, **arguments: str) -> dict[str, Any]:
        """Have something done, and wait for it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"verb": verb, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            answer = ""
        else:
            answer = self._process.stdout.readline()
        if not answer:
            end = self._log.read_text(errors="replace").strip()[-2000:]
            raise PeerFailed(f"{self.what} could not {verb}:\n{end}")
        found: dict[str, Any] = json.loads(answer)
        return found


class _Storing:
    """Storing the files in a directory as a peer does."""

    def __init__(self, peer: Peer, directory: Path) -> None:
        self._peer = peer
        self._directory = directory

    def prepare(self) -> None:
        """Have the store made, and the files where the peer wants them."""
        self._peer.ask("prepare", source=str(self._directory))

    def run(self) -> Spent:
        """Have them stored; the peer's process says what that took."""
        took = self._peer.ask("run")
        return Spent(took["wall_s"], took["cpu_s"])

    def tidy(self) -> None:
        """Have all of it put out of the way."""
        self._peer.ask("tidy")


@contextmanager
def running(place: Path) -> Iterator[list[Peer]]:
    """All peers whose environments were made, each at work in a directory of its own; how to get the others is told."""
    place.mkdir(parents=True, exist_ok=True)
    missing = [_TITLES[peer] for peer in PEERS if made(peer) is None]
    if missing:
        print(f"No rows for {', '.join(missing)}: `make bench-peers` makes their environments.", file=sys.stderr)
    with ExitStack() as stack:
        yield [stack.enter_context(_running(peer, place, python)) for peer in PEERS if (python := made(peer))]


@contextmanager
def _running(peer: str, place: Path, python: Path) -> Iterator[Peer]:
    home = place / peer
    home.mkdir()
    log = place / f"{peer}.log"
    command = [str(python), "-m", "benchmarks.peers.stores", peer, str(home)]
    # Nothing of a peer's own outside its directory: its settings, caches and identifiers of the user are in its home.
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
    with (
        log.open("w") as words,
        subprocess.Popen(
            command, cwd=home, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, text=True
        ) as process,
    ):
        started = Peer(f"{_TITLES[peer]} {pinned_version(peer)}", process, log)
        try:
            started.ask("start")
            yield started
        finally:
            assert process.stdin is not None
            process.stdin.close()  # the end of its orders is the end of the process
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
