"""The tables of monitors and alerts: defined apart from `chopmark.catalog.schema`, which calls this."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import BigInteger, Column, SmallInteger, Table, Text, UniqueConstraint

from chopmark.catalog.columns import KEY, UID, TablesInMaking, column, optional

__all__ = ["MonitorTables", "define_monitors"]


class MonitorTables(NamedTuple):
    """Monitors, and alerts."""

    monitors: Table
    alerts: Table


def define_monitors(tables: TablesInMaking) -> MonitorTables:
    """Define them among the tables under construction."""
    monitors = tables.table(
        "monitors",
        Column("key", KEY, primary_key=True),
        column("uid", UID),
        column("project"),
        column("name"),
        column("enabled", SmallInteger()),
        column("body", Text()),
        column("state", Text()),
        column("revision", BigInteger()),
        column("due_us", BigInteger()),
        column("created_us", BigInteger()),
        column("created_by"),
        column("updated_us", BigInteger()),
        column("updated_by"),
        UniqueConstraint("uid", name=f"{tables.prefix}monitors_uid"),
        UniqueConstraint("project", "name", name=f"{tables.prefix}monitors_name"),
    )
    tables.index("monitors_due", monitors.c.enabled, monitors.c.due_us)
    alerts = tables.table(
        "alerts",
        Column("key", KEY, primary_key=True),
        column("uid", UID),
        column("project"),
        # The id of the monitor, or of the rollout, whose alert it is.
        column("monitor_uid", UID),
        column("label"),
        # The same id while the alert is not resolved, else NULL: so a monitor or rollout and label have one such alert, in any database.
        optional("firing_uid", UID),
        # The endpoint's id while it is not resolved.
        optional("endpoint_uid", UID),
        optional("resolved_us", BigInteger()),
        column("body", Text()),
        UniqueConstraint("uid", name=f"{tables.prefix}alerts_uid"),
        UniqueConstraint("firing_uid", "label", name=f"{tables.prefix}alerts_firing"),
    )
    tables.index("alerts_endpoint", alerts.c.endpoint_uid)
    tables.index("alerts_monitor", alerts.c.monitor_uid, alerts.c.uid)
    tables.index("alerts_resolved", alerts.c.resolved_us)
    return MonitorTables(monitors, alerts)
