"""The one door: every op has a handler, asks its permission, writes one transaction."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from msgspec.structs import replace

import chopmark as cm
from chopmark.app.handlers import HANDLERS
from chopmark.domain.access import ROLES
from chopmark.domain.experiments import ExperimentMetric
from chopmark.domain.monitors import ThresholdWatch
from chopmark.domain.rollout_plans import plan_for
from chopmark.domain.versions import Origin
from chopmark.errors import Conflict, Denied, InvalidRequest, Unsupported
from chopmark.ops import access as w
from chopmark.ops import endpoints as e
from chopmark.ops import experiments as x
from chopmark.ops import jobs as j
from chopmark.ops import lineage as n
from chopmark.ops import monitors as m
from chopmark.ops import requests as q
from chopmark.ops import rollouts as o
from chopmark.ops import webhooks as h
from chopmark.ops.auditing import AuditAt
from chopmark.ops.http import time_fields
from chopmark.ops.keeping import ImportVersion, RebuildCatalog
from chopmark.ops.storage import CollectStorage
from chopmark.ops.table import BY_REQUEST, OPS
from chopmark.testing.registry import memory_registry


def test_table_handlers_and_requests_are_complete() -> None:
    assert set(HANDLERS) == set(OPS)
    assert set(declared(q.Request)) == set(BY_REQUEST)
    routes = [(op.method, op.path) for op in OPS.values()]
    assert len(set(routes)) == len(routes)
    for op in OPS.values():
        assert op.method != "GET" or op.event is None, op.name
        assert op.writes or op.method == "GET" or op.name in ("version.plan", "rollout.rehearse"), op.name
        assert op.event is None or op.permission != "read", op.name
        assert not (op.counts and op.event), op.name


def declared(base: type[q.Request]) -> Iterator[type[q.Request]]:
    """Every request type of the package."""
    for kind in base.__subclasses__():
        if kind.__module__.startswith("chopmark."):
            yield kind
            yield from declared(kind)


ORIGIN = Origin(
    ref="fraud:1",
    digest="sha256:" + "0" * 64,
    created_by="ada",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    exported_at=datetime(2026, 1, 2, tzinfo=UTC),
)
NAIVE = datetime(2027, 1, 1)  # noqa: DTZ001 - what is to be refused
BEYOND = datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=14)))
REQUESTS = {
    "project.create": q.CreateProject(name="p"),
    "project.configure": q.ConfigureProject(name="default", description="x"),
    "model.create": q.CreateModel(model="m"),
    "model.update": q.UpdateModel(model="fraud", owner="x"),
    "model.delete": q.DeleteModel(model="fraud"),
    "model.restore": q.RestoreModel(model="fraud"),
    "model.purge": q.PurgeModel(model="fraud", reason="r"),
    "version.import": ImportVersion(model="fraud", manifest=cm.Manifest(kind="external"), origin=ORIGIN),
    "registry.rebuild": RebuildCatalog(),
    "version.update": q.UpdateVersion(ref="fraud:1", description="x"),
    "version.promote": q.PromoteVersion(ref="fraud:1", stage="staging", reason="r"),
    "version.archive": q.ArchiveVersion(ref="fraud:1", reason="r"),
    "version.deprecate": q.DeprecateVersion(ref="fraud:1", reason="r"),
    "version.delete": q.DeleteVersion(ref="fraud:1"),
    "version.restore": q.RestoreVersion(ref="fraud:1"),
    "version.purge": q.PurgeVersion(ref="fraud:1", reason="r"),
    "version.evaluate": q.EvaluateVersion(ref="fraud:1", dataset=cm.DatasetRef("d"), metrics={"f1": 1}),
    "lineage.link": n.LinkLineage(source="fraud:2", relation="derived_from", target="fraud:1", reason="r"),
    "lineage.unlink": n.UnlinkLineage(source="fraud:2", relation="derived_from", target="fraud:1", reason="r"),
    "alias.set": q.SetAlias(alias="fraud@a", target="fraud:1"),
    "alias.remove": q.RemoveAlias(alias="fraud@a"),
    "storage.collect": CollectStorage(),
    "token.create": w.CreateToken(name="ci"),
    "token.revoke": w.RevokeToken(token="0" * 16),
    "member.set": w.SetMember(project="*", member="bob", role="viewer"),
    "member.remove": w.RemoveMember(project="*", member="bob"),
    "role.define": w.DefineRole(name="tester", permissions=("evaluate",)),
    "role.remove": w.RemoveRole(name="tester"),
    "storage.sweep": j.SweepStorage(prefix="0a"),
    "registry.expire": j.ExpireRegistry(),
    "schedule.set": j.SetSchedule(name="nightly", kind="expiry", cron="@daily"),
    "schedule.remove": j.RemoveSchedule(name="nightly"),
    "schedule.pause": j.PauseSchedule(name="nightly"),
    "schedule.resume": j.ResumeSchedule(name="nightly"),
    "job.run": j.RunJob(kind="expiry"),
    "job.retry": j.RetryJob(job=UUID(int=1)),
    "job.cancel": j.CancelJob(job=UUID(int=1)),
    "webhook.create": h.CreateWebhook(project="default", url="https://ci.example/hook"),
    "webhook.update": h.UpdateWebhook(webhook=UUID(int=1), state="paused"),
    "webhook.delete": h.DeleteWebhook(webhook=UUID(int=1)),
    "webhook.rotate": h.RotateWebhook(webhook=UUID(int=1)),
    "webhook.test": h.TestWebhook(webhook=UUID(int=1)),
    "delivery.replay": h.ReplayDelivery(delivery=f"msg_{'0' * 32}_1"),
    "endpoint.create": e.CreateEndpoint(endpoint="api", split=(e.Share(version="fraud:1"),)),
    "endpoint.split": e.SplitEndpoint(endpoint="api", split=(e.Share(version="fraud:1"),)),
    "endpoint.update": e.UpdateEndpoint(endpoint="api", description="x"),
    "endpoint.delete": e.DeleteEndpoint(endpoint="api"),
    "rollout.start": o.StartRollout(endpoint="api", candidate="fraud:2", plan=plan_for()),
    "rollout.command": o.CommandRollout(endpoint="api", command="abort"),
    "rollout.rollback": o.RollBack(endpoint="api"),
    "rollout.advance": o.AdvanceRollout(endpoint="api"),
    "monitor.create": m.CreateMonitor(monitor="x", on="api", rule=ThresholdWatch(threshold=0.1)),
    "monitor.enable": m.EnableMonitor(monitor="x"),
    "monitor.disable": m.DisableMonitor(monitor="x"),
    "monitor.delete": m.DeleteMonitor(monitor="x"),
    "monitor.evaluate": m.EvaluateMonitor(monitor="x"),
    "alert.acknowledge": m.AcknowledgeAlert(alert=UUID(int=1)),
    "alert.silence": m.SilenceMonitor(monitor="x", for_s=60),
    "alert.rollback": m.RollBackForAlert(alert=UUID(int=1)),
    "experiment.start": x.StartExperiment(
        experiment="test",
        variants=(x.ExperimentArm(name="a", version="fraud:1"), x.ExperimentArm(name="b", version="fraud:2")),
        control="a",
        metrics=(ExperimentMetric(name="success", role="primary"),),
    ),
    "experiment.stop": x.StopExperiment(experiment="test"),
    "experiment.extend": x.ExtendExperiment(experiment="test", max_duration_s=60),
    "experiment.decide": x.DecideExperiment(experiment="test"),
    "experiment.archive": x.ArchiveExperiment(experiment="test"),
    "trust.grant": q.TrustVersion(ref="fraud:1"),
    "trust.revoke": q.RevokeTrust(ref="fraud:1"),
}


@pytest.mark.parametrize("role", ["viewer", "contributor", "maintainer"])
def test_every_writing_op_is_denied_without_its_permission(role: str) -> None:
    registry = memory_registry(role=role)  # type: ignore[arg-type]
    writing = {name for name, op in OPS.items() if op.event is not None} - {"version.register"}
    assert set(REQUESTS) == writing
    for name, request in REQUESTS.items():
        if OPS[name].permission not in ROLES[role]:
            with pytest.raises(Denied, match=name):
                registry._transport.call(request)
    assert len(registry.audit.list()) == 0


TIMED = {
    "version.deprecate": q.DeprecateVersion(ref="fraud:1", reason="r", at=NAIVE),
    "version.stage_at": q.StageAt(ref="fraud:1", at=NAIVE),
    "alias.at": q.AliasAt(alias="fraud@a", at=NAIVE),
    "audit.at": AuditAt(at=NAIVE),
    "rollout.rehearse": o.RehearseRollout(
        endpoint="api", candidate="fraud:2", stable="fraud:1", plan=plan_for(), since=NAIVE, until=NAIVE
    ),
    "token.create": w.CreateToken(name="ci", expires_at=NAIVE),
}


def test_every_request_with_a_time_is_known() -> None:
    assert set(TIMED) == {name for name, op in OPS.items() if time_fields(op.request)}


@pytest.mark.parametrize("name", TIMED)
def test_a_time_without_zone_is_refused(registry: cm.Registry, name: str) -> None:
    with pytest.raises(InvalidRequest, match="no time zone"):
        registry._transport.call(TIMED[name])
    request = replace(TIMED[name], **dict.fromkeys(time_fields(OPS[name].request), BEYOND))
    with pytest.raises(InvalidRequest, match="years 1 to 9999"):
        registry._transport.call(request)


@pytest.mark.parametrize("field", ["created_at", "exported_at"])
def test_an_origin_whose_time_has_no_zone_is_refused(registry: cm.Registry, field: str) -> None:
    request = replace(REQUESTS["version.import"], origin=replace(ORIGIN, **{field: NAIVE}))
    with pytest.raises(InvalidRequest, match="no time zone"):
        registry._transport.call(request)


def test_a_key_gives_the_first_answer_again(registry: cm.Registry) -> None:
    version = registry.register("fraud", {"a": 1})
    move = q.PromoteVersion(ref=version.ref, stage="staging", reason="r")
    first = registry._transport.call(move, key="k-1")
    again = registry._transport.call(move, key="k-1")
    assert again == first
    assert len(registry.stages.history(version)) == 1
    with pytest.raises(Conflict, match="another request"):
        registry._transport.call(q.PromoteVersion(ref=version.ref, stage="archived", reason="r"), key="k-1")
    with pytest.raises(Conflict, match="in staging already"):
        registry._transport.call(move, key="k-2")


def test_every_event_waits_in_the_outbox(own: cm.Registry) -> None:
    own.alias("fraud@a", own.register("fraud", {"a": 1}))
    catalog = own._transport._dispatch.catalog
    with catalog.reading() as tx:
        waiting = [row.event for row in tx.outbox.pending(limit=100)]
    assert waiting == list(own.audit.list())


def test_a_refused_op_leaves_nothing(registry: cm.Registry) -> None:
    version = registry.register("fraud", {"a": 1})
    before = registry.audit.verify()
    with pytest.raises(Conflict):
        registry.promote(version, "production", reason="r")
    with pytest.raises(Conflict):
        registry.register("fraud", {"a": 2}, semver="1.0.0")
    assert registry.audit.verify() == before
    assert registry.get("fraud").number == 1
    assert registry.models.get("fraud").last_number == 1


def test_a_dry_run_answers_as_the_real_call_and_changes_nothing(own: cm.Registry) -> None:
    version = own.register("fraud", {"a": 1})
    own.alias("fraud@champion", version)
    before = own.audit.verify()
    heard: list[str] = []
    own.on("*", lambda event: heard.append(event.event))
    rehearsal = own.dry_run()
    assert rehearsal.promote(version, "staging", reason="r").stage == "staging"
    assert rehearsal.aliases.remove("fraud@champion").ref == "fraud@champion"
    with pytest.raises(Conflict, match="alias 'champion'"):
        rehearsal.versions.delete(version)
    assert rehearsal.versions.delete(version, force=True, reason="r").deleted_at is not None
    assert rehearsal.get("fraud@champion").stage == "development"
    with pytest.raises(Unsupported, match="stores no bytes"):
        rehearsal.register("fraud", {"a": 2})
    rehearsal.close()
    assert own.audit.verify() == before
    assert own.get("fraud@champion") == own.get(version)
    assert heard == []
