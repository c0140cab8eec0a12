"""A damaged catalog says so: never an error of a library, never one that tells of our code."""

import random
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from msgspec import structs

from chopmark.abc.catalog import Catalog, StoredAnswer, Transaction
from chopmark.base.jsons import encode
from chopmark.catalog import open_catalog
from chopmark.catalog.schema import Tables
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.lineage import Edge
from chopmark.domain.profile_windows import without_columns
from chopmark.domain.query import parse_query
from chopmark.domain.versions import Deprecation, Evaluation, Model, TrustDecision, Version
from chopmark.errors import ChopmarkError, IntegrityFailure
from chopmark.testing.catalog_monitors import a_monitor, a_state, an_alert
from chopmark.testing.catalog_outcomes import a_profile, said
from chopmark.testing.catalog_records import Records
from chopmark.testing.catalog_rollouts import a_rollout, an_event
from chopmark.testing.catalog_routing import MINUTE, NOON, a_report, a_window, an_endpoint

ENDPOINT = UUID(int=1)
ROLLOUT = UUID(int=2)
BAD = (b"\xff\xfe", "{", "[1]", -(2**62), 1.5)
Filled = tuple[Model, Version]


def fill(catalog: Catalog) -> Filled:
    records = Records()
    with catalog.writing() as tx:
        model = records.add_model(tx)
        version = records.add_version(tx, model, 1, metrics={"auc": 0.5}, params={"c": 1}, tags={"team": "risk"})
        deprecation = Deprecation(reason="old", at=records.now())
        records.add_version(tx, model, 2, deprecation=deprecation)
        tx.aliases.put(model.id, records.alias(model, "champion", 1))
        tx.aliases.record(model.id, records.alias_move(model, "champion", 1, None))
        tx.stages.record(version.id, records.stage_move(version, "staging"))
        tx.lineage.insert([Edge(source="a:1", relation="derived_from", target="b:2", at=records.now())])
        tx.trust.insert(TrustDecision(digest=version.digest, actor="ann", at=records.now()))
        evaluation = Evaluation(
            id=records.id(),
            project=model.project,
            model=model.name,
            number=1,
            dataset=DatasetRef(name="holdout"),
            metrics={"auc": 0.5},
            actor="ann",
            at=records.now(),
        )
        tx.evaluations.insert(version.id, evaluation)
        tx.outbox.add(records.event())
        tx.endpoints.insert(an_endpoint(id=ENDPOINT))
        tx.routers.put(a_report(), NOON)
        tx.outcomes.put("r1", [a_window(ENDPOINT)])
        tx.outcome_tiers.put("hour", [a_window(ENDPOINT)])
        tx.feedback.put([said(ENDPOINT, value=1.5)])
        tx.profile_counts.put("r1", [a_profile(ENDPOINT)])
        tx.rollouts.insert(a_rollout(id=ROLLOUT))
        tx.rollouts.append([an_event(ROLLOUT)])
        tx.monitors.insert(a_monitor(), a_state(), NOON)
        tx.alerts.put(an_alert())
        tx.idempotency.put("ann", "key", "op", StoredAnswer("sha256:00", b"answer", records.now()))
        tx.audit.append(records.event(n=1))
    return model, version


def read_all(tx: Transaction, filled: Filled) -> list[Callable[[], object]]:
    model, version = filled
    return [
        lambda: tx.projects.list(limit=9),
        lambda: tx.models.list(project=None, limit=9),
        lambda: tx.versions.in_model(model.id, limit=9, deleted=True),
        lambda: tx.versions.search(parse_query("metrics.auc > 0.1"), limit=9),
        lambda: tx.versions.search(parse_query("params.c = 1"), limit=9),
        lambda: tx.versions.search(parse_query("tags.team = 'risk'"), limit=9),
        lambda: tx.versions.latest(model.id),
        lambda: list(tx.versions.referenced_blobs()),
        lambda: tx.manifests.get(version.digest),
        lambda: tx.aliases.list(model.id),
        lambda: tx.aliases.version(model.id, "champion"),
        lambda: tx.aliases.history(model.id, "champion", limit=9),
        lambda: tx.stages.history(version.id, limit=9),
        lambda: tx.evaluations.list(version.id, limit=9),
        lambda: tx.lineage.outgoing("a:1"),
        lambda: tx.lineage.incoming("b:2"),
        lambda: tx.trust.get(version.digest),
        lambda: tx.audit.list(limit=9),
        tx.audit.head,
        lambda: tx.outbox.pending(limit=9),
        lambda: tx.idempotency.get("ann", "key"),
        lambda: tx.endpoints.get("risk", "fraud-api"),
        lambda: tx.endpoints.list(limit=9),
        tx.routing.mark,
        lambda: tx.routers.list(limit=9),
        lambda: tx.outcomes.list(ENDPOINT, since=NOON, until=NOON + MINUTE, limit=9),
        lambda: tx.outcomes.oldest(before=NOON + MINUTE, limit=9),
        lambda: tx.outcome_tiers.list(ENDPOINT, "hour", since=NOON, until=NOON + MINUTE, limit=9),
        lambda: tx.outcome_tiers.oldest("hour", before=NOON + MINUTE, limit=9),
        lambda: tx.outcome_tiers.moved_to("minute"),
        lambda: tx.feedback.totals(ENDPOINT, since=NOON, until=NOON + MINUTE),
        lambda: tx.feedback.confused(ENDPOINT, since=NOON, until=NOON + MINUTE, limit=9),
        lambda: tx.profile_counts.list(ENDPOINT, since=NOON, until=NOON + MINUTE, limit=9),
        lambda: tx.profile_counts.answers(ENDPOINT, since=NOON, until=NOON + MINUTE, limit=9),
        lambda: tx.monitors.list(limit=9),
        lambda: tx.monitors.due(NOON, NOON, limit=9),
        lambda: tx.alerts.list(limit=9),
        lambda: tx.rollouts.list(limit=9),
        lambda: tx.rollouts.events(ROLLOUT, limit=9),
    ]


def damages_in(catalog: Catalog, filled: Filled) -> int:
    """How many readings tell of damage; any error of another kind comes through."""
    told = 0
    with catalog.reading() as tx:
        for read in read_all(tx, filled):
            try:
                read()
            except IntegrityFailure as error:
                told += bool(error.hint)
    return told


def damages(path: Path, filled: Filled) -> int:
    try:
        catalog = open_catalog(str(path), lock_timeout_s=1)
    except IntegrityFailure:
        return 1
    try:
        return damages_in(catalog, filled)
    finally:
        catalog.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Filled]:
    """A catalog that is not damaged, for copies of it."""
    path = tmp_path_factory.mktemp("whole") / "catalog.db"
    catalog = open_catalog(str(path))
    filled = fill(catalog)
    catalog.close()
    assert damages(path, filled) == 0
    return path, filled


@pytest.fixture
def filled(whole: tuple[Path, Filled], path: Path) -> Filled:
    shutil.copytree(whole[0].parent, path.parent, dirs_exist_ok=True)
    return whole[1]


def raw(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f'DROP TRIGGER "{name}"')
    return connection


SURE = [
    ("versions", "body"),
    ("versions", "tags"),
    ("versions", "deprecation"),
    ("models", "tags"),
    ("projects", "rules"),
    ("manifests", "body"),
    ("audit_events", "data"),
    ("evaluations", "body"),
    ("trust_decisions", "body"),
    ("outbox", "event"),
    ("endpoints", "body"),
    ("routers", "body"),
    ("outcomes", "body"),
    ("outcome_tiers", "body"),
    ("profile_counts", "body"),
    ("monitors", "body"),
    ("monitors", "state"),
    ("alerts", "body"),
]


@pytest.mark.parametrize(("table", "column"), SURE)
def test_a_broken_text_is_told(path: Path, filled: Filled, table: str, column: str) -> None:
    connection = raw(path)
    for bad in (*BAD, '{"x": '):
        connection.execute(f"UPDATE {table} SET {column} = ?", (bad,))
        assert damages(path, filled) > 0
    connection.close()


@pytest.mark.parametrize("table", sorted(t.name for t in Tables("", "").metadata.tables.values()))
def test_any_value_in_any_column(path: Path, filled: Filled, table: str) -> None:
    connection = raw(path)
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    assert columns
    catalog = open_catalog(str(path))
    for column in columns:
        for bad in (*BAD, None):
            with suppress(sqlite3.IntegrityError):  # what the table's own rules keep out
                connection.execute(f"UPDATE {table} SET {column} = ?", (bad,))
            damages_in(catalog, filled)
    catalog.close()
    connection.close()


@pytest.mark.parametrize("table", ["versions", "models", "manifests", "audit_events", "audit_head", "alembic_version"])
def test_a_table_that_is_gone(path: Path, filled: Filled, table: str) -> None:
    connection = raw(path)
    name = table if table != "alembic_version" else Tables("", "").revision_table
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(f"DROP TABLE {name}")
    connection.close()
    assert damages(path, filled) > 0


def test_a_byte_that_flipped(path: Path, filled: Filled) -> None:
    whole, chance, told = path.read_bytes(), random.Random(7), 0
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        for beside in path.parent.glob("*-wal"), path.parent.glob("*-shm"):
            for leftover in beside:
                leftover.unlink()
        try:
            told += damages(path, filled) > 0
        except ChopmarkError:  # the version of the file's format, say, which is another's business
            told += 1
    assert told > 0


@pytest.mark.usefixtures("filled")
def test_a_profile_of_requests_whose_columns_are_not_its_own(path: Path) -> None:
    """They are packed apart; a row of before that was so has them in one, and is read as well."""
    window = a_profile(ENDPOINT)
    head = zlib.compress(encode(structs.replace(window.counts, columns=())))
    other = zlib.compress(encode(a_profile(ENDPOINT, ages=[1.0] * 9).counts.columns))
    connection, catalog = raw(path), open_catalog(str(path))
    for body, is_well in (
        (zlib.compress(encode(window.counts)), True),
        (head + other, False),
        (head + other[:-4], False),
    ):
        connection.execute("UPDATE profile_counts SET body = ?", (body,))
        with catalog.reading() as tx:
            (bare,) = tx.profile_counts.answers(ENDPOINT, since=NOON, until=NOON + MINUTE, limit=9)
            assert bare.window == without_columns(window)
            if is_well:
                (found,) = tx.profile_counts.list(ENDPOINT, since=NOON, until=NOON + MINUTE, limit=9)
                assert found.window == window
            else:
                with pytest.raises(IntegrityFailure):
                    tx.profile_counts.list(ENDPOINT, since=NOON, until=NOON + MINUTE, limit=9)
    catalog.close()
    connection.close()
