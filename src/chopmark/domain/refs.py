"""References to versions: one strict parser, used by every face.

``[project/]name`` and then at most one selector:

========================  ==============================================
``fraud``                 latest ready version
``fraud:7``               version number
``fraud:1.4.2``           exact SemVer
``fraud:^1.4``            highest release in a range (``^`` or ``~``)
``fraud:latest``          latest ready version
``fraud@champion``        alias
``fraud#production``      stage
``fraud@sha256:ab12cd``   manifest digest, at least 6 digits of it
========================  ==============================================

MLflow's forms ``models:/fraud/7``, ``models:/fraud/Production``, ``models:/fraud/latest`` and
``models:/fraud@champion`` are accepted on input.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

import msgspec

from chopmark.domain.lifecycle import STAGES
from chopmark.domain.names import check_alias, check_name, example_of, shown, with_article
from chopmark.domain.semver import Range, SemVer
from chopmark.errors import InvalidRequest

__all__ = ["DEFAULT_PROJECT", "ModelRef", "Ref", "parse_model", "parse_ref"]

DEFAULT_PROJECT = "default"
SelectorKind = Literal["latest", "number", "semver", "range", "alias", "stage", "digest"]

_NUMBER = re.compile(r"[1-9]\d{0,17}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{6,64}")
_MLFLOW = "models:/"
_LENGTH_MAX = 512
_KEPT = 1_024  # names read lately: one call reads that of its model several times


class ModelRef(msgspec.Struct, frozen=True):
    """A project and a model in it."""

    project: str
    name: str

    def __str__(self) -> str:
        return self.name if self.project == DEFAULT_PROJECT else f"{self.project}/{self.name}"


class Ref(msgspec.Struct, frozen=True):
    """A reference to one version.

    Attributes
    ----------
    project, name
        The model.
    kind
        How the version is selected.
    value
        The number, SemVer, range, alias, stage or digest as text; empty for ``latest``.
    """

    project: str
    name: str
    kind: SelectorKind = "latest"
    value: str = ""

    @property
    def model(self) -> ModelRef:
        """The model without the selector."""
        return ModelRef(self.project, self.name)

    def __str__(self) -> str:
        sign = {"alias": "@", "digest": "@", "stage": "#"}.get(self.kind, ":")
        return f"{self.model}{sign}{self.value or 'latest'}"


def parse_model(text: str, project: str = DEFAULT_PROJECT, what: str = "model") -> ModelRef:
    """Read ``[project/]name``.

    Parameters
    ----------
    text
        The name.
    project
        Where it is, when it names none.
    what
        What errors call it: endpoints and others are named as models are.

    Raises
    ------
    InvalidRequest
        When it is not a name, or carries a selector.
    """
    _check_length(text)
    return _model(text, project, what)


@lru_cache(maxsize=_KEPT)
def _model(text: str, project: str, what: str) -> ModelRef:
    first, slash, rest = text.partition("/")
    if not slash:
        return ModelRef(check_name(project, "project"), check_name(text, f"{what} name"))
    if "/" not in rest:
        return ModelRef(check_name(first, "project"), check_name(rest, f"{what} name"))
    msg = f"{shown(text)} is not {with_article(what)}: it has more than one '/'."
    raise InvalidRequest(msg, hint=f"Write it like '{example_of(what)}' or 'risk/{example_of(what)}'.")


def parse_ref(text: str, project: str = DEFAULT_PROJECT) -> Ref:
    """Read a reference in any accepted form.

    Parameters
    ----------
    text
        The reference.
    project
        Project of a reference that names none.

    Raises
    ------
    InvalidRequest
        When the reference is not in the grammar; the message says which part.
    """
    _check_length(text)
    if text.startswith(_MLFLOW):
        return _parse_mlflow(text, project)
    at = next((i for i, c in enumerate(text) if c in ":@#"), len(text))
    model = parse_model(text[:at], project)
    if at == len(text):
        return Ref(model.project, model.name)
    kind, value = _parse_selector(text[at], text[at + 1 :], text)
    return Ref(model.project, model.name, kind, value)


def _parse_selector(sign: str, value: str, whole: str) -> tuple[SelectorKind, str]:
    if not value:
        msg = f"Nothing follows {sign!r} in the reference {shown(whole)}."
        raise InvalidRequest(msg, hint=_HINT)
    if sign == "#":
        return "stage", _stage(value, whole)
    if sign == "@":
        if value.startswith("sha256:"):
            return "digest", _digest(value, whole)
        return "alias", check_alias(value)
    return _parse_colon(value, whole)


def _parse_colon(value: str, whole: str) -> tuple[SelectorKind, str]:
    if value == "latest":
        return "latest", ""
    if _NUMBER.fullmatch(value):
        return "number", value
    if value[0] in "^~":
        return "range", Range.parse(value).text
    if value[0].isdigit() and "." in value:
        return "semver", str(SemVer.parse(value))
    msg = f"{shown(value)} in the reference {shown(whole)} is no version number, SemVer or range."
    raise InvalidRequest(msg, hint=_HINT)


def _stage(value: str, whole: str) -> str:
    if value not in STAGES:
        msg = f"{shown(value)} in the reference {shown(whole)} is not a stage."
        raise InvalidRequest(msg, hint="Stages are " + ", ".join(STAGES) + ".")
    return value


def _digest(value: str, whole: str) -> str:
    if not _HEX.fullmatch(value.removeprefix("sha256:")):
        msg = f"The digest in {shown(whole)} is not 6 to 64 lowercase hexadecimal digits."
        raise InvalidRequest(msg, hint="Copy it from 'chopmark get NAME --json'.")
    return value


def _parse_mlflow(text: str, project: str) -> Ref:
    rest = text.removeprefix(_MLFLOW)
    if "@" in rest:
        name, _, alias = rest.partition("@")
        return Ref(*_model_fields(name, project), "alias", check_alias(alias))
    name, slash, value = rest.rpartition("/")
    if not slash or not name:
        msg = f"{shown(text)} names a model but no version."
        raise InvalidRequest(msg, hint="Write models:/NAME/7 or models:/NAME@alias.")
    model = _model_fields(name, project)
    if value.lower() in STAGES:
        return Ref(*model, "stage", value.lower())
    kind, checked = _parse_colon(value, text) if value else ("latest", "")
    return Ref(*model, kind, checked)


def _model_fields(name: str, project: str) -> tuple[str, str]:
    model = parse_model(name, project)
    return model.project, model.name


def _check_length(text: object) -> None:
    if not isinstance(text, str):
        msg = f"A reference is a text, not a {type(text).__name__}."
        raise InvalidRequest(msg, hint=_HINT)
    if len(text) > _LENGTH_MAX:
        msg = f"The reference {shown(text)} has {len(text):,} characters."
        raise InvalidRequest(msg, hint=f"The limit is {_LENGTH_MAX}.")


_HINT = (
    "References look like fraud, fraud:7, fraud:1.4.2, fraud:^1.4, fraud:latest, fraud@champion, "
    "fraud#production or fraud@sha256:ab12cd."
)
