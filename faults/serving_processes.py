"""`chopmark serve`, `worker` and `gateway` as processes over one place, to be killed and started again at the same address."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import chopmark as cm
from tests.backends.servers import free_ports

__all__ = ["Installation", "Running", "status_of", "until"]

KEPT: tuple[str, ...] = ()
"""Of the environment that is not left out, though it looks like a setting."""

_ROOT = Path(__file__).parents[1]
_START_S = 60.0
_STOP_S = 60.0


class Running:
    """A process of an installation.

    Attributes
    ----------
    url
        Where it listens; empty of a worker.
    """

    def __init__(
        self, command: list[str], environ: Mapping[str, str], log: Path, url: str = "", files: int = 0
    ) -> None:
        self.url = url
        self.log = log
        self._begun_at = log.stat().st_size if log.exists() else 0

        def raise_limit() -> None:
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (files, max(files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            )

        with log.open("a") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=dict(environ),
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                preexec_fn=raise_limit if files else None,  # noqa: PLW1509 - no thread of ours holds a lock
            )

    @property
    def pid(self) -> int:
        """Its id."""
        return self.process.pid

    def said(self) -> str:
        """What it has written so far."""
        return self.log.read_bytes()[self._begun_at :].decode(errors="replace")

    def until_said(self, words: str, within_s: float = _START_S) -> None:
        """Wait until it has written some words."""
        until(lambda: words in self.said() or self.process.poll() is not None, within_s)
        if words not in self.said():
            raise RuntimeError(f"it ended with {self.process.poll()} and never said {words!r}:\n{self.said()[-2000:]}")

    def until_ready(self, within_s: float = _START_S) -> None:
        """Wait until it answers that it is ready."""
        until(lambda: status_of(f"{self.url}/readyz") == 200 or self.process.poll() is not None, within_s)
        if self.process.poll() is not None:
            raise RuntimeError(f"it ended with {self.process.poll()}:\n{self.said()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL, and reap."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(_STOP_S)

    def stop(self, within_s: float = _STOP_S) -> float:
        """SIGTERM; how long it took to end. It ends with 0, or that is an error."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(within_s)
        if code:
            raise RuntimeError(f"it ended with {code}:\n{self.said()[-2000:]}")
        return time.monotonic() - begun

    def memory_bytes(self, field: str = "VmRSS") -> int:
        """Its resident memory now, or at most so far (``VmHWM``)."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))

    def cpu_s(self) -> float:
        """CPU that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Installation:
    """Servers and workers over one catalog and one store.

    Parameters
    ----------
    directory
        For logs, caches and, without a store elsewhere, the registry.
    module
        What is run as the program.
    settings
        Of all of them, by their names in `chopmark.base.settings.Settings`.
    """

    def __init__(self, directory: Path, *, module: str = "chopmark", **settings: Any) -> None:
        self.directory = directory
        self.module = module
        self.settings = {"url": str(directory / "registry"), "actor": "ada", "serve_auth": "none", **settings}
        self.started: list[Running] = []

    def serve(self, *arguments: str, port: int = 0, files: int = 0, ready: bool = True, **settings: Any) -> Running:
        """Start a server, at a port of before where one is given; when it answers, unless ``ready`` is not wanted."""
        port = port or free_ports(1)[0]
        command = [self.module, "serve", "--port", str(port), *arguments]
        log = self.directory / f"serve-{port}.log"
        made = Running(command, self._environ(f"server-{port}", settings), log, f"http://127.0.0.1:{port}", files)
        self.started.append(made)
        if ready:
            made.until_ready()
        return made

    def again(self, server: Running, *arguments: str, **settings: Any) -> Running:
        """Start a server anew where one was."""
        return self.serve(*arguments, port=int(server.url.rpartition(":")[2]), **settings)

    def gateway(self, control: str, port: int = 0, *, ready: bool = True, **settings: Any) -> Running:
        """Start a gateway apart from its control plane; when it answers, unless ``ready`` is not wanted."""
        port = port or free_ports(1)[0]
        command = [self.module, "gateway", "--control", control, "--port", str(port)]
        log = self.directory / f"gateway-{port}.log"
        made = Running(command, self._environ(f"gateway-{port}", settings), log, f"http://127.0.0.1:{port}")
        self.started.append(made)
        if ready:
            made.until_ready()
        return made

    def worker(self, *arguments: str, **settings: Any) -> Running:
        """Start a worker; when it works."""
        name = f"worker-{len(self.started)}"
        made = Running(
            [self.module, "worker", *arguments], self._environ(name, settings), self.directory / f"{name}.log"
        )
        self.started.append(made)
        made.until_said("Doing the jobs of")
        return made

    def client(self, url: str = "", **settings: Any) -> cm.Registry:
        """A registry over HTTP; without an address the one behind the servers, opened here."""
        given = {"cache_dir": str(self.directory / "client"), "progress": "never", **settings}
        if url:
            return cm.open(url, **given)
        ours = {name: value for name, value in self.settings.items() if not name.startswith(("serve_", "worker_"))}
        return cm.open(**{**ours, **given})

    def close(self) -> None:
        """End whatever still runs."""
        for each in self.started:
            each.kill()

    def _environ(self, name: str, settings: Mapping[str, Any]) -> dict[str, str]:
        chosen = {"cache_dir": str(self.directory / name), **self.settings, **settings}
        return {
            **{key: value for key, value in os.environ.items() if key in KEPT or not key.startswith("CHOPMARK_")},
            "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
            "HOME": str(self.directory),
            "PYTHONUNBUFFERED": "1",
            **{f"CHOPMARK_{key.upper()}": str(value) for key, value in chosen.items()},
        }


def until(met: Callable[[], bool], within_s: float, pause_s: float = 0.02) -> None:
    """Wait until something is so.

    Raises
    ------
    TimeoutError
        When it is not in time.
    """
    limit = time.monotonic() + within_s
    while not met():
        if time.monotonic() > limit:
            raise TimeoutError(f"it did not happen within {within_s:g} s")
        time.sleep(pause_s)


def status_of(url: str, timeout_s: float = 5.0) -> int:
    """The status that an address answers with; 0 when nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
