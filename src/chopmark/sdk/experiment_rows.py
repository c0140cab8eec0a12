"""Rows about units of experiments, as people hand them over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, cast

from chopmark.base.clock import parse_time
from chopmark.base.jsons import converted, explained
from chopmark.domain.experiments import ExperimentMetric
from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest
from chopmark.ops.experiments import UnitRecord, UnitShown
from chopmark.sdk.row_files import FileRow

__all__ = ["MetricWish", "exposures_of", "mappings_of", "metric_of", "records_of"]

MetricWish = str | Mapping[str, Any] | ExperimentMetric

_SAID = ("unit", "request_id", "at", "id")
_HINT = 'Give rows such as {"unit": "user-1", "success": 1}, or a table with these columns.'


def mappings_of(rows: object) -> Iterable[Mapping[str, Any]]:
    """Rows as mappings, of a data frame, an Arrow table, a mapping of columns, or of what is that already."""
    table: Any = rows
    if isinstance(rows, Mapping):
        columns = {str(name): _plain_list(values) for name, values in rows.items()}
        if len({len(values) for values in columns.values()}) > 1:
            raise InvalidRequest("The columns are not of one length.", hint=_HINT)
        return (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    for method, arguments in (("to_dicts", ()), ("to_pylist", ()), ("to_dict", ("records",))):
        if hasattr(rows, method):
            return cast("Iterable[Mapping[str, Any]]", getattr(table, method)(*arguments))
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Iterable):
        raise InvalidRequest(f"A {type(rows).__name__} is no table of rows.", hint=_HINT)
    return rows


def records_of(rows: object, batch: str) -> Iterator[UnitRecord]:
    """What happened to units. One that has neither id, time nor request id is given an id, so that sending it again counts once."""
    for number, row in enumerate(mappings_of(rows)):
        place = _place(row, number)
        said = _said(row, place)
        if isinstance(row, FileRow) and not said["unit"] and not said["request_id"]:
            raise InvalidRequest(f"{_capital(place)} is of no unit.", hint=_HINT)
        if not said["id"] and said["at"] is None and not said["request_id"]:
            said["id"] = f"{batch}-{number}"
        values: dict[str, float | tuple[float, ...]] = {
            str(name): _value(value, name, place)
            for name, value in row.items()
            if name not in _SAID and not _is_missing(value)
        }
        yield UnitRecord(values=values, **said)


def exposures_of(rows: object) -> Iterator[UnitShown]:
    """Who was shown what."""
    for number, row in enumerate(mappings_of(rows)):
        place = _place(row, number)
        said = _said(row, place)
        variant = row.get("variant")
        if not said["unit"]:
            raise InvalidRequest(f"{_capital(place)} is of no unit.", hint=_HINT)
        yield UnitShown(
            unit=said["unit"],
            variant="" if _is_missing(variant) else str(variant),
            at=said["at"],
            request_id=said["request_id"],
        )


def metric_of(wish: object, role: str) -> ExperimentMetric:
    """A metric as it was wished for: by its name, its fields, or as it is."""
    fields: dict[str, Any]
    if isinstance(wish, ExperimentMetric):
        fields = {name: getattr(wish, name) for name in wish.__struct_fields__}
    elif isinstance(wish, str):
        fields = {"name": wish, **({"better": "lower"} if role == "guardrail" else {})}
    elif isinstance(wish, Mapping):
        fields = dict(wish)
    else:
        raise InvalidRequest(
            f"A {type(wish).__name__} is no metric.", hint='Give a name, or {"name": "cost", "kind": "mean"}.'
        )
    unknown = [name for name in fields if name not in ExperimentMetric.__struct_fields__]
    if unknown:
        known = ", ".join(ExperimentMetric.__struct_fields__)
        raise InvalidRequest(f"A metric has no field {unknown[0]!r}.", hint=f"It has {known}.")
    try:
        return converted({**fields, "role": role}, ExperimentMetric)
    except ValueError as error:
        raise InvalidRequest(f"The metric cannot be: {explained(error, ExperimentMetric)}.") from error


def _place(row: object, number: int) -> str:
    """Where a row stood: in its file, else by its index."""
    return row.place if isinstance(row, FileRow) else f"row {number}"


def _capital(place: str) -> str:
    return place[0].upper() + place[1:]


def _said(row: object, place: str) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise InvalidRequest(f"{_capital(place)} is a {type(row).__name__}, not a mapping.", hint=_HINT)
    texts = {name: _text(row.get(name), name, place) for name in _SAID if name != "at"}
    return {**texts, "at": _time(row.get("at"), place)}


def _text(value: Any, name: str, place: str) -> str:
    if _is_missing(value):
        return ""
    if isinstance(value, float):  # 7 and 7.0 would be two units
        raise InvalidRequest(f"{name} of {place} is {value!r}.", hint="Give texts, always in one form.")
    return str(value)


def _time(value: Any, place: str) -> datetime | None:
    if _is_missing(value):
        return None
    if isinstance(value, str):
        try:
            return parse_time(value)
        except InvalidRequest as error:
            raise InvalidRequest(f"at of {place}: {error.message}", hint=error.hint) from error
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime()
    if not isinstance(value, datetime):
        raise InvalidRequest(f"at of {place} is {shown(value)}, which is no time.", hint="Give a datetime with a zone.")
    return value


def _value(value: Any, name: object, place: str) -> float | tuple[float, float]:
    try:
        if isinstance(value, (list, tuple)):
            first, second = value
            return float(first), float(second)
        return float(value)
    except (TypeError, ValueError) as error:
        msg = f"{name} of {place} is {shown(value)}, which is no number."
        raise InvalidRequest(msg, hint="Metrics are numbers, and ratios numbers or pairs.") from error


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or (not isinstance(value, (str, list, tuple)) and value != value)  # noqa: PLR0124 - NaN


def _plain_list(values: Any) -> list[Any]:
    for method in ("to_list", "tolist", "to_pylist"):
        if hasattr(values, method):
            return cast("list[Any]", getattr(values, method)())
    return list(values)
