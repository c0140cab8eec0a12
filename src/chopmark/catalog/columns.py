"""Kinds of columns that tables are made of, and how what they are called may look."""

from __future__ import annotations

import re
from typing import Any, Protocol

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, Table, Text
from sqlalchemy.types import TypeEngine

from chopmark.errors import InvalidRequest

__all__ = ["HEAD_LENGTH", "KEY", "UID", "WORD", "TablesInMaking", "check_prefix", "column", "optional"]

KEY = BigInteger().with_variant(Integer, "sqlite")
WORD = Text().with_variant(Text(collation="C"), "postgresql")
UID = LargeBinary(16)

HEAD_LENGTH = 128
"""Characters of a text value that its index holds: PostgreSQL refuses index rows above 2.7 kB."""

_PREFIX = re.compile(r"(?:[a-z_][a-z0-9_]{0,29})?")


def check_prefix(text: str, what: str) -> str:
    """Return a table prefix or schema name when it needs no quoting in any database.

    Raises
    ------
    InvalidRequest
        When it is not lower-case letters, digits and ``_``, or too long.
    """
    if not _PREFIX.fullmatch(text):
        msg = f"The {what} {text[:60]!r} cannot be used."
        hint = "Use at most 30 lower-case letters, digits and '_', beginning with a letter."
        raise InvalidRequest(msg, hint=hint)
    return text


def column(name: str, kind: TypeEngine[Any] = WORD, *rest: Any) -> Column[Any]:
    """A column that is never empty."""
    return Column(name, kind, *rest, nullable=False)


def optional(name: str, kind: TypeEngine[Any]) -> Column[Any]:
    """A column that may be NULL."""
    return Column(name, kind, nullable=True)


class TablesInMaking(Protocol):
    """`chopmark.catalog.schema.Tables` as the modules see it that define some of its tables."""

    prefix: str

    def table(self, name: str, *parts: Any, clustered: bool = False, counted: bool = False) -> Table:
        """Define a table."""
        ...

    def index(self, name: str, *columns: Column[Any], **options: Any) -> None:
        """Define an index."""
        ...

    def to(self, table: Table) -> ForeignKey:
        """A reference to a row of another table, which goes with it."""
        ...
