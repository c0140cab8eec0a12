"""Every verb of the system, one row each: the only list of verbs.

SDK, command line, HTTP routes and OpenAPI are all drawn from this table. A row whose ``event`` is
None only reads.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from chopmark.domain.access import CustomRole, Member
from chopmark.domain.alert_log import Alert
from chopmark.domain.comparison import VersionComparison
from chopmark.domain.datasets import DatasetRecord
from chopmark.domain.deliveries import Delivery
from chopmark.domain.endpoints import Endpoint
from chopmark.domain.experiment_status import ExperimentStatus
from chopmark.domain.experiments import Experiment
from chopmark.domain.jobs import Job
from chopmark.domain.lineage_graph import Impact, LineageGraph
from chopmark.domain.manifest import Manifest
from chopmark.domain.monitors import Monitor
from chopmark.domain.outcome_summaries import OutcomeComparison, OutcomeSummary, OutcomeTrend
from chopmark.domain.receivers import Webhook
from chopmark.domain.replay import RegistryThen
from chopmark.domain.rollout_rehearsal import Rehearsal
from chopmark.domain.rollouts import Rollout
from chopmark.domain.schedules import Schedule
from chopmark.domain.story import VersionStory
from chopmark.domain.tokens import Token
from chopmark.domain.versions import (
    Alias,
    Evaluation,
    Model,
    Project,
    TrustDecision,
    Version,
)
from chopmark.ops import access as w
from chopmark.ops import auditing as a
from chopmark.ops import endpoints as e
from chopmark.ops import experiments as x
from chopmark.ops import jobs as j
from chopmark.ops import keeping as k
from chopmark.ops import lineage as n
from chopmark.ops import monitors as m
from chopmark.ops import outcomes as t
from chopmark.ops import requests as q
from chopmark.ops import results as r
from chopmark.ops import rollouts as o
from chopmark.ops import storage as g
from chopmark.ops import usage as u
from chopmark.ops import webhooks as h
from chopmark.ops.comparing import CompareVersions
from chopmark.ops.story import TellStory

__all__ = ["BY_REQUEST", "OPS", "Op"]


class Op(msgspec.Struct, frozen=True):
    """One verb.

    Attributes
    ----------
    name
        ``noun.verb``.
    request, result
        Types of what goes in and comes out.
    permission
        What the actor must hold.
    method, path
        HTTP method and path below ``/api/v1``.
    event
        Name of the audit event that a change leaves; None for a verb that only reads or counts.
    moves
        Name of the verb that reads what this one changes, asked with the same fields of the path: who passes the
        entity tag of that answer changes nothing that has changed since. Empty where there is none.
    at_once
        Whether it reads a few rows by key, and nothing whose size has no end: what an event loop may do where it stands.
    once
        Field of the answer that is given once and kept nowhere: the answer of a repeated call, or of a dry run, leaves
        it empty.
    also
        Names of events that it may leave beside, or instead of, its own.
    counts
        Whether it writes measurements (how often a version was loaded, what a router serves), which are no change of the
        registry and leave no event.
    """

    name: str
    request: type[q.Request]
    result: Any
    permission: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    event: str | None = None
    moves: str = ""
    counts: bool = False
    once: str = ""
    at_once: bool = False
    also: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether it needs a transaction that writes."""
        return self.counts or self.event is not None


def _read(name: str, request: type[q.Request], result: Any, path: str, *, at_once: bool = False) -> Op:
    return Op(name, request, result, "read", "GET", path, at_once=at_once)


_ROWS = (
    Op("project.create", q.CreateProject, Project, "configure", "POST", "/projects", "project.created"),
    _read("project.get", q.GetProject, Project, "/projects/{name}", at_once=True),
    _read("project.list", q.ListProjects, r.ProjectPage, "/projects"),
    Op("project.configure", q.ConfigureProject, Project, "configure", "PATCH", "/projects/{name}", "project.configured", "project.get"),
    Op("model.create", q.CreateModel, Model, "register", "POST", "/models", "model.created"),
    _read("model.get", q.GetModel, Model, "/models/{model}", at_once=True),
    _read("model.list", q.ListModels, r.ModelPage, "/models"),
    Op("model.update", q.UpdateModel, Model, "annotate", "PATCH", "/models/{model}", "model.updated", "model.get"),
    Op("model.delete", q.DeleteModel, Model, "delete", "DELETE", "/models/{model}", "model.deleted", "model.get"),
    Op("model.restore", q.RestoreModel, Model, "delete", "POST", "/models/{model}/restore", "model.restored"),
    Op("model.purge", q.PurgeModel, r.Done, "purge", "POST", "/models/{model}/purge", "model.purged"),
    Op("version.register", q.RegisterVersion, r.Registered, "register", "POST", "/versions", "version.registered"),
    Op("version.plan", q.PlanVersion, r.RegistrationPlan, "register", "POST", "/versions/plan"),
    _read("version.get", q.GetVersion, Version, "/versions/{ref}", at_once=True),
    _read("version.manifest", q.GetManifest, Manifest, "/versions/{ref}/manifest"),
    _read("version.search", q.SearchVersions, r.VersionPage, "/versions"),
    _read("version.best", q.BestVersion, r.VersionPage, "/models/{model}/best"),
    Op("version.update", q.UpdateVersion, Version, "annotate", "PATCH", "/versions/{ref}", "version.updated", "version.get"),
    Op("version.promote", q.PromoteVersion, Version, "promote", "POST", "/versions/{ref}/promote", "version.promoted", "version.get"),
    Op("version.archive", q.ArchiveVersion, Version, "archive", "POST", "/versions/{ref}/archive", "version.archived", "version.get"),
    Op("version.deprecate", q.DeprecateVersion, Version, "deprecate", "POST", "/versions/{ref}/deprecate", "version.deprecated", "version.get"),
    Op("version.delete", q.DeleteVersion, Version, "delete", "DELETE", "/versions/{ref}", "version.deleted", "version.get"),
    Op("version.restore", q.RestoreVersion, Version, "delete", "POST", "/versions/{ref}/restore", "version.restored"),
    Op("version.purge", q.PurgeVersion, r.Done, "purge", "POST", "/versions/{ref}/purge", "version.purged"),
    _read("version.compare", CompareVersions, VersionComparison, "/compare"),
    _read("version.story", TellStory, VersionStory, "/versions/{ref}/story"),
    _read("lineage.graph", n.GetLineage, LineageGraph, "/lineage"),
    _read("lineage.impact", n.GetImpact, Impact, "/lineage/impact"),
    Op("lineage.link", n.LinkLineage, n.LineageLink, "annotate", "POST", "/lineage/links", "lineage.linked"),
    Op("lineage.unlink", n.UnlinkLineage, r.Done, "annotate", "DELETE", "/lineage/links", "lineage.unlinked"),
    _read("dataset.list", n.ListDatasets, n.DatasetPage, "/datasets"),
    _read("dataset.get", n.GetDataset, DatasetRecord, "/datasets/{dataset}"),
    _read("version.uses", q.ListUses, r.Uses, "/versions/{ref}/uses"),
    _read("version.stages", q.StageHistory, r.StageHistoryAnswer, "/versions/{ref}/stages"),
    _read("version.stage_at", q.StageAt, r.StageAnswer, "/versions/{ref}/stage-at"),
    Op("version.evaluate", q.EvaluateVersion, Evaluation, "evaluate", "POST", "/versions/{ref}/evaluations", "version.evaluated"),
    _read("version.evaluations", q.ListEvaluations, r.EvaluationList, "/versions/{ref}/evaluations"),
    Op("alias.set", q.SetAlias, Alias, "alias", "PUT", "/aliases/{alias}", "alias.set", "alias.get"),
    Op("alias.remove", q.RemoveAlias, r.Done, "alias", "DELETE", "/aliases/{alias}", "alias.removed", "alias.get"),
    _read("alias.get", q.GetAlias, Alias, "/aliases/{alias}", at_once=True),
    _read("alias.list", q.ListAliases, r.AliasList, "/models/{model}/aliases"),
    _read("alias.history", q.AliasHistory, r.AliasHistoryAnswer, "/aliases/{alias}/history"),
    _read("alias.at", q.AliasAt, Version, "/aliases/{alias}/at"),
    Op("trust.grant", q.TrustVersion, TrustDecision, "trust", "POST", "/versions/{ref}/trust", "version.trusted"),
    Op("trust.revoke", q.RevokeTrust, r.Done, "trust", "DELETE", "/versions/{ref}/trust", "version.distrusted"),
    _read("trust.list", q.GetTrust, r.TrustList, "/versions/{ref}/trust"),
    Op("usage.record", u.RecordUsage, u.Recorded, "read", "POST", "/usage", counts=True),
    _read("usage.list", u.ListUsage, u.UsagePage, "/usage"),
    _read("version.export", k.ExportVersion, k.PortableVersion, "/versions/{ref}/export"),
    Op("version.import", k.ImportVersion, r.Registered, "register", "POST", "/versions/import", "version.imported"),
    Op("registry.rebuild", k.RebuildCatalog, k.Rebuilt, "configure", "POST", "/rebuild", "registry.rebuilt"),
    _read("storage.plan", g.PlanCollection, g.CollectionPage, "/storage/plan"),
    Op("storage.collect", g.CollectStorage, g.CollectionPage, "purge", "POST", "/storage/collect", "storage.collected"),
    _read("storage.usage", g.UsageByName, g.UsagePage, "/storage/usage"),
    _read("storage.totals", g.TotalStorage, g.StorageTotals, "/storage/totals"),
    _read("storage.why", g.ExplainBlob, g.Why, "/storage/blobs/{digest}"),
    _read("storage.check", g.CheckStorage, g.CheckPage, "/storage/check"),
    Op("storage.sweep", j.SweepStorage, j.SweepPage, "configure", "POST", "/storage/sweep", "storage.damaged"),
    Op("registry.expire", j.ExpireRegistry, j.Expired, "configure", "POST", "/expire", "registry.expired"),
    Op("schedule.set", j.SetSchedule, Schedule, "configure", "PUT", "/schedules/{name}", "schedule.set", "schedule.get"),
    Op("schedule.remove", j.RemoveSchedule, r.Done, "configure", "DELETE", "/schedules/{name}", "schedule.removed", "schedule.get"),
    Op("schedule.pause", j.PauseSchedule, Schedule, "configure", "POST", "/schedules/{name}/pause", "schedule.paused", "schedule.get"),
    Op("schedule.resume", j.ResumeSchedule, Schedule, "configure", "POST", "/schedules/{name}/resume", "schedule.resumed", "schedule.get"),
    _read("schedule.get", j.GetSchedule, Schedule, "/schedules/{name}"),
    _read("schedule.list", j.ListSchedules, j.SchedulePage, "/schedules"),
    _read("job.list", j.ListJobs, j.JobPage, "/jobs"),
    _read("job.get", j.GetJob, Job, "/jobs/{job}"),
    Op("job.run", j.RunJob, Job, "configure", "POST", "/jobs", "job.queued"),
    Op("job.retry", j.RetryJob, Job, "configure", "POST", "/jobs/{job}/retry", "job.retried"),
    Op("job.cancel", j.CancelJob, Job, "configure", "POST", "/jobs/{job}/cancel", "job.cancelled"),
    Op("webhook.create", h.CreateWebhook, h.NewWebhook, "configure", "POST", "/webhooks", "webhook.created", once="secret"),
    Op("webhook.list", h.ListWebhooks, h.WebhookPage, "configure", "GET", "/webhooks"),
    Op("webhook.get", h.GetWebhook, Webhook, "configure", "GET", "/webhooks/{webhook}"),
    Op("webhook.update", h.UpdateWebhook, Webhook, "configure", "PATCH", "/webhooks/{webhook}", "webhook.updated", "webhook.get"),
    Op("webhook.delete", h.DeleteWebhook, r.Done, "configure", "DELETE", "/webhooks/{webhook}", "webhook.deleted", "webhook.get"),
    Op("webhook.rotate", h.RotateWebhook, h.NewWebhook, "configure", "POST", "/webhooks/{webhook}/rotate", "webhook.rotated", "webhook.get", once="secret"),
    Op("webhook.test", h.TestWebhook, h.WebhookTrial, "configure", "POST", "/webhooks/{webhook}/test", "webhook.tested"),
    Op("delivery.list", h.ListDeliveries, h.DeliveryPage, "configure", "GET", "/webhooks/{webhook}/deliveries"),
    Op("delivery.get", h.GetDelivery, Delivery, "configure", "GET", "/deliveries/{delivery}"),
    Op("delivery.replay", h.ReplayDelivery, Delivery, "configure", "POST", "/deliveries/{delivery}/replay", "delivery.replayed"),
    Op("endpoint.create", e.CreateEndpoint, Endpoint, "deploy", "POST", "/endpoints", "endpoint.created"),
    _read("endpoint.get", e.GetEndpoint, Endpoint, "/endpoints/{endpoint}", at_once=True),
    _read("endpoint.list", e.ListEndpoints, e.EndpointPage, "/endpoints"),
    Op("endpoint.split", e.SplitEndpoint, Endpoint, "deploy", "PUT", "/endpoints/{endpoint}/split", "endpoint.split", "endpoint.get"),
    Op("endpoint.update", e.UpdateEndpoint, Endpoint, "deploy", "PATCH", "/endpoints/{endpoint}", "endpoint.updated", "endpoint.get"),
    Op("endpoint.delete", e.DeleteEndpoint, r.Done, "deploy", "DELETE", "/endpoints/{endpoint}", "endpoint.deleted", "endpoint.get"),
    _read("endpoint.live", e.ShowLive, e.Live, "/live"),
    Op("rollout.start", o.StartRollout, Rollout, "deploy", "POST", "/endpoints/{endpoint}/rollouts", "rollout.started"),
    _read("rollout.get", o.GetRollout, o.RolloutStatus, "/endpoints/{endpoint}/rollout"),
    _read("rollout.list", o.ListRollouts, o.RolloutPage, "/rollouts"),
    _read("rollout.events", o.ListRolloutEvents, o.RolloutEventPage, "/endpoints/{endpoint}/rollout/events"),
    Op("rollout.command", o.CommandRollout, Rollout, "deploy", "POST", "/endpoints/{endpoint}/rollout/commands", "rollout.commanded"),
    Op("rollout.rollback", o.RollBack, Rollout, "deploy", "POST", "/endpoints/{endpoint}/rollback", "rollout.started", also=("rollout.commanded",)),
    Op("rollout.rehearse", o.RehearseRollout, Rehearsal, "deploy", "POST", "/endpoints/{endpoint}/rollout/rehearsal"),
    Op("rollout.advance", o.AdvanceRollout, Rollout, "deploy", "POST", "/endpoints/{endpoint}/rollout/advance", "rollout.advanced",
       also=("rollout.paused", "rollout.aborting", "rollout.completed", "rollout.rolled_back", "rollout.failed", "rollout.superseded", "alert.fired", "alert.resolved")),
    Op("monitor.create", m.CreateMonitor, Monitor, "deploy", "POST", "/monitors", "monitor.created"),
    _read("monitor.get", m.GetMonitor, Monitor, "/monitors/{monitor}"),
    _read("monitor.list", m.ListMonitors, m.MonitorPage, "/monitors"),
    Op("monitor.enable", m.EnableMonitor, Monitor, "deploy", "POST", "/monitors/{monitor}/enable", "monitor.enabled"),
    Op("monitor.disable", m.DisableMonitor, Monitor, "deploy", "POST", "/monitors/{monitor}/disable", "monitor.disabled", also=("alert.resolved",)),
    Op("monitor.delete", m.DeleteMonitor, r.Done, "deploy", "DELETE", "/monitors/{monitor}", "monitor.deleted", also=("alert.resolved",)),
    _read("monitor.test", m.TryMonitor, m.MonitorTrial, "/monitors/{monitor}/test"),
    Op("monitor.evaluate", m.EvaluateMonitor, m.Evaluated, "deploy", "POST", "/monitors/{monitor}/evaluate", "alert.fired", also=("alert.resolved", "job.queued")),
    _read("alert.list", m.ListAlerts, m.AlertPage, "/alerts"),
    _read("alert.get", m.GetAlert, Alert, "/alerts/{alert}"),
    Op("alert.acknowledge", m.AcknowledgeAlert, Alert, "annotate", "POST", "/alerts/{alert}/acknowledge", "alert.acknowledged"),
    Op("alert.silence", m.SilenceMonitor, Monitor, "deploy", "POST", "/monitors/{monitor}/silence", "monitor.silenced"),
    Op("alert.rollback", m.RollBackForAlert, m.RolledBack, "deploy", "POST", "/alerts/{alert}/rollback", "endpoint.rolled_back", also=("endpoint.split", "alert.rollback_refused")),
    Op("experiment.start", x.StartExperiment, Experiment, "deploy", "POST", "/experiments", "experiment.started"),
    _read("experiment.get", x.GetExperiment, Experiment, "/experiments/{experiment}", at_once=True),
    _read("experiment.list", x.ListExperiments, x.ExperimentPage, "/experiments"),
    _read("experiment.status", x.ShowExperiment, ExperimentStatus, "/experiments/{experiment}/status"),
    Op("experiment.stop", x.StopExperiment, Experiment, "deploy", "POST", "/experiments/{experiment}/stop", "experiment.stopped"),
    Op("experiment.extend", x.ExtendExperiment, Experiment, "deploy", "POST", "/experiments/{experiment}/extend", "experiment.extended"),
    Op("experiment.decide", x.DecideExperiment, x.DecidedExperiment, "deploy", "POST", "/experiments/{experiment}/decide", "experiment.decided"),
    Op("experiment.archive", x.ArchiveExperiment, Experiment, "deploy", "POST", "/experiments/{experiment}/archive", "experiment.archived"),
    Op("experiment.expose", x.ExposeUnits, x.TakenRows, "record", "POST", "/experiments/{experiment}/exposures", counts=True),
    Op("experiment.record", x.RecordUnits, x.TakenRows, "record", "POST", "/experiments/{experiment}/records", counts=True),
    _read("router.list", e.ListRouters, e.RouterPage, "/routers"),
    Op("outcome.record", t.RecordOutcomes, t.OutcomeReceipt, "record", "POST", "/outcomes", counts=True),
    _read("outcome.summary", t.ShowOutcomes, OutcomeSummary, "/outcomes/summary"),
    _read("outcome.trend", t.ShowOutcomeTrend, OutcomeTrend, "/outcomes/trend"),
    _read("outcome.sampled", t.ShowSampled, t.Sampled, "/outcomes/sampled"),
    _read("outcome.compare", t.CompareOutcomes, OutcomeComparison, "/outcomes/compare"),
    Op("outcome.fold", t.FoldOutcomes, t.Folded, "configure", "POST", "/outcomes/fold", counts=True),
    Op("feedback.record", t.RecordFeedback, t.FeedbackReceipt, "invoke", "POST", "/feedback", counts=True),
    Op("router.report", e.ReportRouter, e.ReportReceipt, "route", "POST", "/routers/report", counts=True),
    Op("routing.get", e.GetRouting, e.CurrentRouting, "route", "GET", "/routing"),
    _read("actor.get", w.WhoAmI, w.Whoami, "/whoami", at_once=True),
    Op("token.create", w.CreateToken, w.NewToken, "token", "POST", "/tokens", "token.created", once="secret"),
    _read("token.list", w.ListTokens, w.TokenPage, "/tokens"),
    Op("token.revoke", w.RevokeToken, Token, "token", "DELETE", "/tokens/{token}", "token.revoked"),
    Op("member.set", w.SetMember, Member, "admit", "PUT", "/members/{project}/{kind}/{member}", "member.set", "member.get"),
    Op("member.remove", w.RemoveMember, r.Done, "admit", "DELETE", "/members/{project}/{kind}/{member}", "member.removed", "member.get"),
    _read("member.get", w.GetMember, Member, "/members/{project}/{kind}/{member}"),
    _read("member.list", w.ListMembers, w.MemberPage, "/members"),
    Op("role.define", w.DefineRole, CustomRole, "admit", "PUT", "/roles/{name}", "role.defined", "role.get"),
    Op("role.remove", w.RemoveRole, r.Done, "admit", "DELETE", "/roles/{name}", "role.removed", "role.get"),
    _read("role.get", w.GetRole, CustomRole, "/roles/{name}"),
    _read("role.list", w.ListRoles, w.RoleList, "/roles"),
    _read("audit.list", q.ListAudit, r.AuditPage, "/audit"),
    _read("audit.trail", a.ReadTrail, r.AuditPage, "/versions/{ref}/trail"),
    _read("audit.at", a.AuditAt, RegistryThen, "/audit/at"),
    _read("audit.verify", q.VerifyAudit, r.AuditVerdict, "/audit/verify"),
)  # fmt: skip

OPS: dict[str, Op] = {op.name: op for op in _ROWS}
BY_REQUEST: dict[type[q.Request], Op] = {op.request: op for op in _ROWS}
