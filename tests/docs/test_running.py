"""The runner of the pages notices what it is there to notice."""

import os
from pathlib import Path

import pytest

from tests.docs.markdown import Block, blocks
from tests.docs.running import PageRun, agrees, console_commands, shell_environment


@pytest.fixture
def run(tmp_path: Path) -> PageRun:
    return PageRun("page.md", tmp_path, shell_environment(tmp_path, {}))


def test_blocks_know_their_line() -> None:
    assert blocks("a\n\n```python\nx = 1\n```\n") == [Block("python", "x = 1\n", 4)]


def test_a_block_that_is_not_closed_is_refused() -> None:
    with pytest.raises(ValueError, match="not closed"):
        blocks("```python\nx = 1\n")


def test_python_blocks_share_a_module(run: PageRun) -> None:
    run.run(Block("python", "x = 1\n", 1))
    run.run(Block("python", ">>> x + 1\n2\n>>> y = 3\n", 1))
    run.run(Block("python", "assert (x, y) == (1, 3)\n", 1))


def test_a_traceback_names_the_line_of_the_page(run: PageRun) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run.run(Block("python", "x = 1\n1 / 0\n", 10))
    assert caught.traceback[-1].lineno + 1 == 11


def test_a_wrong_answer_in_a_session_fails(run: PageRun) -> None:
    with pytest.raises(pytest.fail.Exception, match="Expected"):
        run.run(Block("python", ">>> 1 + 1\n3\n", 1))


def test_a_failing_command_fails(run: PageRun) -> None:
    with pytest.raises(pytest.fail.Exception, match="exit code 1"):
        run.run(Block("shell", "false\ntrue\n", 1))


def test_a_failing_command_of_a_console_fails(run: PageRun) -> None:
    with pytest.raises(pytest.fail.Exception, match="exit code 1"):
        run.run(Block("console", "$ false\n", 1))


def test_other_output_fails(run: PageRun) -> None:
    with pytest.raises(pytest.fail.Exception, match="expected"):
        run.run(Block("console", "$ echo yes\nno\n", 1))


def test_shell_blocks_share_variables_and_directory(run: PageRun) -> None:
    run.run(Block("shell", "export COLOUR='dark blue'\nmkdir sub\ncd sub\n", 1))
    run.run(Block("console", '$ echo "$COLOUR" $(basename "$PWD")\ndark blue sub\n', 1))


def test_a_console_has_commands_and_their_output() -> None:
    commands = console_commands(Block("console", "$ one \\\n> two\nout\n\nmore\n$ three\n", 5))
    assert [(c.text, c.expected, c.line) for c in commands] == [("one \\\ntwo", "out\n\nmore", 5), ("three", "", 10)]


def test_the_wildcard_stands_for_anything() -> None:
    assert agrees("a ... c", "a b b\nb c")
    assert not agrees("a ... c", "a b")
    assert agrees("", "\n")
    assert not agrees("", "something")


def test_days_times_hashes_and_sizes_may_differ() -> None:
    shown = f"made 2026-03-03 09:12 UTC as sha256:{'a' * 12}, {'b' * 64}, 1,204 bytes"
    assert agrees(shown, f"made 2031-12-24 23:59 UTC as sha256:{'c' * 12}, {'d' * 64}, 9 bytes")
    assert not agrees(shown, shown.replace("bytes", "files"))
    assert not agrees(shown, shown.replace("UTC", "CET"))


def test_nothing_of_the_surroundings_reaches_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHOPMARK_PROJECT", "surprise")
    assert not any(name.startswith("CHOPMARK_") for name in shell_environment(tmp_path, {}))
    assert os.environ["CHOPMARK_PROJECT"] == "surprise"
