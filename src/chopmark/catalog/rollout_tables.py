"""The tables of rollouts: defined apart from `chopmark.catalog.schema`, which calls this."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, SmallInteger, Table, Text, UniqueConstraint

from chopmark.catalog.columns import KEY, UID, TablesInMaking, column, optional

__all__ = ["RolloutTables", "define_rollouts"]


class RolloutTables(NamedTuple):
    """Rollouts, and what happened to them."""

    rollouts: Table
    events: Table


def define_rollouts(tables: TablesInMaking) -> RolloutTables:
    """Define them among the tables under construction."""
    rollouts = tables.table(
        "rollouts",
        Column("key", KEY, primary_key=True),
        column("uid", UID),
        column("endpoint_uid", UID),
        column("project"),
        column("name"),
        column("is_open", SmallInteger()),
        column("revision", BigInteger()),
        column("created_us", BigInteger()),
        # The endpoint's id while the rollout has it to itself, else NULL: so no two have it, in any database.
        optional("holds_uid", UID),
        column("body", Text()),
        UniqueConstraint("uid", name=f"{tables.prefix}rollouts_uid"),
        UniqueConstraint("holds_uid", name=f"{tables.prefix}rollouts_holds"),
    )
    tables.index("rollouts_endpoint", rollouts.c.project, rollouts.c.name, rollouts.c.created_us)
    tables.index("rollouts_open", rollouts.c.is_open, rollouts.c.created_us)
    events = tables.table(
        "rollout_events",
        Column("rollout_key", KEY, tables.to(rollouts), nullable=False),
        column("seq", BigInteger()),
        column("body", Text()),
        PrimaryKeyConstraint("rollout_key", "seq"),
        clustered=True,
    )
    return RolloutTables(rollouts, events)
