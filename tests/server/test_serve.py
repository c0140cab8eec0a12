"""``chopmark serve`` as a process: it says where it is, answers, and ends when it is told to."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

import chopmark as cm


@contextmanager
def serving(directory: Path, *arguments: str, **settings: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server in a process of its own; its address, and the process."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CHOPMARK_")},
        "HOME": str(directory),
        "CHOPMARK_SERVE_AUTH": "none",
        **{f"CHOPMARK_{name.upper()}": value for name, value in settings.items()},
    }
    with (directory / "err.txt").open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "chopmark", "serve", "--port", "0", *arguments],
            cwd=directory,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        yield said.rpartition(" at ")[2].strip(), process
    finally:
        process.kill()
        process.wait(60)
        process.stdout.close()


def test_it_serves_and_ends_cleanly(tmp_path: Path) -> None:
    with serving(tmp_path, "--log", "json") as (url, process):
        with cm.open(url, actor="eve", cache_dir=str(tmp_path / "cache")) as registry:
            version = registry.register("fraud", {"threshold": 0.7})
            assert registry.load("fraud") == {"threshold": 0.7}
        hearing = urllib3.request("GET", f"{url}/api/v1/events", preload_content=False, timeout=60)
        assert hearing.status == 200
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        assert process.wait(60) == 0
        assert time.monotonic() - begun < 5  # who hears events does not hold it up
        hearing.close()
    with cm.open(tmp_path / ".chopmark") as registry:
        assert registry.get("fraud").digest == version.digest
        assert not registry.storage.check().findings
    lines = [json.loads(line) for line in (tmp_path / "err.txt").read_text().splitlines()]
    registered = next(line for line in lines if line.get("op") == "version.register")
    assert (registered["status"], registered["method"], registered["path"]) == (201, "POST", "/api/v1/versions")
    assert registered["duration_ms"] > 0
    assert not any("\x1b" in str(line) for line in lines)


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    acknowledged: list[Any] = []
    for _ in range(3):
        with (
            serving(tmp_path) as (url, process),
            cm.open(url, cache_dir=str(tmp_path / "cache")) as registry,
        ):
            acknowledged += [registry.register("fraud", {"n": len(acknowledged) + n}) for n in range(5)]
            process.kill()
    with cm.open(tmp_path / ".chopmark") as registry:
        assert [registry.get(v.ref).digest for v in acknowledged] == [v.digest for v in acknowledged]
        assert not registry.storage.check().findings


def test_it_listens_nowhere_else_without_asking_who_calls(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chopmark", "serve", "--host", "0.0.0.0", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "CHOPMARK_SERVE_AUTH": "none"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 5
    assert "0.0.0.0" in done.stderr


def test_an_address_that_is_taken_is_told(tmp_path: Path) -> None:
    with serving(tmp_path) as (url, _):
        port = url.rpartition(":")[2]
        (tmp_path / "other").mkdir()
        done = subprocess.run(
            [sys.executable, "-m", "chopmark", "serve", "--port", port],
            cwd=tmp_path / "other",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 8
        assert "cannot be listened on" in done.stderr


@pytest.mark.parametrize("command", [["get", "fraud"], ["list"], ["audit", "list"], ["fsck"], ["du"], ["doctor"]])
def test_the_command_line_over_http(tmp_path: Path, command: list[str]) -> None:
    with serving(tmp_path) as (url, _):
        environ = {**os.environ, "CHOPMARK_URL": url, "HOME": str(tmp_path)}
        with cm.open(url, cache_dir=str(tmp_path / "cache")) as registry:
            registry.register("fraud", {"a": 1})
        done = subprocess.run(
            [sys.executable, "-m", "chopmark", *command],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    environ = {**os.environ, "CHOPMARK_TOKEN": "cm_secret_secret", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "chopmark", "config", "show"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "token" in done.stdout
    assert "cm_secret" not in done.stdout + done.stderr


def test_the_first_start_shows_one_token_and_no_other_does(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0", "--port", "0", serve_auth="tokens") as (url, process):
        assert process.stdout is not None
        process.stdout.readline()
        token = process.stdout.readline().strip()
        near = url.replace("0.0.0.0", "127.0.0.1")
        assert status_of(f"{near}/api/v1/models") == 401
        with cm.open(near, token=token, cache_dir=str(tmp_path / "cache")) as registry:
            assert registry.access.whoami().name == "admin"
            registry.access.set_member("ada", "viewer")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert "cm_" not in process.stdout.read()
    with serving(tmp_path, serve_auth="tokens") as (url, process):
        with cm.open(url, token=token, cache_dir=str(tmp_path / "cache")) as registry:
            assert [m.member for m in registry.access.members()] == ["ada", "admin"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stdout is not None
        assert "cm_" not in process.stdout.read()
    assert token[20:] not in (tmp_path / "err.txt").read_text()


def test_it_listens_elsewhere_without_asking_when_that_is_said(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0", "--port", "0", serve_open="yes, to everybody") as (url, _):
        assert status_of(url.replace("0.0.0.0", "127.0.0.1") + "/api/v1/models") == 200


def status_of(url: str) -> int:
    """The status of an answer, from a server that may only just have begun to listen."""
    return urllib3.request("GET", url, timeout=60, retries=urllib3.Retry(connect=8, backoff_factor=0.1)).status
