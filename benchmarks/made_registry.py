"""The rows of a registry of years, made up: the same each time, and spread as they are in one that grew.

Few words are common and many rare, some teams are large and many small, models take turns. Every row is made by the
functions that a registration uses, so that it has the size and the form of a real one; the events are a whole chain.
Not there is what no figure asks for: moves of stages and aliases, evaluations, loads, and the blobs themselves.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from chopmark.base.clock import to_us
from chopmark.base.ids import uuid7
from chopmark.base.jsons import encode
from chopmark.catalog.history import chained, event_row
from chopmark.catalog.records import (
    file_rows,
    json_text,
    metric_rows,
    model_row,
    param_rows,
    project_row,
    tag_rows,
    version_row,
    word_rows,
)
from chopmark.domain.audit import GENESIS, AuditEvent
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.lineage import dataset_node, run_node, version_node
from chopmark.domain.manifest import Environment, FileEntry, Manifest, manifest_digest
from chopmark.domain.versions import Model, Project, Version
from chopmark.domain.words import words_of

__all__ = ["ALIASES_A_MODEL", "VERSIONS_A_MODEL", "Rows", "batches", "model_name"]

Rows = dict[str, list[dict[str, Any]]]
"""Rows by the name of their table, each with a value for every column that the database does not fill itself."""

VERSIONS_A_MODEL = 100
ALIASES_A_MODEL = 3
WORDS_A_VERSION = 20
VOCABULARY = 50_000
TEAMS, OWNERS, DATASETS = 1_000, 10_000, 500
VERSIONS_A_BATCH = 10_000
START = datetime(2024, 1, 1, tzinfo=UTC)
STEP = timedelta(minutes=1)
STAGES = ("development",) * 90 + ("staging",) * 4 + ("production",) * 3 + ("archived",) * 3
FORMATS, FORMAT_WEIGHTS = ("skops", "onnx", "torch", "exotic"), (600_000, 300_000, 100_000, 10)
FRAMEWORKS = {"skops": "scikit-learn", "onnx": "onnx", "torch": "torch", "exotic": "none"}
WORDS_BY_TURN = (("fraud", 2), ("churn", 3), ("percent", 100), ("needle", 50_000))
"""Words of every so many versions, for searches that know how many they find."""


def model_name(index: int) -> str:
    """Name of a model by its place."""
    return f"m{index:05}"


def batches(count: int) -> Iterator[Rows]:
    """Rows of so many versions, some thousand versions at a time; what others refer to comes first."""
    model_count = max(1, count // VERSIONS_A_MODEL)
    project = Project(id=_id(START, "project"), name="default", created_at=START, created_by="ann")
    models = [_model(n, count, model_count) for n in range(model_count)]
    yield {
        "projects": [{"key": 1, **project_row(project)}],
        "models": [{"key": n + 1, "project_key": 1, **model_row(m)} for n, m in enumerate(models)],
        "datasets": [_dataset_row(n) for n in range(DATASETS)],
    }
    spread, head = random.Random(7), (0, GENESIS)
    for first in range(0, count, VERSIONS_A_BATCH):
        rows: Rows = {}
        for n in range(first, min(count, first + VERSIONS_A_BATCH)):
            model = models[n % model_count]
            head = _add(rows, _version(n, n // model_count + 1, model, spread), n, model_count, head)
        yield rows
    yield {"aliases": [row for n in range(model_count) for row in _alias_rows(n, count, model_count)]}


def _add(
    rows: Rows, made: tuple[Version, Manifest], n: int, model_count: int, head: tuple[int, str]
) -> tuple[int, str]:
    version, manifest = made
    key, created_us = n + 1, to_us(version.created_at)
    event = chained(_event(version), *head)
    node, dataset = version_node(version.id), version.datasets[0]
    edge = {"source": node, "at_us": created_us}
    by_table: dict[str, list[dict[str, Any]]] = {
        "versions": [{"key": key, "project_key": 1, "model_key": n % model_count + 1, **version_row(version)}],
        "manifests": [{"key": key, "digest": version.digest, "body": encode(manifest).decode()}],
        "version_files": file_rows(manifest, key),
        "version_metrics": list(metric_rows(version, key)),
        "version_tags": list(tag_rows(version.tags, key, created_us, version.stage)),
        "version_params": list(param_rows(version, key)),
        "version_words": list(word_rows(words_of(version), key, created_us)),
        "lineage_edges": [
            {"key": 2 * n + 1, "relation": "trained_on", "target": dataset_node(dataset), **edge},
            {"key": 2 * n + 2, "relation": "produced_by", "target": run_node(version.run_id), **edge},
        ],
        "audit_events": [event_row(event)],
        "outbox": [{"seq": key, "event": json_text(event), "delivered_us": created_us}],
    }
    for table, added in by_table.items():
        rows.setdefault(table, []).extend(added)
    return event.seq, event.hash


def _model(index: int, count: int, model_count: int) -> Model:
    name = model_name(index)
    return Model(
        id=_id(START, name),
        project="default",
        name=name,
        kind="artifact",
        last_number=(count - 1 - index) // model_count + 1,
        created_at=START,
        created_by="ann",
        updated_at=START,
    )


def _version(n: int, number: int, model: Model, spread: random.Random) -> tuple[Version, Manifest]:
    at = START + n * STEP
    (form,) = spread.choices(FORMATS, FORMAT_WEIGHTS)
    params = {
        "learning_rate": spread.choice((0.3, 0.1, 0.03, 0.01)),
        "max_depth": spread.randrange(2, 16),
        "seed": spread.randrange(2**31),
        "loss": spread.choice(("log", "hinge", "huber")),
    }
    environment = Environment(framework=FRAMEWORKS[form], framework_version="1.5.2", python="3.11.7")
    file = FileEntry(f"model.{form}", "weights", 10_000 + n % 1_000, _digest(f"blob {n}"))
    manifest = Manifest(kind="artifact", format=form, files=(file,), params=params, environment=environment)
    team = f"team{int(spread.paretovariate(0.7)) % TEAMS}"
    version = Version(
        id=_id(at, f"version {n}"),
        model_id=model.id,
        project=model.project,
        model=model.name,
        number=number,
        semver=f"1.{number}.0",
        digest=manifest_digest(manifest),
        kind="artifact",
        stage=spread.choice(STAGES),
        stage_since=at,
        format=form,
        size_bytes=file.size_bytes,
        file_count=1,
        metrics={name: round(spread.random(), 4) for name in ("auc", "f1", "recall")},
        params=params,
        environment=environment,
        datasets=(_dataset(n % DATASETS),),
        run_id=f"run{n}",
        owner=f"owner{int(spread.paretovariate(0.5)) % OWNERS}",
        team=f"team{int(spread.paretovariate(0.7)) % TEAMS}",
        task="classification",
        created_at=at,
        created_by="ann",
        updated_at=at,
        description=_description(n, spread),
        tags={"team": team, "region": f"region{n % 7}"},
    )
    return version, manifest


def _description(n: int, spread: random.Random) -> str:
    words = [f"w{int(spread.paretovariate(0.6)) % VOCABULARY}" for _ in range(WORDS_A_VERSION)]
    words += [word for word, every in WORDS_BY_TURN if n % every == 1]
    # two pairs of common words: one seldom meets, the other never
    words += ["odd" if n % 2 else "even", *(["odd"] if n % 20_000 == 0 else []), "never" if n % 2 else "ever"]
    return " ".join(words)


def _dataset(index: int) -> DatasetRef:
    return DatasetRef(name=f"payments-{index}", digest=_digest(f"data {index}"), split="train", row_count=1_000)


def _dataset_row(index: int) -> dict[str, Any]:
    dataset = _dataset(index)
    body = json_text(dataset)
    return {"node": dataset_node(dataset), "name": dataset.name, "at_us": to_us(START), "body": body}


def _event(version: Version) -> AuditEvent:
    data = {"digest": version.digest, "semver": version.semver, "kind": version.kind, "format": version.format}
    return AuditEvent(
        seq=0,
        id=_id(version.created_at, f"event {version.ref}"),
        at=version.created_at,
        actor="ann",
        event="version.registered",
        target=version.ref,
        data=data,
    )


def _alias_rows(model: int, count: int, model_count: int) -> Iterator[dict[str, Any]]:
    last = (count - 1 - model) // model_count
    for back, name in enumerate(("champion", "challenger", "previous")[:ALIASES_A_MODEL]):
        yield {
            "model_key": model + 1,
            "name": name,
            "version_key": max(0, last - back) * model_count + model + 1,
            "protected": 0,
            "updated_us": to_us(START),
            "updated_by": "ann",
        }


def _id(at: datetime, what: str) -> UUID:
    return uuid7(at, lambda size: hashlib.sha256(what.encode()).digest()[:size])


def _digest(what: str) -> str:
    return "sha256:" + hashlib.sha256(what.encode()).hexdigest()
