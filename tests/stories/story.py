"""The story: what a team does with its models in a month, each step as a verb of the SDK and as a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import chopmark as cm

__all__ = ["FILES", "Step", "steps"]

FILES = {
    "first.json": '{"threshold": 0.7}',
    "second.json": '{"threshold": 0.8}',
    "third.json": '{"threshold": 0.9}',
    "notes.txt": "looked at it, and it looks well\n",
}


class Step(NamedTuple):
    """One step.

    Attributes
    ----------
    verb
        Path of the SDK's method: ``versions.get``.
    arguments, options
        What it is called with.
    command
        The same for the command line.
    """

    verb: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    command: tuple[str, ...]


def step(verb: str, *arguments: Any, command: str | tuple[str, ...], **options: Any) -> Step:
    """A step; a command that needs no quotes may be written as one text."""
    return Step(verb, arguments, options, tuple(command.split()) if isinstance(command, str) else command)


def steps(files: Path, out: Path) -> list[Step]:
    """The whole story, over the files of `FILES`; what is downloaded goes below ``out``."""
    return [*_beginning(files), *_moving(), *_finding(out), *_ending(), *_looking_back()]


def _beginning(files: Path) -> list[Step]:
    first, second, third, notes = (files / name for name in FILES)
    return [
        step(
            "projects.create",
            "risk",
            description="odd payments",
            rules=cm.ProjectRules(required_tags=("team",)),
            command=("project", "create", "risk", "--description", "odd payments", "--require-tag", "team"),
        ),
        step("projects.create", "risk", command="project create risk"),
        step(
            "models.create",
            "risk/fraud",
            owner="ada",
            team="risk",
            task="classification",
            command="model create risk/fraud --owner ada --team risk --task classification",
        ),
        step("register", "risk/fraud", path=first, command=f"register risk/fraud {first}"),
        step(
            "register",
            "risk/fraud",
            path=first,
            metrics={"roc_auc": 0.91, "latency_ms": 12.5},
            params={"depth": 4},
            tags={"team": "risk", "month": "march"},
            artifacts={"evaluation/notes.txt": notes},
            description="the first",
            command=(
                *("register", "risk/fraud", str(first), "--metric", "roc_auc=0.91", "--metric", "latency_ms=12.5"),
                *("--param", "depth=4", "--tag", "team=risk", "--tag", "month=march"),
                *("--artifact", f"evaluation/notes.txt={notes}", "--description", "the first"),
            ),
        ),
        step(
            "register",
            "risk/fraud",
            path=second,
            metrics={"roc_auc": 0.94},
            tags={"team": "risk"},
            parents={"derived_from": "risk/fraud:1"},
            command=(
                f"register risk/fraud {second} --metric roc_auc=0.94 --tag team=risk --parent derived_from=risk/fraud:1"
            ),
        ),
        step(
            "register",
            "risk/fraud",
            path=third,
            tags={"team": "risk"},
            bump="minor",
            command=f"register risk/fraud {third} --tag team=risk --bump minor",
        ),
        step(
            "register",
            "risk/fraud",
            path=second,
            tags={"team": "risk"},
            command=f"register risk/fraud {second} --tag team=risk",
        ),
        step("get", "risk/fraud", command="get risk/fraud"),
        step("get", "risk/fraud:^0.1", command="get risk/fraud:^0.1"),
        step("get", "risk/fraud@champion", command="get risk/fraud@champion"),
        step("get", "nobody", command="get nobody"),
        step("get", "risk/fraud:zero:", command="get risk/fraud:zero:"),
    ]


def _moving() -> list[Step]:
    return [
        step(
            "aliases.set",
            "risk/fraud@champion",
            "risk/fraud:1",
            reason="the only one",
            command=("alias", "set", "risk/fraud@champion", "risk/fraud:1", "--reason", "the only one"),
        ),
        step(
            "aliases.set",
            "risk/fraud@champion",
            "risk/fraud:2",
            reason="better",
            protected=True,
            command="alias set risk/fraud@champion risk/fraud:2 --reason better --protect",
        ),
        step(
            "aliases.set",
            "risk/fraud@champion",
            "risk/fraud:1",
            command="alias set risk/fraud@champion risk/fraud:1",
        ),
        step("get", "risk/fraud@champion", command="get risk/fraud@champion"),
        step("aliases.history", "risk/fraud@champion", command="alias history risk/fraud@champion"),
        step(
            "promote",
            "risk/fraud:2",
            "staging",
            reason="passes",
            command="promote risk/fraud:2 staging --reason passes",
        ),
        step(
            "promote",
            "risk/fraud:2",
            "development",
            reason="no",
            command="promote risk/fraud:2 development --reason no",
        ),
        step(
            "promote",
            "risk/fraud:2",
            "production",
            reason="is good",
            command=("promote", "risk/fraud:2", "production", "--reason", "is good"),
        ),
        step(
            "promote",
            "risk/fraud:1",
            "production",
            reason="skips",
            command="promote risk/fraud:1 production --reason skips",
        ),
        step(
            "versions.update",
            "risk/fraud:2",
            tags={"seen": "yes"},
            remove_tags=("team",),
            reason="tidy",
            command="tag risk/fraud:2 seen=yes --remove team --reason tidy",
        ),
        step(
            "versions.update",
            "risk/fraud:2",
            tags={"seen": "yes"},
            reason="tidy",
            command="tag risk/fraud:2 seen=yes --reason tidy",
        ),
        step(
            "versions.evaluate",
            "risk/fraud:2",
            {"f1": 0.8},
            dataset="april",
            comment="by hand",
            command=(
                *("evaluate", "risk/fraud:2", "--dataset", "april", "--metric", "f1=0.8"),
                *("--comment", "by hand"),
            ),
        ),
        step("stages.history", "risk/fraud:2", command="history risk/fraud:2"),
    ]


def _finding(out: Path) -> list[Step]:
    return [
        step(
            "versions.search",
            'metrics.roc_auc >= 0.9 and tags.team = "risk" order by metrics.roc_auc desc',
            command=("search", 'metrics.roc_auc >= 0.9 and tags.team = "risk" order by metrics.roc_auc desc'),
        ),
        step(
            "versions.search",
            "name ~ 'fraud' order by created_at",
            limit=2,
            command=("search", "name ~ 'fraud' order by created_at", "--limit", "2"),
        ),
        step("versions.search", "roc_auc >", command=("search", "roc_auc >")),
        step("versions.best", "risk/fraud", "roc_auc", command="best risk/fraud roc_auc"),
        step("compare", ["risk/fraud:1", "risk/fraud:2"], command="compare risk/fraud:1 risk/fraud:2"),
        step("files.manifest", "risk/fraud:1", command="files risk/fraud:1 --manifest"),
        step("files.list", "risk/fraud:1", command="files risk/fraud:1"),
        step("files.verify", "risk/fraud:1", command="verify risk/fraud:1"),
        step("files.download", "risk/fraud:1", out / "first", command=f"download risk/fraud:1 {out / 'first'}"),
    ]


def _ending() -> list[Step]:
    return [
        step(
            "stages.deprecate",
            "risk/fraud:2",
            reason="drifts",
            successor="risk/fraud:3",
            command="deprecate risk/fraud:2 --reason drifts --successor risk/fraud:3",
        ),
        step("versions.delete", "risk/fraud:2", command="delete risk/fraud:2"),
        step(
            "versions.delete",
            "risk/fraud:3",
            reason="wrong month",
            command=("delete", "risk/fraud:3", "--reason", "wrong month"),
        ),
        step("get", "risk/fraud:3", command="get risk/fraud:3"),
        step("versions.get", "risk/fraud:3", deleted=True, command="get risk/fraud:3 --deleted"),
        step("get", "risk/fraud:latest", command="get risk/fraud:latest"),
        step(
            "versions.restore",
            "risk/fraud:3",
            reason="it was not",
            command=("restore", "risk/fraud:3", "--reason", "it was not"),
        ),
        step("versions.list", "risk/fraud", command="list risk/fraud"),
    ]


def _looking_back() -> list[Step]:
    return [
        step("projects.list", command="project list"),
        step("models.get", "risk/fraud", command="model get risk/fraud"),
        step("aliases.list", "risk/fraud", command="alias list risk/fraud"),
        step("audit.trail", "risk/fraud:2", command="audit trail risk/fraud:2"),
        step("audit.list", event="version.promoted", command="audit list --event version.promoted"),
        step("audit.verify", command="audit verify"),
    ]
