"""The revision of a catalog's tables: reading it, judging it, bringing it up to date."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from chopmark.catalog.migrations import COMPATIBLE_FROM, FIRST_FACTS, HEAD, first_moves, first_routing, protect_audit
from chopmark.catalog.schema import Tables
from chopmark.domain.audit import GENESIS
from chopmark.errors import Unavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Standing", "judged", "make_tables", "migrate", "revision_queries", "too_new"]

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


def make_tables(connection: Connection, tables: Tables) -> None:
    """Make all tables as they are after the last step, in the connection's transaction: an empty database needs no steps.

    Alembic, which takes the steps, costs a quarter of a second to import: more than all else that a first start does.
    """
    at = f"{tables.schema}." if tables.schema else ""
    for statement in _creation(tables, connection.dialect.name):  # who has such tables already is to be told
        connection.exec_driver_sql(statement)
    revisions = f"version_num VARCHAR(32) NOT NULL, CONSTRAINT {tables.revision_table}_pkc PRIMARY KEY (version_num)"
    facts = ", ".join(f"('{name}', '{value}')" for name, value in FIRST_FACTS.items())
    for statement in (
        f"CREATE TABLE IF NOT EXISTS {at}{tables.revision_table} ({revisions})",
        f"INSERT INTO {at}{tables.revision_table} (version_num) VALUES ('{HEAD}')",  # noqa: S608 - checked names
        f"INSERT INTO {at}{tables.audit_head.name} (key, seq, hash) VALUES (1, 0, '{GENESIS}')",  # noqa: S608
        f"INSERT INTO {at}{tables.facts.name} (name, value) VALUES {facts}",  # noqa: S608
        first_routing(at + tables.routing.name),
        first_moves(at + tables.outcome_moves.name),
        *protect_audit(tables.prefix, tables.schema, connection.dialect.name),
    ):
        connection.exec_driver_sql(statement)


@lru_cache(maxsize=8)
def _creation(tables: Tables, dialect: str) -> tuple[str, ...]:
    """SQL that makes the tables; compiling it takes ten times as long as running it."""
    from sqlalchemy import create_mock_engine

    made: list[str] = []

    def note(statement: Any, *_args: object, **_options: object) -> None:
        made.append(str(statement.compile(dialect=engine.dialect)))

    engine = create_mock_engine(f"{dialect}://" if dialect == "sqlite" else f"{dialect}+psycopg://", note)
    tables.metadata.create_all(engine, checkfirst=False)
    return tuple(made)


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
