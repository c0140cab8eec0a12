"""Every op of the table with everybody: the answer is what its row says, and what is hidden is as if it were not there."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

import chopmark as cm
from chopmark.base.jsons import encode
from chopmark.base.settings import load_settings
from chopmark.domain.access import EVERYWHERE, ROLES, Actor
from chopmark.ops.http import path_fields
from chopmark.ops.requests import GetVersion, Request
from chopmark.ops.subjects import ANY, FIELD_OF, field_of
from chopmark.ops.table import OPS, Op
from chopmark.ops.usage import DailyLoads, RecordUsage
from chopmark.testing.registry import memory_transport
from chopmark.wiring import LocalTransport, connect
from tests.server.access_world import ALL, REGISTRY, filled, member_of, outcome, reader, request_of

REFUSED = ("Denied", "NotFound", "Unauthenticated")
WHOLE = {
    "project.create", "registry.rebuild", "registry.expire", "storage.plan", "storage.collect", "storage.usage",
    "storage.totals", "storage.why", "storage.check", "storage.sweep", "audit.verify", "role.define", "role.remove",
    "schedule.set", "schedule.remove", "schedule.pause", "schedule.resume", "schedule.get", "schedule.list", "job.list",
    "job.get", "job.run", "job.retry", "job.cancel", "router.list", "router.report", "routing.get",
    "outcome.fold",
}  # fmt: skip
BY_ID = {
    "webhook.update", "webhook.delete", "webhook.rotate", "webhook.test", "delivery.replay", "feedback.record",
    "alert.acknowledge", "alert.rollback",
}  # fmt: skip
"""Whose project only the catalog tells: the handler asks."""
OF_ONESELF = {"token.create", "token.revoke", "usage.record"}


class World:
    """A registry with the projects ``vault`` and ``other``."""

    def __init__(self, transport: LocalTransport, settings: cm.Settings) -> None:
        self.transport = transport
        self.webhooks = {project: filled(transport, settings, project) for project in ("vault", "other")}
        self.version: cm.Version = transport.act(GetVersion(ref="vault/fraud:1"), REGISTRY)

    def request(self, op: Op, project: str) -> Request:
        """A request that the op can do in a project."""
        return request_of(op, project, self.version, self.webhooks.get(project, UUID(int=0)))

    def ask(self, op: Op, project: str, actor: Actor, *, dry_run: bool = True) -> tuple[str, str]:
        """What somebody gets for a request about a project; a write is rehearsed."""
        request = self.request(op, project)
        return outcome(lambda: self.transport.act(request, actor, dry_run=dry_run and op.writes))

    def state(self) -> dict[str, Any]:
        """Everything that is kept."""
        kept = dict(vars(self.transport._dispatch.catalog._state))
        return kept | {"loads": dict(kept["loads"])}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    settings = load_settings({"actor": "root"}, environ={}).settings
    transport = memory_transport(settings)
    yield World(transport, settings)
    transport.close()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def any_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    arguments: dict[str, Any] = {"actor": "root", "url": str(tmp_path / "registry")}
    if request.param == "postgres":
        arguments["database_url"] = request.getfixturevalue("postgres_catalog_url")
    resolved = load_settings(arguments, environ={})
    transport = memory_transport(resolved.settings) if request.param == "memory" else connect(resolved)
    yield World(transport, resolved.settings)
    transport.close()


def test_what_is_about_the_whole_registry_is_what_is_meant_to_be() -> None:
    assert {op.name for op in ALL if field_of(op) == EVERYWHERE} == WHOLE
    assert {op.name for op in ALL if field_of(op) == ANY and op.writes} == OF_ONESELF | BY_ID
    for op in ALL:
        field = field_of(op)
        assert field in (ANY, EVERYWHERE) or field in op.request.__struct_fields__, op.name
    named = {op.name for op in ALL} | {op.name.partition(".")[0] for op in ALL}
    assert set(FIELD_OF) <= named


@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
def test_every_role_may_what_the_row_says(world: World, op: Op) -> None:
    for role, held in ROLES.items():
        name, told = world.ask(op, "vault", member_of("vault", role))
        if op.permission not in held or field_of(op) == EVERYWHERE:
            assert name == "Denied", (role, told)
            assert repr(op.permission) in told
        elif op.name == "delivery.replay":
            assert name == "Conflict", (role, told)  # it is queued already
        elif op.name == "token.revoke":
            assert name == "NotFound", (role, told)  # it is nobody's
        elif op.name in ("lineage.impact", "audit.at", "version.deprecate") and name == "Conflict":
            pytest.fail(told)
        else:
            assert name not in REFUSED, (role, told)


@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
def test_roles_on_the_whole_registry_hold_everywhere(world: World, op: Op) -> None:
    for role, held in ROLES.items():
        name, told = world.ask(op, "vault", member_of(EVERYWHERE, role))
        if op.permission not in held:
            assert name == "Denied", (role, told)
        else:
            assert name != "Denied", (role, told)


@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
def test_nobody_may_nothing(world: World, op: Op) -> None:
    for grants in ({}, {"vault": frozenset[str]()}):
        name, told = world.ask(op, "vault", Actor("nobody", "admin", grants=grants))
        assert name == "Denied", told
        assert "vault" not in told


@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
def test_a_stolen_token_that_reads_changes_nothing(world: World, op: Op) -> None:
    before = world.state()
    name, told = world.ask(op, "vault", reader("vault"), dry_run=False)
    if op.event is not None:
        assert name == "Denied", told
    after = world.state()
    if op.name == "usage.record":  # what it may do to counts is asked below; nothing else changes
        assert after.pop("loads") != before.pop("loads")
    assert after == before


def test_one_verb_counts_and_asks_only_for_reading() -> None:
    """What routers report asks for more."""
    assert {op.name for op in ALL if op.writes and op.permission == "read"} == {"usage.record"}
    assert {op.name: op.permission for op in ALL if op.counts} == {
        "usage.record": "read",
        "router.report": "route",
        "outcome.record": "record",
        "outcome.fold": "configure",
        "feedback.record": "invoke",
        "experiment.expose": "record",
        "experiment.record": "record",
    }


def test_all_that_a_stolen_token_can_do_to_counts_is_to_add_today(world: World) -> None:
    thief, today = reader("vault"), world.transport._dispatch.clock().date()
    hidden: cm.Version = world.transport.act(GetVersion(ref="other/fraud:1"), REGISTRY)
    days = (date.min, today - timedelta(days=400), today, today + timedelta(days=1), date.max)
    before = world.state()["loads"]
    for version in (world.version, hidden):
        loads = tuple(DailyLoads(version=version.id, day=day, count=3) for day in days)
        world.transport.act(RecordUsage(loads=loads), thief)
    for count in (0, -1, -(2**40), 2**40 + 1):
        wrong = RecordUsage(loads=(DailyLoads(version=world.version.id, day=today, count=count),))
        assert outcome(lambda wrong=wrong: world.transport.act(wrong, thief))[0] == "InvalidRequest"  # type: ignore[misc]
    after = world.state()["loads"]
    changed = {key: count - before.get(key, 0) for key, count in after.items() if count != before.get(key, 0)}
    mine = world.version.id
    assert changed == {(mine, date.min): 3, (mine, today - timedelta(days=400)): 3, (mine, today): 9}
    assert set(before) <= set(after)


def test_that_this_state_would_show_a_change(world: World) -> None:
    before = world.state()
    name, _ = world.ask(OPS["model.create"], "vault", member_of("vault", "contributor"), dry_run=False)
    assert name == ""
    assert world.state() != before


@pytest.mark.parametrize("op", [op for op in ALL if field_of(op) != EVERYWHERE], ids=lambda op: op.name)
def test_what_is_hidden_is_told_of_as_what_is_not_there(world: World, op: Op) -> None:
    for actor in (member_of("other", "admin"), member_of("other", "viewer")):
        hidden = world.ask(op, "vault", actor)
        missing = world.ask(op, "none", actor)
        assert (hidden[0], hidden[1].replace("vault", "none")) == missing, op.name
        if field_of(op) not in (ANY, "alias") and op.permission in actor.permissions("other"):
            assert hidden[0] == "NotFound", hidden


def test_nothing_that_somebody_reads_tells_of_what_they_may_not(any_world: World) -> None:
    actor = member_of("other", "admin")
    secrets = ("vault", any_world.version.id.hex, str(any_world.version.id), any_world.version.digest)
    asked = 0
    for op in ALL:
        if op.permission != "read" or op.writes or field_of(op) == EVERYWHERE:
            continue
        wanted = any_world.request(op, "other")
        open_ended: dict[str, Any] = dict.fromkeys({"project"} & {*op.request.__struct_fields__} - {*path_fields(op)})
        open_ended |= {"of": ""} if op.name == "audit.at" else {}
        open_ended |= {"endpoint": ""} if op.name == "endpoint.live" else {}
        requests = [wanted, msgspec.structs.replace(wanted, **open_ended)]
        for each in requests:
            name, told = outcome(lambda each=each: any_world.transport.act(each, actor))  # type: ignore[misc]
            assert name == "", (op.name, told)
            assert not [secret for secret in secrets if secret in told], (op.name, told)
            asked += 1
    assert asked > 50


def test_pages_of_what_one_sees_are_full(any_world: World) -> None:
    from chopmark.ops import endpoints as e
    from chopmark.ops import lineage as n
    from chopmark.ops import requests as q

    actor = member_of("other", "viewer")
    for kind, count in (
        (q.ListProjects, 1),
        (q.ListModels, 1),
        (q.SearchVersions, 4),
        (n.ListDatasets, 1),
        (q.ListAudit, 16),
        (e.ListEndpoints, 2),
    ):
        seen, cursor = 0, ""
        while True:
            page = any_world.transport.act(kind(limit=1, cursor=cursor), actor)
            seen += len(page.items)
            assert len(page.items) == 1
            if not (cursor := page.cursor):
                break
        assert seen == count, kind


def test_an_edge_to_what_is_hidden_is_hidden_with_its_event(any_world: World) -> None:
    from chopmark.ops import lineage as n
    from chopmark.ops import requests as q

    link = n.LinkLineage(source="other/fraud:3", relation="derived_from", target="vault/fraud:1", reason="r")
    back = n.LinkLineage(source="vault/fraud:3", relation="fine_tuned_from", target="other/fraud:1", reason="r")
    for each in (link, back):
        any_world.transport.act(each, REGISTRY)
    actor, act = member_of("other", "admin"), any_world.transport.act
    for ref in ("other/fraud:3", "other/fraud:1"):
        for request in (n.GetLineage(of=ref), n.GetImpact(of=ref), q.ListUses(ref=ref), q.ListAudit()):
            assert "vault" not in msgspec.json.encode(act(request, actor)).decode(), request
    act(q.RemoveAlias(alias="other/fraud@champion"), REGISTRY)
    name, told = outcome(lambda: act(q.DeleteVersion(ref="other/fraud:1"), actor))
    assert name == "Conflict"
    assert "something that you may not see is fine tuned from other/fraud:1" in told
    assert "vault" not in told
    cycle = n.LinkLineage(source="other/fraud:1", relation="derived_from", target="other/fraud:3", reason="r")
    act(n.LinkLineage(source="vault/fraud:1", relation="derived_from", target="other/fraud:1", reason="r"), REGISTRY)
    name, told = outcome(lambda: act(cycle, actor))
    assert name == "Conflict"
    assert "vault" not in told


def test_a_link_is_asked_where_its_source_is(world: World) -> None:
    from chopmark.ops import lineage as n

    node = f"version:{world.version.id.hex}"
    admin = member_of("other", "admin")
    both = Actor("both", grants={"vault": ROLES["viewer"], "other": ROLES["admin"]})
    for source in ("vault/fraud:1", node):
        link = n.LinkLineage(source=source, relation="derived_from", target="other/fraud:1", reason="r")
        assert outcome(lambda link=link: world.transport.act(link, both, dry_run=True))[0] == "Denied"  # type: ignore[misc]
        assert outcome(lambda link=link: world.transport.act(link, admin, dry_run=True))[0] == "NotFound"  # type: ignore[misc]
    link = n.LinkLineage(source="other/fraud:3", relation="derived_from", target="vault/fraud:1", reason="r")
    assert outcome(lambda: world.transport.act(link, both, dry_run=True))[0] == ""


def test_loads_of_what_is_hidden_are_not_counted(world: World) -> None:
    from chopmark.ops.usage import ListUsage

    before = world.transport.act(ListUsage(ref="vault/fraud"), REGISTRY)
    world.ask(OPS["usage.record"], "vault", member_of("other", "admin"), dry_run=False)
    assert world.transport.act(ListUsage(ref="vault/fraud"), REGISTRY) == before
    world.ask(OPS["usage.record"], "vault", member_of("vault", "viewer"), dry_run=False)
    assert world.transport.act(ListUsage(ref="vault/fraud"), REGISTRY) != before


def test_the_default_project_is_made_by_who_may_write_to_it(world: World) -> None:
    from chopmark.ops import requests as q

    create = q.CreateModel(model="new")
    admin = member_of("other", "admin")
    name, told = outcome(lambda: world.transport.act(create, admin))
    assert (name, "no project 'default'" in told) == ("NotFound", True)
    plan = q.PlanVersion(
        model="new", manifest=cm.Manifest(kind="external", config={"uri": "s3://x", "digest": "sha256:" + "1" * 64})
    )
    assert outcome(lambda: world.transport.act(plan, admin))[0] == "NotFound"
    assert outcome(lambda: world.transport.act(create, member_of("default", "viewer")))[0] == "Denied"
    assert outcome(lambda: world.transport.act(create, member_of("default", "contributor")))[0] == ""


def test_a_surface_or_method_that_nobody_thought_of_is_refused(world: World) -> None:
    from chopmark.app.sight import seen_by

    with world.transport._dispatch.catalog.reading() as tx:
        seen = seen_by(member_of("vault", "viewer"), tx)
        assert seen_by(REGISTRY, tx) is tx
        for surface, method in (("versions", "blob_users"), ("collection", "open"), ("audit", "append")):
            with pytest.raises(AttributeError):
                getattr(getattr(seen, surface), method)
        for surface in ("jobs", "rows", "idempotency", "recorded"):
            with pytest.raises(AttributeError):
                getattr(seen, surface)


def test_keys_of_what_is_hidden_are_not_suggested(any_world: World) -> None:
    from chopmark.ops import requests as q

    actor, act = member_of("other", "viewer"), any_world.transport.act
    mistyped = q.SearchVersions(where="metrics.vault_auk > 0")
    assert "metrics.vault_auc" in str(act(mistyped, REGISTRY).unknown)
    assert act(mistyped, actor).unknown == {}
    best = q.BestVersion(model="other/fraud", by="vault_auk")
    assert "vault_auc" in outcome(lambda: act(best, REGISTRY))[1]
    assert "vault_auc" not in outcome(lambda: act(best, actor))[1]


def test_a_data_set_has_the_name_that_is_seen(any_world: World) -> None:
    from chopmark.ops.lineage import GetDataset, GetLineage, ListDatasets
    from chopmark.ops.requests import CreateModel, RegisterVersion

    for project, name in (("vault", "codename"), ("other", "mine")):
        data = cm.DatasetRef(name=name, uri=f"s3://{name}/x", digest="sha256:" + "d" * 64)
        config = {"uri": f"https://{project}.example", "digest": "sha256:" + "e" * 64}
        manifest = cm.Manifest(kind="external", format="external", config=config)
        any_world.transport.act(CreateModel(model=f"{project}/shared", kind="external"), REGISTRY)
        any_world.transport.act(
            RegisterVersion(model=f"{project}/shared", manifest=manifest, datasets=(data,)), REGISTRY
        )
    for sight, called in (("vault", "codename"), ("other", "mine")):
        actor = member_of(sight, "admin")
        hidden = ({"codename", "mine"} - {called}).pop()
        for asked in (GetLineage(of=f"{sight}/shared:1"), GetDataset(dataset="sha256:" + "d" * 64), ListDatasets()):
            assert hidden not in encode(any_world.transport.act(asked, actor)).decode(), asked
        found = any_world.transport.act(GetDataset(dataset="sha256:" + "d" * 64), actor)
        assert (found.name, found.dataset.uri) == (called, f"s3://{called}/x")
        assert outcome(lambda: any_world.transport.act(GetDataset(dataset=hidden), actor))[0] == "NotFound"  # noqa: B023
