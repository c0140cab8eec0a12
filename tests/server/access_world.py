"""A registry with two projects, and requests of every op about either of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid5

import msgspec

import chopmark as cm
from chopmark.base.settings import Settings
from chopmark.domain.access import ROLES, Actor, Limits
from chopmark.domain.alert_log import Alert
from chopmark.domain.audit import AuditEvent
from chopmark.domain.deliveries import message_id, queued
from chopmark.domain.endpoints import Endpoint, RouterReport, RoutingMark, ServedVariant
from chopmark.domain.experiments import ExperimentMetric
from chopmark.domain.monitors import Monitor, ThresholdWatch
from chopmark.domain.rollout_plans import plan_for
from chopmark.domain.versions import Origin
from chopmark.errors import ChopmarkError
from chopmark.ops.endpoints import ReportRouter, Share
from chopmark.ops.experiments import ExperimentArm, UnitRecord, UnitShown
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
    registry.access.set_member("bob", "viewer", project=project)
    made = registry.webhooks.create(f"https://{project}.example/hook", project=project)
    endpoint = registry.endpoints.create(f"{project}/api", f"{project}/fraud:3", description=f"{project} words")
    transport.call(ReportRouter(report=_report(endpoint)))
    for name in ("test", "old-test"):
        registry.experiments.start(
            f"{project}/{name}",
            control=f"{project}/fraud:1",
            treatment=f"{project}/fraud:3",
            metric="success",
            description=f"{project} words",
        )
    registry.experiments.stop(f"{project}/old-test")
    watched = registry.monitors.create(endpoint, above=0.1, description=f"{project} words")
    with transport.catalog.writing() as tx:
        tx.alerts.put(_alert(watched, project))
    aside = registry.endpoints.create(f"{project}/moved-api", f"{project}/fraud:3")
    registry.rollouts.start(aside, f"{project}/fraud:2")
    with transport.catalog.writing() as tx:
        told = AuditEvent(seq=1, id=first.id, at=NOW, actor=project, event="version.registered", target=first.ref)
        tx.deliveries.add([queued(made.webhook.id, told, NOW)])
    transport.count_load(first.id)
    transport.flush()
    return made.webhook.id


def _report(endpoint: Endpoint) -> RouterReport:
    """What a router says that serves an endpoint and no other."""
    version, now = endpoint.variants[0].version, endpoint.created_at
    served = ServedVariant(
        endpoint=endpoint.ref,
        variant="stable",
        version=version.ref,
        digest=version.digest,
        weight=10_000,
        generation=endpoint.generation,
        since=now,
    )
    return RouterReport(id=f"router-{endpoint.project[0]}", mark=RoutingMark(), started_at=now, served=(served,))


def _alert(monitor: Monitor, project: str) -> Alert:
    """That the project's monitor fires."""
    said: dict[str, Any] = {"severity": "warning", "since": NOW, "fired_at": NOW, "opened_at": NOW}
    place: dict[str, Any] = {"project": project, "monitor": monitor.name, "monitor_id": monitor.id, "on": monitor.on}
    return Alert(id=alert_of(project), message=f"{project} words", **place, **said)


def alert_of(project: str) -> UUID:
    """The id of a project's alert."""
    return uuid5(NAMESPACE_DNS, project)


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
        "endpoint": f"{project}/api",
        "experiment": f"{project}/test",
        "variants": (
            ExperimentArm(name="a", version=f"{project}/fraud:1"),
            ExperimentArm(name="b", version=f"{project}/fraud:3"),
        ),
        "control": "a",
        "max_duration_s": 2_000_000.0,
        "exposures": (UnitShown(unit=f"{project}-user"),),
        "records": (UnitRecord(unit=f"{project}-user", values={"success": 1.0}),),
        "split": (Share(version=f"{project}/fraud:2"),),
        "candidate": f"{project}/fraud:2",
        "stable": f"{project}/fraud:3",
        "plan": plan_for(),
        "command": "abort",
        "since": NOW - timedelta(hours=1),
        "minutes": (),
        "items": (),
        "baseline": f"{project}/fraud:1",
        "monitor": f"{project}/api.error_rate",
        "on": f"{project}/api",
        "rule": ThresholdWatch(threshold=0.1),
        "for_s": 60.0,
        "alert": alert_of(project),
        "report": RouterReport(id="router-0", mark=RoutingMark(), started_at=NOW),
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
    "member.set": {"role": "contributor"},
    "role.get": {"name": "viewer"},
    "model.update": {"owner": "x"},
    "alias.set": {"target": "{project}/fraud:2"},
    "webhook.create": {"kind": "webhook", "url": "https://ci.example/hook"},
    "usage.list": {"ref": "{project}/fraud"},
    "endpoint.create": {"endpoint": "{project}/new-api"},
    "experiment.start": {
        "experiment": "{project}/new-test",
        "metrics": (ExperimentMetric(name="success", role="primary"),),
    },
    "experiment.decide": {"winner": "control", "reason": "r"},
    "experiment.archive": {"experiment": "{project}/old-test"},
    "endpoint.update": {"description": "x"},
    "monitor.create": {"monitor": "{project}/new-monitor"},
    "endpoint.live": {"endpoint": "{project}/api"},
    "outcome.summary": {"endpoint": "{project}/api"},
    "outcome.trend": {"model": "{project}/fraud"},
    "rollout.get": {"endpoint": "{project}/moved-api"},
    "rollout.events": {"endpoint": "{project}/moved-api"},
    "rollout.command": {"endpoint": "{project}/moved-api"},
    "rollout.advance": {"endpoint": "{project}/moved-api"},
    "rollout.rollback": {"to": "{project}/fraud:2"},
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
