"""The revision of a catalog's tables: reading it, judging it, bringing it up to date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chopmark.catalog.migrations import COMPATIBLE_FROM, HEAD
from chopmark.catalog.schema import Tables
from chopmark.errors import Unavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Standing", "judged", "migrate", "revision_queries", "too_new"]

Standing = Literal["empty", "older", "usable", "newer"]


def judged(revision: str, compatible_from: str) -> Standing:
    """What this code can do with tables of a revision (empty: there are none).

    Tables of a newer release are usable as long as that release only added to them.
    """
    if not revision:
        return "empty"
    if revision < HEAD:
        return "older"
    if revision == HEAD or compatible_from <= HEAD:
        return "usable"
    return "newer"


def revision_queries(tables: Tables) -> tuple[str, str]:
    """SQL that reads the revision, and the oldest code that works with it."""
    schema = f"{tables.schema}." if tables.schema else ""
    return (
        f"SELECT version_num FROM {schema}{tables.revision_table}",  # noqa: S608 - checked names
        f"SELECT value FROM {schema}{tables.facts.name} WHERE name = '{COMPATIBLE_FROM}'",  # noqa: S608
    )


def too_new(where: str, revision: str) -> Unavailable:
    """The error for tables that a newer release has changed for good."""
    msg = f"{where} was written by a newer Chopmark (tables {revision}; this one knows {HEAD})."
    return Unavailable(msg, hint="Upgrade this installation: pip install -U chopmark")


def migrate(connection: Connection, tables: Tables) -> None:
    """Bring the tables up to date in the connection's transaction.

    Raises
    ------
    Unavailable
        When the steps, which are files of this program, cannot be read.
    """
    from alembic import command  # 0.1 s that an up-to-date catalog does not pay
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes.update(connection=connection, tables=tables)
    try:
        command.upgrade(config, "head")
    except OSError as error:
        msg = f"The tables could not be brought up to date: {error}. Nothing was changed."
        raise Unavailable(msg, hint="Look at the system log for errors of the disk that Chopmark is on.") from error
