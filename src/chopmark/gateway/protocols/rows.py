"""The plain protocol, ``POST /predict/{endpoint}``: rows of JSON, or of CSV.

One of these, and what else is in the body is left aside::

    {"rows": [{"amount": 1.0, "country": "CH"}, …]}    by the names of the columns
    {"rows": [[1.0, "CH"], …]}                         in the order of the columns
    {"row": {"amount": 1.0, "country": "CH"}}          one row
    [{"amount": 1.0, "country": "CH"}, …]              the rows alone

``outputs`` names what is wanted other than what the model gives by itself, and ``id`` is given back.

A body of ``text/csv`` is a header and a line for each row. It is a body of its own and no text within JSON, so that a file can be sent
as it is (``curl --data-binary @rows.csv``); what it has no place for, ``outputs``, stands in a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from chopmark.gateway.protocols.asked import Asked, Limits, Unreadable
from chopmark.gateway.protocols.delimited import is_delimited, read_delimited
from chopmark.gateway.protocols.errors import refused
from chopmark.gateway.protocols.json_bodies import check_json, read_json
from chopmark.gateway.protocols.plans import plan_of
from chopmark.gateway.protocols.predictions import write

if TYPE_CHECKING:
    from chopmark.abc.predicting import Layout

__all__ = ["OUTPUTS_HEADER", "read", "refused", "write"]

OUTPUTS_HEADER = b"x-chopmark-outputs"
"""Names of outputs with commas between them, percent-encoded, for a body of CSV."""

_HINT = 'Send {"rows": [{"amount": 1.0}]}, a mapping for each row.'


class _SentRows(msgspec.Struct, frozen=True):
    rows: list[Any] | None = None
    row: dict[str, Any] | list[Any] | None = None
    outputs: list[str] | None = None
    id: str | None = None


def read(body: bytes, headers: Mapping[bytes, bytes], layout: Layout, limits: Limits) -> Asked:
    """A request as the layout wants it; see `chopmark.gateway.protocols.asked`."""
    content_type, plan = headers.get(b"content-type", b""), plan_of(layout)
    if is_delimited(content_type):
        wanted = headers.get(OUTPUTS_HEADER)
        return read_delimited(body, layout, limits, plan.check_outputs(_listed(wanted)) if wanted else ())
    check_json(content_type)
    sent = _sent(body)
    rows = sent.rows
    if rows is None:
        if sent.row is None:
            raise Unreadable("The body has neither rows nor a row.", hint=_HINT)
        rows = [sent.row]
    elif sent.row is not None:
        raise Unreadable("The body has both rows and a row.", hint="Send one of them.")
    names = plan.check_outputs(sent.outputs) if sent.outputs else ()
    return Asked(plan.of_rows(rows, limits.elements_max), len(rows), names, sent.id or "")


def _sent(body: bytes) -> _SentRows:
    first = body[:64].lstrip()[:1]
    if first == b"[":
        return _SentRows(rows=read_json(body, list))
    if first not in (b"{", b""):
        raise Unreadable("The body is neither a mapping nor a list of JSON.", hint=_HINT)
    return read_json(body, _SentRows)


def _listed(names: bytes) -> list[str]:
    return [unquote(name.strip()) for name in names.decode("latin-1").split(",")]
