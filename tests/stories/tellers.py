"""Ways to tell the story: each does a step and gives what came of it as JSON values."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Coroutine
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

import pytest

import chopmark as cm
from chopmark.base.jsons import encode
from chopmark.cli.program import run
from chopmark.errors import ChopmarkError
from chopmark.sdk.results import Page
from tests.stories.story import Step

__all__ = ["AsyncTeller", "ProgramTeller", "SyncTeller", "Teller", "tree"]


class Teller(Protocol):
    """Does steps."""

    def do(self, step: Step) -> Any:
        """What came of a step; of one that was refused, the problem."""
        ...

    def close(self) -> None: ...


class SyncTeller:
    """Through `chopmark.Registry`."""

    def __init__(self, registry: cm.Registry) -> None:
        self._registry = registry

    def do(self, step: Step) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cm.errors.ChopmarkWarning)
            try:
                return values_of(attrgetter(step.verb)(self._registry)(*step.arguments, **step.options))
            except ChopmarkError as error:
                return refused(error)

    def close(self) -> None:
        self._registry.close()


class AsyncTeller:
    """Through `chopmark.AsyncRegistry`, opened and used in one event loop."""

    def __init__(self, place: str, **settings: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._registry = self._done(cm.AsyncRegistry.open(place, **settings))

    def _done(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(coroutine)

    def do(self, step: Step) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cm.errors.ChopmarkWarning)
            try:
                return values_of(self._done(attrgetter(step.verb)(self._registry)(*step.arguments, **step.options)))
            except ChopmarkError as error:
                return refused(error)

    def close(self) -> None:
        self._done(self._registry.close())
        self._loop.close()


class ProgramTeller:
    """Through the command line, a run of the program a step."""

    def __init__(self, place: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._place = place
        self._capsys = capsys

    def do(self, step: Step) -> Any:
        self._capsys.readouterr()
        code = run([*step.command, "--json", "--at", self._place, "--actor", "ada"])
        said = self._capsys.readouterr()
        assert said.out, said.err
        answer = json.loads(said.out)
        if code:
            return answer | {"exit_code": code}
        if step.verb == "files.download":
            return tree(Path(answer["directory"]))
        return answer

    def close(self) -> None:
        """Nothing is open between two steps."""


def values_of(found: Any) -> Any:
    """What the SDK gives, in the form in which the program prints it."""
    if isinstance(found, Page):
        more = {"unknown": found.unknown} if found.unknown else {}
        return json.loads(encode({"items": list(found), "cursor": found.cursor, **more}))
    if isinstance(found, Path):
        return tree(found)
    return json.loads(encode(found))


def refused(error: ChopmarkError) -> dict[str, Any]:
    """A problem in the form in which the program prints it, with the code it ends with."""
    from chopmark.cli.failures import exit_code

    problem = {"code": error.code, "message": error.message, "hint": error.hint, "details": error.details}
    return {**json.loads(encode(problem)), "exit_code": exit_code(error)}


def tree(directory: Path) -> dict[str, str]:
    """Every file below a directory and what it holds."""
    return {str(f.relative_to(directory)): f.read_text() for f in sorted(directory.rglob("*")) if f.is_file()}
