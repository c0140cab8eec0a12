"""Schedules, roles, members and webhooks over HTTP: an ETag when one is read, and what a write asks of it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

import chopmark as cm
from chopmark.base.jsons import encode
from chopmark.domain.access import EVERYWHERE, Actor
from chopmark.errors import Denied, NotFound, PreconditionFailed
from chopmark.ops.access import DefineRole, GetMember, GetRole, SetMember
from chopmark.ops.http import etag_of
from chopmark.ops.jobs import GetSchedule, SetSchedule
from chopmark.ops.requests import CreateProject, Request
from tests.server.conftest import Plain

API = "/api/v1"
ADA = Actor("ada")
WRITERS = 8


class Put(NamedTuple):
    """What is put at a place of its own: there, twice differently, and how it is read."""

    path: str
    first: dict[str, Any]
    second: dict[str, Any]


PUTS = [
    pytest.param(
        Put(
            "/schedules/nightly",
            {"kind": "integrity", "cron": "17 3 * * *"},
            {"kind": "integrity", "cron": "18 3 * * *"},
        ),
        id="schedule",
    ),
    pytest.param(
        Put("/roles/tester", {"permissions": ["read"]}, {"permissions": ["evaluate", "read"]}),
        id="role",
    ),
    pytest.param(Put("/members/*/actor/bob", {"role": "viewer"}, {"role": "maintainer"}), id="member"),
    pytest.param(Put("/members/default/group/team%2Fa", {"role": "viewer"}, {"role": "admin"}), id="group"),
]


def put(server: Plain, thing: Put, body: dict[str, Any], **headers: str) -> int:
    """The status of putting it."""
    return server.ask("PUT", API + thing.path, json.dumps(body).encode(), **headers).status


@pytest.mark.parametrize("thing", PUTS)
def test_it_changes_only_while_it_is_what_was_seen(plain: Plain, thing: Put) -> None:
    path = API + thing.path
    assert plain.ask("GET", path).status == 404
    assert put(plain, thing, thing.first) == 200
    seen = plain.ask("GET", path)
    tag = seen.headers["etag"]
    assert seen.json() | thing.first == seen.json()
    assert plain.ask("GET", path, if_none_match=tag).status == 304
    assert put(plain, thing, thing.second, if_match=tag) == 200
    late = plain.ask("PUT", path, json.dumps(thing.first).encode(), if_match=tag)
    assert (late.status, late.json()["code"]) == (412, "precondition_failed")
    assert plain.ask("DELETE", path, if_match=tag).status == 412
    now = plain.ask("GET", path)
    assert now.headers["etag"] != tag
    assert now.json() | thing.second == now.json()
    assert put(plain, thing, thing.first, if_match=f'"other", {now.headers["etag"]}') == 200
    assert put(plain, thing, thing.second, if_match="*") == 200
    assert plain.ask("DELETE", path, if_match=plain.ask("GET", path).headers["etag"]).status == 200
    assert plain.ask("GET", path).status == 404


@pytest.mark.parametrize("thing", PUTS)
def test_what_was_removed_meanwhile_is_not_made_again(plain: Plain, thing: Put) -> None:
    assert put(plain, thing, thing.first) == 200
    tag = plain.ask("GET", API + thing.path).headers["etag"]
    assert plain.ask("DELETE", API + thing.path).status == 200
    for expected in (tag, "*"):
        assert put(plain, thing, thing.second, if_match=expected) == 412
        assert plain.ask("DELETE", API + thing.path, if_match=expected).status == 404
    assert plain.ask("GET", API + thing.path).status == 404


@pytest.mark.parametrize("thing", PUTS)
def test_what_is_only_to_be_made_is_not_changed(plain: Plain, thing: Put) -> None:
    rehearsed = plain.ask("PUT", f"{API}{thing.path}?dry_run=true", json.dumps(thing.first).encode(), if_none_match="*")
    assert rehearsed.status == 200
    with ThreadPoolExecutor(WRITERS) as pool:
        made = [pool.submit(put, plain, thing, thing.first, if_none_match="*") for _ in range(WRITERS)]
    assert sorted(each.result() for each in made) == [200] + [412] * (WRITERS - 1)
    assert put(plain, thing, thing.second, if_none_match="*") == 412
    assert plain.ask("GET", API + thing.path).json() | thing.first == plain.ask("GET", API + thing.path).json()
    assert put(plain, thing, thing.second, if_none_match='"abc"') == 400
    assert plain.ask("DELETE", API + thing.path, if_none_match="*").status == 400


@pytest.mark.parametrize("thing", PUTS)
def test_of_many_who_saw_the_same_one_changes_it(plain: Plain, thing: Put) -> None:
    assert put(plain, thing, thing.first) == 200
    tag = plain.ask("GET", API + thing.path).headers["etag"]
    with ThreadPoolExecutor(WRITERS) as pool:
        changed = [pool.submit(put, plain, thing, thing.second, if_match=tag) for _ in range(WRITERS)]
    assert sorted(each.result() for each in changed) == [200] + [412] * (WRITERS - 1)


def test_a_role_that_is_always_there_is_read_and_never_made(plain: Plain) -> None:
    found = plain.ask("GET", f"{API}/roles/viewer")
    assert (found.json()["built_in"], "etag" in found.headers) == (True, True)
    body = b'{"permissions": ["read"]}'
    assert plain.ask("PUT", f"{API}/roles/viewer", body, if_none_match="*").status == 412
    assert plain.ask("PUT", f"{API}/roles/viewer", body, if_match=found.headers["etag"]).status == 409


def test_a_schedule_that_fires_no_more_is_no_longer_what_was_seen(plain: Plain) -> None:
    path = f"{API}/schedules/nightly"
    plain.ask("PUT", path, b'{"kind": "integrity", "cron": "17 3 * * *"}')
    tag = plain.ask("GET", path).headers["etag"]
    assert plain.ask("POST", f"{path}/pause", b"{}", if_match=tag).status == 200
    assert plain.ask("POST", f"{path}/resume", b"{}", if_match=tag).status == 412
    assert plain.ask("GET", path).json()["enabled"] is False
    now = plain.ask("GET", path).headers["etag"]
    assert plain.ask("POST", f"{path}/resume", b"{}", if_match=now).status == 200


def test_a_webhook_changes_only_while_it_is_what_was_seen(plain: Plain) -> None:
    made = plain.ask("POST", f"{API}/webhooks", b'{"project": "*", "url": "https://ci.example/hook"}')
    path = f"{API}/webhooks/{made.json()['webhook']['id']}"
    tag = plain.ask("GET", path).headers["etag"]
    assert plain.ask("PATCH", path, b'{"state": "paused"}', if_match=tag).status == 200
    for method, where, body in (
        ("PATCH", path, b'{"state": "active"}'),
        ("POST", f"{path}/rotate", b"{}"),
        ("DELETE", path, None),
    ):
        refused = plain.ask(method, where, body, if_match=tag)
        assert (refused.status, refused.json()["code"]) == (412, "precondition_failed"), method
    assert plain.ask("GET", path).json()["state"] == "paused"
    now = plain.ask("GET", path).headers["etag"]
    assert plain.ask("PATCH", path, b'{"state": "active"}', if_none_match="*").status == 400
    assert plain.ask("DELETE", path, if_match=now).status == 200
    assert plain.ask("DELETE", path, if_match=now).status == 404


def test_a_membership_that_is_hidden_is_not_told_by_a_precondition(plain: Plain) -> None:
    behind = plain.behind
    for project in ("risk", "shop"):
        behind.call(CreateProject(name=project))
        behind.call(SetMember(project=project, member="bob", role="viewer"))
    eve = Actor("eve", "viewer", grants={"risk": frozenset({"read", "admit"})})
    again = SetMember(project="shop", member="bob", role="viewer")
    for conditions in ({"absent": True}, {"expected": "*"}, {"expected": '"x"'}):
        with pytest.raises(NotFound):
            behind.act(again, eve, **conditions)
    with pytest.raises(NotFound):
        behind.act(GetMember(project="shop", member="bob"), eve)
    assert behind.act(GetMember(project="risk", member="bob"), eve).role == "viewer"
    with pytest.raises(Denied):
        behind.act(GetMember(project=EVERYWHERE, member="bob"), eve)


CHANGES = [
    pytest.param(
        GetSchedule(name="nightly"),
        lambda n: SetSchedule(name="nightly", kind="expiry", cron=f"{n} 3 * * *"),
        id="schedule",
    ),
    pytest.param(
        GetRole(name="tester"),
        lambda n: DefineRole(name="tester", permissions=("read",), description=str(n)),
        id="role",
    ),
    pytest.param(
        GetMember(project="*", member="bob"),
        lambda n: SetMember(project="*", member="bob", role=f"role{n}"),
        id="member",
    ),
]


@pytest.mark.parametrize(("reading", "change"), CHANGES)
def test_writers_at_once_are_in_turn_in_every_catalog(
    own: cm.Registry, reading: Request, change: Callable[[int], Request]
) -> None:
    for n in range(2 * WRITERS):
        own.access.define_role(f"role{n}", ["read"])
    transport: Any = own._transport

    def write(n: int, **conditions: Any) -> bool:
        try:
            transport.act(change(n), ADA, **conditions)
        except PreconditionFailed:
            return False
        return True

    def write_all(first: int, **conditions: Any) -> None:
        """All at once, each something else; one of them is what is there in the end."""
        with ThreadPoolExecutor(WRITERS) as pool:
            written = list(pool.map(lambda n: write(n, **conditions), range(first, first + WRITERS)))
        assert sorted(written) == [False] * (WRITERS - 1) + [True], conditions
        wanted, found = change(first + written.index(True)), transport.act(reading, ADA)
        for field in ("cron", "description", "role"):
            assert getattr(found, field, None) == getattr(wanted, field, None)

    write_all(0, absent=True)
    write_all(WRITERS, expected=etag_of(encode(transport.act(reading, ADA))))
