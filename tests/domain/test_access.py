"""Grants: what roles, groups and tokens add up to. Never more than each of them gives."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.access import (
    EVERYWHERE,
    PERMISSIONS,
    ROLES,
    Actor,
    Limits,
    check_member,
    check_permission,
    check_permissions,
    grants_of,
    narrowed,
    parse_group_roles,
)
from chopmark.domain.tokens import check_id, matches, parse_token, secret_hash, written
from chopmark.errors import Denied, InvalidRequest

PROJECTS = st.sampled_from(["a", "b", "c", EVERYWHERE])
SCOPES = st.frozensets(st.sampled_from(sorted(PERMISSIONS)))
HELD = st.lists(st.tuples(PROJECTS, st.sampled_from([*ROLES, "tester", "gone"])), max_size=6)
CUSTOM = {"tester": frozenset({"read", "evaluate"})}


def test_roles_hold_what_the_ones_below_hold() -> None:
    names = list(ROLES)
    for lower, higher in pairwise(names):
        assert ROLES[lower] < ROLES[higher]
    assert ROLES["admin"] == PERMISSIONS
    assert all("read" in held for held in ROLES.values())


@given(HELD)
def test_grants_are_the_union_of_roles_whatever_their_order(held: list[tuple[str, str]]) -> None:
    grants = grants_of(held, CUSTOM)
    assert grants == grants_of(held[::-1], CUSTOM) == grants_of(held + held, CUSTOM)
    for project in ("a", "b", "c", EVERYWHERE):
        given_there = [ROLES.get(role, CUSTOM.get(role, frozenset())) for where, role in held if where == project]
        assert grants.get(project, frozenset()) == frozenset[str]().union(*given_there)


@given(HELD, SCOPES, st.sampled_from(["", "a", "b"]))
def test_a_token_never_adds_anything(held: list[tuple[str, str]], scopes: frozenset[str], project: str) -> None:
    owner = Actor("ada", grants=grants_of(held, CUSTOM))
    cut = Actor("ada", grants=narrowed(owner.grants or {}, Limits(scopes, project)))
    for where in ("a", "b", "c", "unknown", EVERYWHERE):
        kept = cut.permissions(where)
        assert kept <= owner.permissions(where) & scopes
        if project in ("", where):
            assert kept == owner.permissions(where) & scopes
        elif project:
            assert not kept
    assert cut.grants is not None
    assert all(cut.grants.values())


@given(HELD)
def test_sight_is_what_may_be_read(held: list[tuple[str, str]]) -> None:
    actor = Actor("ada", grants=grants_of(held, CUSTOM))
    sight = actor.sight
    for project in ("a", "b", "c"):
        assert actor.sees(project) == (sight is None or project in sight)
    assert actor.may_somewhere("read") == (sight is None or bool(sight))


def test_without_grants_a_role_holds_everywhere() -> None:
    assert Actor("ada").sight is None
    assert Actor("ada").may("admit", EVERYWHERE)
    assert not Actor("ada", "viewer").may("promote", "x")
    assert Actor("ada", "admin", grants={}).sight == frozenset()  # grants, even none, are all that counts
    assert not Actor("ada", "admin", grants={}).may_somewhere("read")


def test_refusals_say_what_is_missing_and_where() -> None:
    actor = Actor("ada", grants={"risk": ROLES["viewer"]})
    check_permission(actor, "read", "model.get")
    check_permission(actor, "read", "model.get", "risk")
    for project, words in (("risk", "in risk"), (EVERYWHERE, "on the whole registry"), ("", "may not model.update:")):
        with pytest.raises(Denied, match=words) as caught:
            check_permission(actor, "annotate", "model.update", project)
        assert "contributor, maintainer, admin" in caught.value.hint
        assert caught.value.details == {"permission": "annotate"}
    with pytest.raises(Denied, match=r"ada \(viewer\)"):
        check_permission(Actor("ada", "viewer"), "annotate", "model.update")


def test_a_refusal_says_whether_it_is_the_token_or_the_role() -> None:
    limits = Limits(frozenset({"read", "token"}), "risk")
    cut = Actor("ada", grants=narrowed({EVERYWHERE: ROLES["admin"]}, limits), limits=limits)
    for project in ("", "risk", EVERYWHERE):
        with pytest.raises(
            Denied, match=r"with this token: it lacks the scope 'promote', and has read, token"
        ) as caught:
            check_permission(cut, "promote", "version.promote", project)
        assert "token create NAME --scope promote" in caught.value.hint
        assert "maintainer, admin" in caught.value.hint
    with pytest.raises(Denied, match=r"may not whoami in other with this token: it is only for risk"):
        check_permission(cut, "read", "whoami", "other")
    # The token keeps it; it is the role that does not have it.
    limits = Limits(PERMISSIONS)
    whole = Actor("ada", grants=narrowed({"risk": ROLES["viewer"]}, limits), limits=limits)
    with pytest.raises(Denied, match="it needs the permission 'promote'") as caught:
        check_permission(whole, "promote", "version.promote", "risk")
    assert "--scope" not in caught.value.hint


def test_permissions_are_known_and_always_read() -> None:
    assert check_permissions(["evaluate", "evaluate"], "x") == ("evaluate", "read")
    assert check_permissions([], "x") == ("read",)
    with pytest.raises(InvalidRequest, match="'fly'"):
        check_permissions(["read", "fly"], "x")


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "a\u200bb", "x" * 201, "\ud800"])
def test_names_that_nobody_could_read_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        check_member(name)
    assert check_member("Ada Lovelace <ada@example.org>")


def test_roles_of_groups_are_read_from_a_setting() -> None:
    assert parse_group_roles("") == {}
    assert parse_group_roles(" ml-admins = * : admin, risk=risk:viewer,risk=b:tester ,") == {
        "ml-admins": [("*", "admin")],
        "risk": [("risk", "viewer"), ("b", "tester")],
    }
    assert parse_group_roles("/realm/team=x=*:viewer") == {"/realm/team=x": [("*", "viewer")]}
    for text in ("x", "x=y", "=*:admin", "x=:admin", "x=*:", "x=a b:admin"):
        with pytest.raises(InvalidRequest):
            parse_group_roles(text)


@given(st.binary(min_size=8, max_size=8), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_tokens_are_read_as_they_were_written(token_id: bytes, secret: bytes, other: bytes) -> None:
    text = written(token_id.hex(), secret)
    assert parse_token(text) == (token_id.hex(), secret)
    assert matches(secret, secret_hash(secret))
    assert matches(other, secret_hash(secret)) == (other == secret)
    assert secret.hex() not in secret_hash(secret)
    assert check_id(text) == check_id(token_id.hex()) == token_id.hex()


@given(st.text(max_size=90))
def test_other_texts_are_no_tokens_and_are_not_repeated(text: str) -> None:
    assert parse_token(text) is None
    for wrong in (text, written("0" * 16, bytes(32))[:-1] + "\n", f"cm_{'0' * 16}_{'é' * 64}"):
        assert parse_token(wrong) is None
        with pytest.raises(InvalidRequest) as caught:
            check_id(wrong)
        assert str(caught.value).startswith("That is not the id of a token.")
