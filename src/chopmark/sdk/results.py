"""Lists of results: sequences that print as a table and turn into data frames."""

from __future__ import annotations

import html
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import msgspec

from chopmark.domain.names import counted
from chopmark.domain.versions import Version
from chopmark.errors import Unsupported
from chopmark.reports.page import size_text
from chopmark.sdk.frames import typed_columns

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["Page", "records", "row_of", "words_about_unknown"]

T = TypeVar("T")

_HIDDEN = ("id", "model_id")
_FIRST = ("project", "model", "name", "number", "semver", "stage", "aliases", "format")
_SHOWN_ROWS = 20


class Page(Sequence[T], Generic[T]):
    """A page of results, in order.

    Parameters
    ----------
    items
        The results.
    cursor
        Pass it to the same call for the next page; empty on the last.
    unknown
        Keys such as ``metrics.roc_acu`` that a search names and no version has, each with those written alike.
    """

    def __init__(
        self, items: Sequence[T], cursor: str = "", unknown: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        self._items = tuple(items)
        self.cursor = cursor
        self.unknown = dict(unknown or {})

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Page[T]: ...
    def __getitem__(self, index: int | slice) -> T | Page[T]:
        if isinstance(index, slice):
            return Page(self._items[index])
        return self._items[index]

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Page) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        more = ", and there are more: pass .cursor" if self.cursor else ""
        lines = [repr(item).replace("\n", "\n  ") for item in self._items[:_SHOWN_ROWS]]
        hidden = len(self) - len(lines)
        if hidden > 0:
            lines.append(f"… {hidden} more")
        lines += [words_about_unknown(key, near) for key, near in self.unknown.items()]
        return "\n".join([f"<{counted(len(self), 'result')}{more}>", *(f"  {line}" for line in lines)])

    def records(self) -> list[dict[str, Any]]:
        """Rows as flat dictionaries: metrics, params and tags as ``metrics.x`` and so on."""
        return records(self._items)

    def to_pandas(self) -> pd.DataFrame:
        """The page as a pandas data frame, one row a result.

        Raises
        ------
        Unsupported
            When pandas is not installed.
        """
        pandas = _imported("pandas", "pandas")
        frame: pd.DataFrame = pandas.DataFrame.from_records(self.records(), columns=self._columns())
        return frame

    def to_polars(self) -> pl.DataFrame:
        """The page as a polars data frame, one row a result.

        A column whose values are of several types (``params.depth`` 8 in one version, "auto" in another)
        becomes text, what is no text as JSON; lists and mappings always do.

        Raises
        ------
        Unsupported
            When polars is not installed.
        """
        polars = _imported("polars", "polars")
        frame: pl.DataFrame = polars.DataFrame(self._typed(), infer_schema_length=None, strict=False)
        return frame

    def to_arrow(self) -> pa.Table:
        """The page as an Arrow table, one row a result.

        A column whose values are of several types (``params.depth`` 8 in one version, "auto" in another)
        becomes text, what is no text as JSON; lists and mappings always do.

        Raises
        ------
        Unsupported
            When pyarrow is not installed.
        """
        pyarrow = _imported("pyarrow", "arrow")
        return pyarrow.table(self._typed())

    def _typed(self) -> dict[str, list[Any]]:
        return typed_columns(self.records(), self._columns())

    def _columns(self) -> list[str]:
        return list(dict.fromkeys(k for row in self.records() for k in row))

    def _repr_html_(self) -> str:
        rows = [_told(item) for item in self._items[:_SHOWN_ROWS]]
        named = dict.fromkeys(c for row in rows for c in row)
        columns = [c for c in named if any(_text(row.get(c)) for row in rows)][:_COLUMNS_SHOWN]
        head = "".join(f"<th>{html.escape(c)}</th>" for c in columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_text(row.get(c)))}</td>" for c in columns) + "</tr>" for row in rows
        )
        hidden = len(self) - len(rows)
        more = f"<p>… {hidden:,} more</p>" if hidden > 0 else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


_COLUMNS_SHOWN = 14
_METRICS_SHOWN = 4
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")


def words_about_unknown(key: str, near: Sequence[str]) -> str:
    """That no version has a key, and what may have been meant."""
    question = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"No version has {key}.{question}"


def records(items: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows of results as flat dictionaries with the same keys in the same order."""
    rows = [row_of(item) for item in items]
    columns = dict.fromkeys(k for row in rows for k in row)
    ordered = [*(c for c in _FIRST if c in columns), *(c for c in columns if c not in _FIRST)]
    return [{c: row.get(c) for c in ordered} for row in rows]


def row_of(item: Any) -> dict[str, Any]:
    """One result as a flat dictionary; nested records become JSON values."""
    row: dict[str, Any] = {}
    for name in item.__struct_fields__:
        value = getattr(item, name)
        if name in _HIDDEN:
            continue
        if name in ("metrics", "params", "tags") and isinstance(value, dict):
            row |= {f"{name}.{k}": v for k, v in value.items()}
        else:
            row[name] = value if isinstance(value, datetime) else msgspec.to_builtins(value)
    return row


def _told(item: Any) -> dict[str, Any]:
    """What a table in a notebook shows of a result, by column: of a version what tells it from others."""
    if not isinstance(item, Version):
        row = row_of(item)
        return {c: row[c] for c in (*(c for c in _FIRST if c in row), *(c for c in row if c not in _FIRST))}
    metrics = [f"{name} = {_text(value)}" for name, value in item.metrics.items()]
    left = len(metrics) - _METRICS_SHOWN
    return {
        "reference": item.ref,
        "semver": item.semver,
        "stage": item.stage,
        "aliases": [f"@{alias}" for alias in item.aliases],
        "state": "" if item.state == "ready" else item.state,
        "format": item.format,
        "metrics": [*metrics[:_METRICS_SHOWN], *([f"… {left} more"] if left > 0 else [])],
        "tags": [f"{key} = {value}" if value else key for key, value in item.tags.items()],
        "size": size_text(item.size_bytes) if item.size_bytes else "",
        "made": item.created_at,
        "by": item.created_by,
        "digest": item.digest,
    }


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_text(each)}" for key, each in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return _DIGEST.sub(r"\1", str(value))


def _imported(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        msg = f"{module} is not installed."
        raise Unsupported(msg, hint=f"pip install 'chopmark[{extra}]'") from error
