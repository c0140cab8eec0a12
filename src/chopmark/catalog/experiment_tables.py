"""The tables of experiments: what was laid down, who was shown what, and what became of them."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Double, Integer, PrimaryKeyConstraint, Table, Text, UniqueConstraint

from chopmark.catalog.columns import KEY, UID, TablesInMaking, column, optional

__all__ = ["ExperimentTables", "define_experiments"]


class ExperimentTables(NamedTuple):
    """Experiments, exposures of units, and what was recorded of them."""

    experiments: Table
    units: Table
    outcomes: Table


def define_experiments(tables: TablesInMaking) -> ExperimentTables:
    """Define them among the tables under construction."""
    experiments = tables.table(
        "experiments",
        Column("key", KEY, primary_key=True),
        column("uid", UID),
        column("project"),
        column("name"),
        optional("endpoint_uid", UID),
        # The endpoint's id while the experiment runs on it, else NULL: so no two do, in any database.
        optional("holds_uid", UID),
        column("state"),
        column("plan", Text()),
        column("body", Text()),
        column("started_us", BigInteger()),
        column("started_by"),
        UniqueConstraint("uid", name=f"{tables.prefix}experiments_uid"),
        UniqueConstraint("project", "name", name=f"{tables.prefix}experiments_name"),
        UniqueConstraint("holds_uid", name=f"{tables.prefix}experiments_holds"),
    )
    tables.index("experiments_endpoint", experiments.c.endpoint_uid, experiments.c.started_us)
    units = tables.table(
        "experiment_units",
        column("experiment_uid", UID),
        column("unit", UID),
        column("variant", Integer()),
        column("exposed_us", BigInteger()),
        PrimaryKeyConstraint("experiment_uid", "unit"),
        clustered=True,
    )
    # Of one metric all units lie together, in the order of the table above.
    outcomes = tables.table(
        "experiment_outcomes",
        column("experiment_uid", UID),
        column("metric", Integer()),
        column("unit", UID),
        column("id", UID),
        column("at_us", BigInteger()),
        column("y", Double()),
        column("x", Double()),
        PrimaryKeyConstraint("experiment_uid", "metric", "unit", "id"),
        clustered=True,
    )
    return ExperimentTables(experiments, units, outcomes)
