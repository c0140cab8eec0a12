"""A registry with two projects, and requests of every op about either of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

import chopmark as cm
from chopmark.base.settings import Settings
from chopmark.domain.access import ROLES, Actor, Limits
from chopmark.domain.audit import AuditEvent
from chopmark.domain.deliveries import message_id, queued
from chopmark.domain.versions import Origin
from chopmark.errors import ChopmarkError
from chopmark.ops.requests import Request
from chopmark.ops.table import OPS, Op
from chopmark.ops.usage import DailyLoads
from chopmark.sdk.registry import Registry
from chopmark.wiring import LocalTransport

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = Origin(ref="fraud:1", digest="sha256:" + "0" * 64, created_by="x", created_at=NOW, exported_at=NOW)
REGISTRY = Actor("root")


def filled(transport: LocalTransport, settings: Settings, project: str) -> UUID:
    """Make a project with everything that ops are about; each name in it tells whose it is.

    Returns the id of its webhook, which nothing else names.
    """
    registry = Registry(transport, settings)
    registry.projects.create(project, description=f"{project} words")
    data = cm.DatasetRef(name=f"{project}-data", uri=f"s3://{project}/data")
    facts: dict[str, Any] = {"dataset": data, "run_id": f"{project}-run", "metrics": {f"{project}_auc": 0.9}}
    first = registry.register(f"{project}/fraud", {project: 1}, **facts, tags={project: "x"})
    second = registry.register(f"{project}/fraud", {project: 2}, dataset=data, parents=[first])
    registry.register(f"{project}/fraud", {project: 3})
    registry.register(f"{project}/gone", {project: 4})
    registry.models.delete(f"{project}/gone")
    registry.versions.evaluate(second, {"f1": 0.5}, dataset=data)
    registry.alias(f"{project}/fraud@champion", first)
    registry.promote(second, "staging", reason="r")
    registry.lineage.link(f"{project}/fraud:3", "replaces", f"{project}/fraud:2", reason="r")
    made = registry.webhooks.create(f"https://{project}.example/hook", project=project)
    with transport.catalog.writing() as tx:
        told = AuditEvent(seq=1, id=first.id, at=NOW, actor=project, event="version.registered", target=first.ref)
        tx.deliveries.add([queued(made.webhook.id, told, NOW)])
    transport.count_load(first.id)
    transport.flush()
    return made.webhook.id


def member_of(project: str, role: str, name: str = "") -> Actor:
    """Somebody with a role in one project."""
    return Actor(name or f"{role}-of-{project}", "viewer", grants={project: ROLES[role]})


def reader(project: str) -> Actor:
    """Whoever stole a token with which an administrator of a project only reads."""
    read = frozenset({"read"})
    return Actor("thief", "viewer", grants={project: read}, limits=Limits(read, project))


def _fields(project: str, version: cm.Version, webhook: UUID) -> dict[str, Any]:
    """What a field of a request is filled with, by its name."""
    return {
        "model": f"{project}/fraud",
        "ref": f"{project}/fraud:1",
        "refs": (f"{project}/fraud:1", f"{project}/fraud:2"),
        "of": f"{project}/fraud:1",
        "alias": f"{project}/fraud@champion",
        "target": f"{project}/fraud:2",
        "source": f"{project}/fraud:3",
        "relation": "replaces",
        "project": project,
        "name": project,
        "by": f"{project}_auc",
        "manifest": cm.Manifest(kind="external", config={"uri": "s3://x/y", "digest": "sha256:" + "1" * 64}),
        "dataset": f"{project}-data",
        "metrics": {"f1": 1.0},
        "stage": "staging",
        "reason": "r",
        "at": datetime(2100, 1, 1, tzinfo=UTC),
        "origin": ORIGIN,
        "loads": (DailyLoads(version=version.id, day=NOW.date()),),
        "digest": "sha256:" + "0" * 8,
        "token": "0" * 16,
        "member": "bob",
        "role": "viewer",
        "permissions": ("evaluate",),
        "kind": "integrity",
        "cron": "0 3 * * *",
        "job": version.id,
        "webhook": webhook,
        "delivery": message_id(webhook, 1),
        "prefix": "00",
    }


OF_OP: dict[str, dict[str, Any]] = {
    "model.create": {"model": "{project}/new"},
    "model.restore": {"model": "{project}/gone"},
    "model.purge": {"model": "{project}/gone"},
    "version.evaluate": {"dataset": cm.DatasetRef(name="d")},
    "version.import": {"metrics": {}},
    "version.register": {"metrics": {}},
    "version.plan": {"metrics": {}},
    "lineage.link": {"source": "{project}/fraud:3", "relation": "derived_from", "target": "{project}/fraud:1"},
    "member.set": {"kind": "actor"},
    "model.update": {"owner": "x"},
    "alias.set": {"target": "{project}/fraud:2"},
    "webhook.create": {"kind": "webhook", "url": "https://ci.example/hook"},
    "usage.list": {"ref": "{project}/fraud"},
}
"""Where an op means something else by the name of a field, or says too little without one that has a default."""


def request_of(op: Op, project: str, version: cm.Version, webhook: UUID) -> Request:
    """A request that the op can do in a project which `filled` made; a new field needs a word above."""
    values = _fields(project, version, webhook)
    needed = {f.encode_name for f in msgspec.structs.fields(op.request) if f.required}
    chosen = {name: values[name] for name in needed}
    for name, value in OF_OP.get(op.name, {}).items():
        chosen[name] = value.format(project=project) if isinstance(value, str) else value
    optional = {"project", "of"} & set(op.request.__struct_fields__)
    return op.request(**({name: values[name] for name in optional} | chosen))


def outcome(call: Callable[[], Any]) -> tuple[str, str]:
    """Name of the error, or empty, and the whole answer as text."""
    try:
        answer = call()
    except ChopmarkError as error:
        return type(error).__name__, f"{error} {error.details}"
    return "", msgspec.json.encode(answer).decode()


ALL = tuple(OPS.values())
