"""MLflow's scoring protocol, ``POST /invocations``.

One of ``dataframe_split``, ``dataframe_records``, ``instances`` and ``inputs`` in JSON, or CSV with a header. ``params`` is accepted
and left aside, as a registered version takes none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from chopmark.gateway.protocols.asked import Asked, Limits, Unreadable
from chopmark.gateway.protocols.delimited import is_delimited, read_delimited
from chopmark.gateway.protocols.errors import refused_as_mlflow as refused
from chopmark.gateway.protocols.json_bodies import check_json, read_json
from chopmark.gateway.protocols.plans import plan_of
from chopmark.gateway.protocols.predictions import write

if TYPE_CHECKING:
    from chopmark.abc.predicting import Inputs, Layout

__all__ = ["read", "refused", "write"]

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class _Split(msgspec.Struct, frozen=True):
    data: list[Any]
    columns: list[str | int] | None = None
    index: list[Any] | None = None


class _Sent(msgspec.Struct, frozen=True):
    dataframe_split: _Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: list[Any] | None = None
    inputs: dict[str, Any] | list[Any] | None = None
    params: dict[str, Any] | None = None


def read(body: bytes, headers: Mapping[bytes, bytes], layout: Layout, limits: Limits) -> Asked:
    """A request as the layout wants it; see `chopmark.gateway.protocols.asked`."""
    content_type = headers.get(b"content-type", b"")
    if is_delimited(content_type):
        return read_delimited(body, layout, limits)
    check_json(content_type)
    sent = read_json(body, _Sent)
    given = [form for form in _FORMS if getattr(sent, form) is not None]
    if len(given) != 1:
        has = f"both {given[0]} and {given[1]}" if given else f"none of {', '.join(_FORMS)}"
        raise Unreadable(f"The body has {has}.", hint="Send exactly one of them.")
    inputs = _inputs(sent, layout, limits)
    return Asked(inputs, _rows(inputs))


def _inputs(sent: _Sent, layout: Layout, limits: Limits) -> Inputs:
    plan, most = plan_of(layout), limits.elements_max
    split = sent.dataframe_split
    if split is not None:
        columns = split.columns if split.columns is not None else _numbers(split.data)
        return plan.of_table(columns, split.data, most)
    if isinstance(sent.inputs, dict):
        return plan.of_columns(sent.inputs, most)
    rows = sent.dataframe_records or sent.instances or sent.inputs or []
    return plan.of_rows(rows, most)


def _numbers(rows: list[Any]) -> list[str | int]:
    """A header for columns without names."""
    return list(range(len(rows[0]))) if rows and isinstance(rows[0], list) else []


def _rows(inputs: Inputs) -> int:
    return len(next(iter(inputs.values())) if isinstance(inputs, dict) else inputs)
