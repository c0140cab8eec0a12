"""What ``--help`` says, kept in files: a change of it is seen in review.

CHOPMARK_WRITE_GOLDEN would be cleared with the other settings, so the switch has another name:
``WRITE_GOLDEN=1 pytest tests/cli/test_help.py`` writes the files anew.
"""

import os
from pathlib import Path

import click
import pytest

from chopmark.cli.program import ROOT, run
from tests.cli.running import Program, all_commands, leaf_commands

GOLDEN = Path(__file__).parent / "golden"
COMMANDS = all_commands()
WRITE = bool(os.environ.get("WRITE_GOLDEN"))


def golden_file(words: tuple[str, ...]) -> Path:
    return GOLDEN / ("-".join(("chopmark", *words)) + ".txt")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_is_as_kept(words: tuple[str, ...], program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--help"]) == 0
    text = capsys.readouterr().out
    if WRITE:
        golden_file(words).write_text(text, encoding="utf-8")
    assert text == golden_file(words).read_text(encoding="utf-8")
    assert not program.place.exists()


def test_no_file_is_left_of_a_command_that_is_gone() -> None:
    assert {f.name for f in GOLDEN.iterdir()} == {golden_file(words).name for words in COMMANDS}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_has_a_summary_examples_and_every_parameter_explained(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    assert command.help
    assert getattr(command, "examples", "").startswith(("chopmark", "source"))
    summary = command.help.strip().splitlines()[0]
    assert summary.endswith((".", ":", "said"))
    for param in command.params:
        assert isinstance(param, click.Option | click.Argument)
        assert param.help, param.name


def test_the_list_of_commands_says_what_the_commands_say() -> None:
    for section in ROOT.sections.values():
        for name, entry in section.items():
            command = COMMANDS[(name,)]
            assert command.name == name
            # The list is printed without importing the command, and so repeats how its help begins.
            assert (command.help or "").startswith(entry.summary.rstrip("."))


def test_every_command_takes_json_and_quiet() -> None:
    for words, command in leaf_commands().items():
        flags = {flag for param in command.params for flag in param.opts}
        assert {"--json", "--quiet", "--at", "--project", "--actor", "--debug"} <= flags, words


def test_no_option_of_a_command_hides_one_of_the_program() -> None:
    for words, command in leaf_commands().items():
        flags = [flag for param in command.params for flag in (*param.opts, *param.secondary_opts)]
        assert len(flags) == len(set(flags)), words
