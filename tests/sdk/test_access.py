"""Tokens, members and roles as a user meets them, on every back end and over HTTP."""

from datetime import timedelta

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.access import ROLES, Actor, Limits
from chopmark.errors import Conflict, Denied, InvalidRequest, NotFound
from chopmark.ops import access as q
from chopmark.ops.requests import CreateProject, Request
from chopmark.testing.registry import memory_transport


def test_a_life_of_members_roles_and_tokens(registry: cm.Registry, clock: FakeClock) -> None:
    access = registry.access
    registry.projects.create("risk")
    assert access.whoami().grants == {"*": tuple(sorted(ROLES["admin"]))}
    given = access.set_member("bob", "viewer", project="risk", reason="joins")
    assert access.set_member("bob", "viewer", project="risk") == given  # nothing changes
    assert access.set_member("bob", "maintainer", project="risk").role == "maintainer"
    access.set_member("ops", "admin", kind="group")
    access.define_role("tester", ["evaluate"], description="measures")
    access.set_member("carl", "tester", project="risk")
    assert [(m.project, m.kind, m.member, m.role) for m in access.members()] == [
        ("*", "group", "ops", "admin"),
        ("risk", "actor", "bob", "maintainer"),
        ("risk", "actor", "carl", "tester"),
    ]
    assert [m.member for m in access.members("risk", limit=1)] == ["bob"]
    assert access.member("bob", project="risk") == access.members("risk")[0]
    assert (access.member("ops", kind="group").role, access.role("tester").description) == ("admin", "measures")
    for missing in (lambda: access.member("ops"), lambda: access.member("bob"), lambda: access.role("judge")):
        with pytest.raises(NotFound):
            missing()
    assert [m.member for m in access.members("*")] == ["ops"]
    with pytest.raises(Conflict, match="carl in risk"):
        access.remove_role("tester")
    assert access.remove_member("carl", project="risk").ref == "carl"
    assert access.remove_role("tester").ref == "tester"
    assert [r.name for r in access.roles()] == list(ROLES)
    assert [access.role(name) for name in ROLES] == access.roles()
    made = access.create_token("ci", scopes=["register"], project="risk", expires_at=clock() + timedelta(days=1))
    assert [t.id for t in access.tokens()] == [made.token.id]
    assert len(access.tokens(owner="bob")) == 0
    assert access.revoke(made.secret).revoked_at is not None
    assert access.revoke(made.token, reason="again").revoked_at == access.tokens()[0].revoked_at
    names = [(e.event, e.target) for e in registry.audit.list()]
    assert names == [
        ("project.created", "risk"), ("member.set", "risk"), ("member.set", "risk"), ("member.set", "*"),
        ("role.defined", "tester"), ("member.set", "risk"), ("member.removed", "risk"), ("role.removed", "tester"),
        ("token.created", made.token.id), ("token.revoked", made.token.id),
    ]  # fmt: skip
    assert registry.audit.list()[2].data == {
        "member": "bob", "kind": "actor", "role": "maintainer", "previous": "viewer",
    }  # fmt: skip
    assert registry.audit.verify().fault == ""
    if registry._transport.own or registry.location == "memory":
        registry._transport.catch_up()
    assert not [f for f in registry.storage.check().findings if f.severity == "error"]


def test_what_cannot_be_meant_is_refused_and_leaves_nothing(registry: cm.Registry, clock: FakeClock) -> None:
    access = registry.access
    for call, error in (
        (lambda: access.set_member("bob", "viewer", project="none"), NotFound),
        (lambda: access.set_member("bob", "emperor"), InvalidRequest),
        (lambda: access.set_member(" ", "viewer"), InvalidRequest),
        (lambda: access.remove_member("bob"), NotFound),
        (lambda: access.members("none"), NotFound),
        (lambda: access.define_role("viewer", ["read"]), Conflict),
        (lambda: access.define_role("x", ["fly"]), InvalidRequest),
        (lambda: access.define_role("x y", ["read"]), InvalidRequest),
        (lambda: access.remove_role("none"), NotFound),
        (lambda: access.remove_role("viewer"), NotFound),
        (lambda: access.create_token("", scopes=["read"]), InvalidRequest),
        (lambda: access.create_token("x", scopes=["fly"]), InvalidRequest),
        (lambda: access.create_token("x", project="none"), NotFound),
        (lambda: access.create_token("x", expires_at=clock() - timedelta(days=1)), InvalidRequest),
        (lambda: access.revoke("0" * 16), NotFound),
        (lambda: access.revoke("nonsense"), InvalidRequest),
    ):
        with pytest.raises(error):
            call()
    assert len(registry.audit.list()) == 0
    assert len(access.tokens()) == 0


def test_a_rehearsal_makes_no_token_and_shows_none(registry: cm.Registry) -> None:
    made = registry.dry_run().access.create_token("x")
    assert (made.token.name, made.secret) == ("x", "")
    assert len(registry.access.tokens()) == 0


def act(actor: Actor, *requests: Request) -> list[str]:
    """What somebody gets for requests: names of errors, empty for an answer."""
    transport = memory_transport(cm.Settings(actor="root"))
    root = Actor("root")
    for project in ("risk", "other"):
        transport.act(CreateProject(name=project), root)
    transport.act(q.DefineRole(name="doorman", permissions=("admit", "token")), root)
    transport.act(q.SetMember(project="risk", member="boss", role="admin"), root)
    told = []
    for request in requests:
        try:
            transport.act(request, actor)
            told.append("")
        except cm.errors.ChopmarkError as error:
            told.append(type(error).__name__)
    transport.close()
    return told


def test_nobody_hands_out_or_takes_more_than_they_hold() -> None:
    doorman = Actor("d", grants={"risk": frozenset({"read", "admit", "token"})})
    assert act(
        doorman,
        q.SetMember(project="risk", member="x", role="doorman"),
        q.SetMember(project="risk", member="x", role="viewer"),
        q.SetMember(project="risk", member="x", role="contributor"),
        q.SetMember(project="risk", member="boss", role="viewer"),
        q.RemoveMember(project="risk", member="boss"),
        q.SetMember(project="*", member="d", role="viewer"),
        q.SetMember(project="other", member="d", role="viewer"),
        q.DefineRole(name="doorman", permissions=("admit", "purge")),
        q.CreateToken(name="t", owner="boss"),
    ) == ["", "", "Denied", "Denied", "Denied", "Denied", "NotFound", "Denied", "Denied"]
    everywhere = Actor("d", grants={"*": frozenset({"read", "admit", "token"})})
    assert act(
        everywhere,
        q.CreateToken(name="t", owner="boss"),
        q.CreateToken(name="t", owner="boss", scopes=("purge",)),
        q.CreateToken(name="t", owner="boss", scopes=("purge",), project="risk"),
        q.DefineRole(name="doorman", permissions=("admit", "purge")),
        q.DefineRole(name="doorman", permissions=("read",)),
        q.RemoveMember(project="risk", member="boss"),
    ) == ["", "Denied", "Denied", "Denied", "", "Denied"]


def test_the_last_who_may_let_others_in_stays() -> None:
    admin = Actor("ada", grants={"*": ROLES["admin"]})
    ada, boris = (q.SetMember(project="*", member=name, role="admin") for name in ("ada", "boris"))
    doors = q.DefineRole(name="doors", permissions=("read", "admit"))
    assert act(
        admin,
        ada,
        q.SetMember(project="*", member="ada", role="maintainer"),
        q.RemoveMember(project="*", member="ada"),
        q.SetMember(project="risk", member="boris", role="admin"),
        q.RemoveMember(project="*", member="ada"),
        doors,
        q.SetMember(project="*", kind="group", member="doors", role="doors"),
        q.RemoveMember(project="*", member="ada"),
        q.DefineRole(name="doors", permissions=("read",)),
        boris,
        q.DefineRole(name="doors", permissions=("read",)),
        q.RemoveMember(project="*", member="boris"),
        q.RemoveMember(project="*", member="ada"),
    ) == ["", "Conflict", "Conflict", "", "Conflict", "", "", "Conflict", "", "", "", "", "Conflict"]
    issued = Actor("olga", grants={"*": ROLES["admin"]})
    assert act(issued, boris, q.RemoveMember(project="*", member="boris")) == ["", ""], "olga stays: her group admits"
    assert act(Actor("root"), ada, q.RemoveMember(project="*", member="ada")) == ["", ""], "it opened the database"


def test_a_token_makes_none_that_may_more_than_itself() -> None:
    limits = Limits(frozenset({"read", "token"}), "risk")
    ada = Actor("ada", grants={"risk": limits.scopes}, limits=limits)
    assert act(
        ada,
        q.CreateToken(name="t", project="risk"),
        q.CreateToken(name="t"),
        q.CreateToken(name="t", project="other"),
        q.CreateToken(name="t", project="risk", scopes=("register",)),
        q.ListTokens(),
        q.ListTokens(all=True),
        q.ListTokens(owner="boss"),
    ) == ["", "Denied", "NotFound", "Denied", "", "Denied", "Denied"]


def test_tokens_of_others_are_neither_seen_nor_revoked() -> None:
    transport = memory_transport(cm.Settings(actor="root"))
    made = transport.act(q.CreateToken(name="t", owner="boss"), Actor("root"))
    eve = Actor("eve", grants={"*": ROLES["viewer"]})
    assert transport.act(q.ListTokens(), eve).items == []
    with pytest.raises(NotFound, match=f"There is no token {made.token.id}"):
        transport.act(q.RevokeToken(token=made.token.id), eve)
    with pytest.raises(Denied):
        transport.act(q.ListTokens(owner="boss"), eve)
    assert transport.act(q.RevokeToken(token=made.token.id), Actor("boss", grants={"x": ROLES["viewer"]})).revoked_at
    transport.close()
