"""What somebody changes in the database by hand differs from the records, wherever no other check could notice."""

import shutil
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from tests.sdk.life import live

CHANGES = {
    "a decision that nobody took": (
        "insert into trust_decisions (digest, at_us, body) select v.digest, 1, "
        "json_object('digest', v.digest, 'names', json_array(), 'basis', 'person', 'actor', 'eve', "
        "'at', '2026-01-01T00:00:00Z', 'reason', '') from versions v where v.format = 'json'"
    ),
    "a decision taken away": "delete from trust_decisions",
    "a whole version": "delete from versions where number = 2 and model_key = (select key from models where name = 'tmp')",
    "a metric, everywhere": (
        "update versions set body = replace(body, '0.91', '0.99'); update version_metrics set value = 0.99 where value = 0.91"
    ),
    "a model's owner": "update models set owner = 'eve' where name = 'fraud'",
    "what a model keeps": "update models set retention = '{\"newest\":1}' where name = 'fraud'",
    "a model's last number": "update models set last_number = 9 where name = 'fraud'",
    "a model's deletion": "update models set deleted_us = 1 where name = 'bot'",
    "a project's rules": "update projects set rules = '{}' where name = 'risk'",
    "an alias's protection": "update aliases set protected = 0 where name = 'old'",
    "an evaluation": "update evaluations set body = replace(body, '0.8', '0.95')",
    "an evaluation taken away": "delete from evaluations where key = (select min(key) from evaluations)",
    "an edge": "update lineage_edges set relation = 'derived_from' where relation = 'replaces'",
    "an edge taken away": "delete from lineage_edges where relation = 'trained_on'",
    "a data set": "update datasets set body = replace(body, 'june', 'july')",
    "a reason": "update stage_moves set reason = 'because' where reason = 'looks good'",
    "who moved an alias": "update alias_moves set actor = 'eve' where reason = 'better'",
    "when a version was deleted": "update versions set deleted_us = 1 where deleted_us is not null",
    "a description": "update versions set description = 'nothing' where description = 'changed'",
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with a past."""
    place = tmp_path_factory.mktemp("lived") / "registry"
    with cm.open(place, clock=FakeClock(step=timedelta(seconds=1)), actor="ada") as registry:
        live(registry)
    return place


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_by_hand_differs_from_the_records(template: Path, tmp_path: Path, change: str) -> None:
    place = tmp_path / "registry"
    shutil.copytree(template, place)
    with cm.open(place) as registry:
        assert [f for f in registry.storage.check().findings if f.severity != "info"] == []
    with sqlite3.connect(place / "chopmark.db") as database:
        before = database.total_changes
        for statement in CHANGES[change].split("; "):
            database.execute(statement)
        assert database.total_changes > before, "the change changed nothing"
    database.close()
    with cm.open(place) as registry:
        found = registry.storage.check()
        assert "record_differs" in {f.code for f in found.findings}
        assert not found.ok
        assert all(f.code != "record_differs" for f in registry.storage.check(content=False).findings)
