"""The tables of outcomes that grew old, of feedback and of profiles: defined apart from `chopmark.catalog.schema`, which calls this."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Double, LargeBinary, PrimaryKeyConstraint, SmallInteger, Table

from chopmark.catalog.columns import UID, WORD, TablesInMaking, column, optional

__all__ = ["OutcomeTables", "define_outcomes"]


class OutcomeTables(NamedTuple):
    """Hours and days, how far minutes and hours were moved into them, feedback, profiles by hour."""

    tiers: Table
    moves: Table
    feedback: Table
    profiles: Table


def define_outcomes(tables: TablesInMaking) -> OutcomeTables:
    """Define them among the tables under construction."""
    return OutcomeTables(_tiers(tables), _moves(tables), _feedback(tables), _profiles(tables))


def _tiers(tables: TablesInMaking) -> Table:
    tiers = tables.table(
        "outcome_tiers",
        column("endpoint_uid", UID),
        column("grain"),
        column("window_us", BigInteger()),
        column("version_uid", UID),
        column("variant"),
        # Packed JSON: counts of a sketch are mostly zeros.
        column("body", LargeBinary()),
        PrimaryKeyConstraint("endpoint_uid", "grain", "window_us", "version_uid", "variant"),
        clustered=True,
    )
    tables.index("outcome_tiers_window", tiers.c.grain, tiers.c.window_us)
    return tiers


def _moves(tables: TablesInMaking) -> Table:
    """A row for each grain, locked by whoever moves its windows; those who add to them share it."""
    return tables.table("outcome_moves", Column("grain", WORD, primary_key=True), column("upto_us", BigInteger()))


def _feedback(tables: TablesInMaking) -> Table:
    feedback = tables.table(
        "feedback",
        column("endpoint_uid", UID),
        column("asked_us", BigInteger()),
        # The mark of the request id.
        column("request", LargeBinary()),
        column("version_uid", UID),
        column("variant"),
        column("said_us", BigInteger()),
        # Of what was said at the same time the higher one stays.
        column("tie", BigInteger()),
        column("label"),
        column("prediction"),
        optional("is_right", SmallInteger()),
        optional("error", Double()),
        column("is_number", SmallInteger()),
        optional("value", Double()),
        PrimaryKeyConstraint("endpoint_uid", "asked_us", "request"),
        clustered=True,
    )
    tables.index("feedback_asked", feedback.c.asked_us)
    return feedback


def _profiles(tables: TablesInMaking) -> Table:
    profiles = tables.table(
        "profile_counts",
        column("endpoint_uid", UID),
        column("window_us", BigInteger()),
        column("version_uid", UID),
        column("variant"),
        column("router"),
        column("body", LargeBinary()),
        PrimaryKeyConstraint("endpoint_uid", "window_us", "version_uid", "variant", "router"),
        clustered=True,
    )
    tables.index("profile_counts_window", profiles.c.window_us)
    return profiles
