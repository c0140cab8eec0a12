"""What a caller says of the thing that they change: that it is still as they saw it, or that it is not there yet."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from chopmark.abc.catalog import Transaction
from chopmark.base.jsons import encode
from chopmark.domain.endpoints import Endpoint
from chopmark.domain.names import shown
from chopmark.domain.refs import parse_model
from chopmark.domain.versions import Alias, Model, Project, Version
from chopmark.errors import InvalidRequest, NotFound, PreconditionFailed
from chopmark.ops.http import etag_of, path_fields
from chopmark.ops.requests import Request
from chopmark.ops.table import OPS, Op

__all__ = ["Precondition", "precondition", "reading_of", "take_turn"]

_TAG = re.compile(r'"[!#-~]*"')

_BY_ROW = frozenset(("project.get", "model.get", "version.get", "alias.get", "endpoint.get"))
"""Verbs that read what has a row whose lock all take who change it. Who changes anything else waits for others by its name."""


class Precondition(NamedTuple):
    """What is to hold for an op to go on.

    Attributes
    ----------
    tags
        Entity tags, one of which the thing has; ``*`` for whatever it is; none when it may have changed.
    absent
        Whether it is only made, and not changed when it is there.
    """

    tags: frozenset[str] = frozenset()
    absent: bool = False

    @property
    def is_said(self) -> bool:
        """Whether there is anything to check."""
        return self.absent or bool(self.tags)

    def check(self, tx: Transaction, request: Request, read: Callable[[], Any], *, may_be_gone: bool) -> None:
        """Refuse to change what is no longer what the caller saw, and keep it as it is until the transaction ends.

        Parameters
        ----------
        tx, request
            Where it is changed, and how.
        read
            Reads it.
        may_be_gone
            Whether the op would make it where it is not: then that it is not there is no fault but a change.

        Raises
        ------
        PreconditionFailed
            When it has another tag by now, or is there although it is only to be made.
        """
        if self.absent:
            _check_absent(tx, request, read)
        elif self.tags:
            _check_unchanged(tx, self.tags, read, may_be_gone=may_be_gone)


def precondition(op: Op, expected: str, *, absent: bool) -> Precondition:
    """What a caller asks for.

    Parameters
    ----------
    op
        What they call.
    expected
        Entity tags with commas between, or ``*``; empty for none.
    absent
        Whether it is only made.

    Raises
    ------
    InvalidRequest
        When the op changes nothing that can be read by the same name, or makes nothing at the place that it names.
    PreconditionFailed
        When a tag is none that anything could have.
    """
    tags = frozenset(filter(None, (each.strip() for each in expected.split(","))))
    if tags and not op.moves:
        raise InvalidRequest(f"{op.name} takes no entity tag: it changes nothing that can be read by the same name.")
    for tag in tags:
        _check_tag(tag)
    if absent and not (op.method == "PUT" and op.moves and OPS[op.moves].path == op.path):
        raise InvalidRequest(f"{op.name} takes no If-None-Match: it makes nothing at the place that it names.")
    return Precondition(tags, absent)


def _check_tag(tag: str) -> None:
    if tag == "*" or _TAG.fullmatch(tag):
        return
    hint = "Send the ETag as the server gave it, in its quotation marks."
    if _TAG.fullmatch(tag.removeprefix("W/")):
        raise PreconditionFailed(
            f"{shown(tag)} is a weak tag: a proxy that packs answers makes such of ours.", hint=hint
        )
    raise PreconditionFailed(f"{shown(tag)} is no entity tag.", hint=hint)


def reading_of(op: Op, request: Request) -> tuple[Op, Request]:
    """The verb that reads what an op changes, and what it is asked with."""
    reading = OPS[op.moves]
    return reading, reading.request(**{field: getattr(request, field) for field in path_fields(reading)})


def take_turn(tx: Transaction, op: Op, request: Request) -> None:
    """Wait for others who change the same, where no row says so; all that changes it comes through here."""
    if op.moves and op.moves not in _BY_ROW:
        reading, asked = reading_of(op, request)
        tx.lock("\0".join([reading.name, *(str(getattr(asked, field)) for field in path_fields(reading))]))


def _check_unchanged(tx: Transaction, tags: frozenset[str], read: Callable[[], Any], *, may_be_gone: bool) -> None:
    try:
        found = read()
    except NotFound as error:
        if not may_be_gone:
            raise
        raise PreconditionFailed("There is nothing yet of what you saw.", hint=error.message) from error
    if _lock_row(tx, found):
        found = read()
    if "*" not in tags and etag_of(encode(found)) not in tags:
        raise PreconditionFailed(
            f"{_name(found)} is no longer what you saw: it was changed.", hint="Look at it again, then decide."
        )


def _lock_row(tx: Transaction, found: Any) -> bool:
    """Lock the row that stands for what was found; False for what is known by its name, and was locked by that."""
    match found:
        case Project():
            tx.projects.lock(found.name)
        case Endpoint():
            tx.endpoints.lock(found.project, found.name)
        case Model():
            tx.models.lock(found.project, found.name)
        case Version() | Alias():
            tx.models.lock(found.project, found.model)
        case _:
            return False
    return True


def _check_absent(tx: Transaction, request: Request, read: Callable[[], Any]) -> None:
    """Refuse to change what is there already, and keep others from making it until the transaction ends."""
    alias = getattr(request, "alias", "")
    if alias:
        model = parse_model(alias.partition("@")[0])
        tx.models.lock(model.project, model.name)
    with suppress(NotFound):
        found = read()
        raise PreconditionFailed(
            f"{_name(found)} is there already.", hint="Look at it, then decide whether to change it."
        )


def _name(found: Any) -> str:
    said = (getattr(found, field, "") for field in ("ref", "name", "member", "id"))
    return str(next(filter(None, said), found))
