"""Stages, bumps, trust, policies, permissions and the audit chain."""

from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.base.ids import uuid7
from chopmark.domain.access import PERMISSIONS, ROLES, Actor, check_permission
from chopmark.domain.audit import GENESIS, AuditEvent, event_hash, find_fault
from chopmark.domain.bump import check_breaking, propose_bump
from chopmark.domain.lifecycle import MOVES, STAGES, check_move
from chopmark.domain.llm import parse_llm_config
from chopmark.domain.manifest import Environment, FileEntry, Manifest, Member
from chopmark.domain.policy import missing_metadata, production_findings
from chopmark.domain.semver import SemVer
from chopmark.domain.signature import Field, Signature
from chopmark.domain.trust import judge_trust
from chopmark.domain.versions import ProjectRules, TrustDecision
from chopmark.errors import Conflict, Denied, GateRefused, InvalidRequest
from chopmark.ops.table import OPS
from tests.domain.records import NOON, a_version

ALLOWED = {
    ("development", "staging"),
    ("development", "archived"),
    ("staging", "development"),
    ("staging", "canary"),
    ("staging", "production"),
    ("staging", "archived"),
    ("canary", "staging"),
    ("canary", "production"),
    ("canary", "archived"),
    ("production", "staging"),
    ("production", "deprecated"),
    ("production", "archived"),
    ("deprecated", "production"),
    ("deprecated", "archived"),
    ("archived", "development"),
}


@pytest.mark.parametrize(("old", "new"), list(product(STAGES, STAGES)))
def test_exactly_the_designed_moves_are_allowed(old: str, new: str) -> None:
    if (old, new) in ALLOWED:
        check_move("fraud:1", old, new)
        return
    with pytest.raises(Conflict) as caught:
        check_move("fraud:1", old, new)
    assert all(stage in caught.value.hint for stage in MOVES[old])


def manifest(**fields: object) -> Manifest:
    base = Manifest(
        kind="artifact",
        format="skops",
        files=(FileEntry("model/m", "weights", 1, "sha256:" + "0" * 64),),
        signature=Signature((Field("a", "float"),), (Field("y", "int"),)),
        params={"depth": 3},
        environment=Environment(framework="scikit-learn", framework_version="1.7.2"),
    )
    return msgspec.structs.replace(base, **fields)


@pytest.mark.parametrize(
    ("change", "level", "says"),
    [
        ({}, "patch", "only the bytes differ"),
        ({"params": {"depth": 4}}, "minor", "parameter depth was 3, is 4"),
        ({"params": {}}, "minor", "parameter depth is gone"),
        ({"environment": Environment(framework="scikit-learn", framework_version="1.7.9")}, "patch", "only"),
        (
            {"environment": Environment(framework="scikit-learn", framework_version="1.8.0")},
            "minor",
            "scikit-learn was 1.7.2",
        ),
        ({"environment": Environment(framework="xgboost")}, "minor", "framework was scikit-learn"),
        ({"format": "onnx"}, "minor", "format was skops"),
        (
            {"signature": Signature((Field("a", "float"), Field("b", "float", nullable=True)), (Field("y", "int"),))},
            "minor",
            "features changed: b",
        ),
        (
            {"signature": Signature((Field("a", "float"), Field("b", "float")), (Field("y", "int"),))},
            "major",
            "'b' is new and required",
        ),
        (
            {"signature": Signature((Field("a", "float"),), (Field("y", "string"),))},
            "major",
            "output 'y' was int, is string",
        ),
        ({"signature": Signature((Field("a", "int"),), (Field("y", "int"),))}, "major", "input 'a' was float, is int"),
        ({"signature": None}, "major", "the signature is gone"),
        ({"signature": Signature((), (Field("y", "int"),))}, "minor", "features changed: a"),
        ({"parents": (Member("ensemble_member_of", "x:1", "sha256:1"),)}, "minor", "members of the ensemble changed"),
    ],
)
def test_auto_bump_says_why(change: dict[str, object], level: str, says: str) -> None:
    proposal = propose_bump(manifest(), manifest(**change))
    assert proposal.level == level
    assert any(says in reason for reason in proposal.reasons)
    assert bool(proposal.breaking) == (level == "major")


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        ("1.2.0", "1.3.0", True),
        ("1.2.0", "1.2.1", True),
        ("1.2.0", "2.0.0", False),
        ("0.2.0", "0.3.0", False),
        ("0.2.0", "0.2.1", True),
        ("2.0.0", "1.2.1", False),
    ],
)
def test_breaking_changes_need_a_major(old: str, new: str, refused: bool) -> None:
    if refused:
        with pytest.raises(GateRefused) as caught:
            check_breaking(["input 'b' is new"], SemVer.parse(old), SemVer.parse(new), "fraud:1")
        assert caught.value.findings == ["input 'b' is new"]
    else:
        check_breaking(["input 'b' is new"], SemVer.parse(old), SemVer.parse(new), "fraud:1")
    check_breaking([], SemVer.parse(old), SemVer.parse(new), "fraud:1")


def decision(basis: str = "person", names: tuple[str, ...] = ()) -> TrustDecision:
    return TrustDecision(digest="d", names=names, basis=basis, actor="ada", at=NOON)  # type: ignore[arg-type]


PICKLE = a_version(runs_code=True, format="pickle")
NAMED = a_version(untrusted=("my.Type", "my.Other"), format="skops")


@pytest.mark.parametrize(
    ("mode", "version", "decisions", "action"),
    [
        ("never", a_version(), [], "load"),
        ("never", PICKLE, [decision()], "refuse"),
        ("never", NAMED, [decision(names=NAMED.untrusted)], "refuse"),
        ("marked_only", PICKLE, [], "refuse"),
        ("marked_only", PICKLE, [decision()], "load"),
        ("marked_only", PICKLE, [decision("own_registry")], "refuse"),
        ("marked_only", NAMED, [decision(names=("my.Type",))], "refuse"),
        ("marked_only", NAMED, [decision(names=("my.Type",)), decision(names=("my.Other",))], "load"),
        ("own_registry", PICKLE, [], "record"),
        ("own_registry", PICKLE, [decision("revoked")], "refuse"),
        ("own_registry", PICKLE, [decision(), decision("revoked")], "load"),
        ("own_registry", PICKLE, [decision("own_registry"), decision("revoked")], "refuse"),
        ("own_registry", PICKLE, [decision("revoked"), decision()], "refuse"),
        ("marked_only", PICKLE, [decision("revoked"), decision()], "refuse"),
        ("own_registry", PICKLE, [decision("own_registry")], "load"),
        ("own_registry", NAMED, [decision(names=("my.Type",))], "record"),
    ],
)
def test_trust(mode, version, decisions, action) -> None:
    verdict = judge_trust(mode, version, decisions)
    assert verdict.action == action
    assert bool(verdict.reason) == (action == "refuse")
    if action != "refuse":
        assert verdict.names == version.untrusted


def test_required_metadata_is_listed_whole() -> None:
    rules = ProjectRules(
        required_fields=("owner", "datasets", "cost_per_request"), required_tags=("team",), required_metrics=("f1",)
    )
    assert len(missing_metadata(rules, a_version())) == 5
    assert missing_metadata(
        rules, a_version(owner="a", cost_per_request=0.0, tags={"team": ""}, metrics={"f1": 0})
    ) == ["datasets is missing"]


def test_one_production_version() -> None:
    assert production_findings(ProjectRules(), [a_version()]) == []
    assert (
        "fraud:1 is in production" in production_findings(ProjectRules(one_production_version=True), [a_version()])[0]
    )


def test_every_op_asks_for_a_permission_that_exists_and_roles_grow() -> None:
    assert {op.permission for op in OPS.values()} <= PERMISSIONS
    assert ROLES["viewer"] < ROLES["contributor"] < ROLES["maintainer"] < ROLES["admin"] == PERMISSIONS
    assert len({OPS[f"version.{v}"].permission for v in ("archive", "deprecate", "delete", "purge")}) == 4


def test_a_missing_permission_names_who_has_it() -> None:
    check_permission(Actor("ada", "admin"), "purge", "version.purge")
    with pytest.raises(Denied) as caught:
        check_permission(Actor("bob", "viewer"), "promote", "version.promote")
    assert "maintainer, admin" in str(caught.value)


def chain(count: int) -> list[AuditEvent]:
    events, previous = [], GENESIS
    for seq in range(1, count + 1):
        event = AuditEvent(
            seq=seq,
            id=uuid7(NOON),
            at=NOON,
            actor="ada",
            event="x.y",
            target=f"m:{seq}",
            data={"n": seq},
            previous=previous,
        )
        event = msgspec.structs.replace(event, hash=event_hash(event))
        events.append(event)
        previous = event.hash
    return events


def test_a_whole_chain_has_no_fault_and_pieces_can_be_checked() -> None:
    events = chain(6)
    assert find_fault(events) is None
    assert find_fault(events[3:], events[2].hash, 4) is None


@given(st.integers(0, 5), st.sampled_from(["actor", "event", "target", "data", "at", "previous", "hash"]))
def test_any_changed_field_is_found(at: int, field: str) -> None:
    events = chain(6)
    value = {"data": {"n": 99}, "at": NOON.replace(hour=1)}.get(field, "sha256:0")
    events[at] = msgspec.structs.replace(events[at], **{field: value})
    fault = find_fault(events)
    assert fault is not None
    assert fault.seq == at + 1


def test_removed_and_swapped_events_are_found() -> None:
    events = chain(6)
    assert find_fault(events[:2] + events[3:]).seq == 3
    assert find_fault([events[0], events[2], events[1], *events[3:]]).seq == 2
    rewritten = msgspec.structs.replace(events[1], target="other", hash="")
    rewritten = msgspec.structs.replace(rewritten, hash=event_hash(rewritten))
    assert find_fault([events[0], rewritten, *events[2:]]).seq == 3


def test_llm_configurations_are_checked() -> None:
    config: dict[str, Any] = {
        "provider": "openai",
        "model": "gpt-x",
        "temperature": 0.2,
        "fallback": "gpt-mini",
        "params": {"seed": 1},
    }
    assert parse_llm_config(config).fallback == "gpt-mini"
    for bad in [
        {},
        {"provider": "a"},
        {**config, "temperature": 3},
        {**config, "temprature": 1},
        {**config, "max_tokens": 0},
        {**config, "provider": " "},
        {**config, "top_p": float("nan")},
    ]:
        with pytest.raises(InvalidRequest):
            parse_llm_config(bad)
