"""Whatever stands in a column of the database, the check of the registry says so and does not fail itself."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import chopmark as cm
from chopmark.errors import IntegrityFailure

TABLES = (
    "aliases",
    "alias_moves",
    "audit_events",
    "audit_head",
    "datasets",
    "evaluations",
    "lineage_edges",
    "manifests",
    "models",
    "projects",
    "stage_moves",
    "trust_decisions",
    "version_files",
    "version_metrics",
    "version_params",
    "version_tags",
    "version_words",
    "versions",
)
VALUES = ("x'00ff'", "9223372036854775807", "'version:zz'")
# What nothing depends on: keys that only order rows, and copies for finding that other columns hold too.
UNCOMPARED = {
    "alias_moves": {"key"},
    "audit_head": {"key"},
    "datasets": {"name"},
    "evaluations": {"key", "uid", "at_us"},
    "lineage_edges": {"key"},
    "manifests": {"key"},
    "stage_moves": {"key"},
    "trust_decisions": {"key", "at_us"},
}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry's directory with a row in every table."""
    place = tmp_path_factory.mktemp("lived") / "registry"
    with cm.open(place, actor="ada") as registry:
        registry.register(
            "fraud",
            {"t": 1},
            metrics={"f1": 0.5},
            params={"depth": 1},
            tags={"team": "risk"},
            description="Finds fraud.",
            run_id="nightly",
            dataset=cm.DatasetRef("march"),
        )
        registry.register("fraud", {"t": 2}, parents=["fraud:1"])
        registry.promote("fraud:2", "staging", reason="r")
        registry.alias("fraud@champion", "fraud:2")
        registry.versions.evaluate("fraud:1", {"f1": 0.4}, dataset="april")
        registry.register("code", {"a", "b"}, format="pickle")
        registry.trust.grant("code:1", reason="read")
        registry.load("fraud:1")
    return place


def changed(place: Path, table: str, column: str, value: str) -> bool:
    """Whether the database takes that value in the table's first row."""
    with closing(sqlite3.connect(place / "chopmark.db")) as database:
        for (trigger,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            database.execute(f"drop trigger {trigger}")
        keys = ", ".join(row[1] for row in database.execute(f"pragma table_info({table})") if row[5])
        first = f"({keys}) = (select {keys} from {table} order by {keys} limit 1)"
        try:
            rows = database.execute(f"update {table} set {column} = {value} where {first}")
        except sqlite3.Error:
            return False
        database.commit()
        return rows.rowcount == 1


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_every_column_of(table: str, lived: Path, tmp_path: Path) -> None:
    place = tmp_path / "registry"
    shutil.copytree(lived, place)
    with closing(sqlite3.connect(lived / "chopmark.db")) as database:
        columns = [row[1] for row in database.execute(f"pragma table_info({table})")]
    tried, unnoticed = 0, set()
    for column in columns:
        for value in VALUES:
            shutil.copy(lived / "chopmark.db", place)
            if not changed(place, table, column, value):
                continue
            tried += 1
            try:
                with cm.open(place) as registry:
                    found = [f for f in registry.storage.check().findings if f.severity == "error"]
            except IntegrityFailure:
                continue  # it does not open at all, and says why
            assert all(f.where and f.what and f.next_step for f in found)
            if not found:
                unnoticed.add(column)
    assert tried > len(columns)
    assert unnoticed == UNCOMPARED.get(table, set())
