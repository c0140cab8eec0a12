"""A command that was forked from a warm process is what the installed program is, but sooner."""

import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.docs.running import shell_environment

# Answers, failures, streams and surroundings: all that a page's shell can see of a command.
COMMANDS = (
    "chopmark --version",
    "chopmark register fraud model.json --metric auc=0.9 -q; chopmark get fraud --json | grep auc",
    "chopmark get nothing 2>/dev/null",
    "chopmark promote",
    "LOGNAME=eve chopmark whoami",
    "mkdir -p below; cd below; chopmark list 'a  blank' \"it's\" $'\\u00e9' 2>&1 >/dev/null; cd ..",
    'chopmark list --at "$PWD/.chopmark" --json | head -c 9',
)


def told(script: str, directory: Path, programs: list[Path]) -> tuple[int, str, str]:
    directory.mkdir(exist_ok=True)
    (directory / "model.json").write_text('{"threshold": 0.7}')
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=directory,
        env=shell_environment(directory, {}, programs),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_shell_sees_no_difference(tmp_path: Path, warm_programs: Path) -> None:
    script = "\n".join(f'{{ {command}; }} || echo "code $?"' for command in COMMANDS)
    installed = told(script, tmp_path / "here", [])
    (tmp_path / "here").rename(tmp_path / "before")
    assert told(script, tmp_path / "here", [warm_programs]) == installed
    for word in ("code 2", "code 3", '"auc"', "eve"):
        assert word in installed[1], word


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_ends_as_it_would(
    tmp_path: Path, warm_programs: Path, number: signal.Signals
) -> None:
    """It waits for a server that says nothing."""
    ends = []
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(60)
        environ = {"CHOPMARK_URL": f"http://127.0.0.1:{mute.getsockname()[1]}"}
        for programs in ([], [warm_programs]):
            with subprocess.Popen(
                ["bash", "-c", "exec chopmark list"],
                cwd=tmp_path,
                env=shell_environment(tmp_path, environ, programs),
                stderr=subprocess.PIPE,
            ) as command:
                with mute.accept()[0] as asked:
                    asked.recv(1)
                    command.send_signal(number)
                    _, said = command.communicate(timeout=60)
                ends.append((command.returncode, said))
    assert ends[0] == ends[1]
    assert ends[0][0] in (130, -signal.SIGTERM)


def test_what_runs_long_is_started_as_installed(tmp_path: Path, warm_programs: Path) -> None:
    """A server forked from the starter would share what that has imported, and forks in its turn."""
    script = "chopmark serve --help & wait $!; echo $?"
    assert told(script, tmp_path, [warm_programs]) == told(script, tmp_path, [])
