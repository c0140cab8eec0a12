"""Retention: what protects, what rules keep, and laws that hold for any rules and any versions."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chopmark.domain.retention import Candidate, Dropped, Kept, Retention, check_retention, judge_retention, needed
from chopmark.errors import InvalidRequest

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def version(number: int, age_days: float = 100, **facts: Any) -> Candidate:
    created_at = NOW - timedelta(days=age_days)
    return replace(Candidate(ref=f"m:{number}", number=number, created_at=created_at), **facts)


def kept(retention: Retention, *candidates: Candidate) -> dict[str, tuple[str, ...]]:
    return {j.ref: j.reasons for j in judge_retention(retention, candidates, NOW) if isinstance(j, Kept)}


def test_the_newest_stay_with_their_reason() -> None:
    judged = judge_retention(Retention(newest=2), [version(n) for n in (1, 2, 3)], NOW)
    why = ("it is one of the newest 2",)
    assert judged == [Dropped("m:1", "not one of the newest 2"), Kept("m:2", why), Kept("m:3", why)]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"stage": "production"}, "it is in production"),
        ({"stage": "canary"}, "it is in canary"),
        ({"aliases": ("champion",)}, "the alias 'champion' points to it"),
        ({"deployments": ("fraud-api",)}, "it is deployed: fraud-api"),
        ({"needed_by": ("other:5",)}, "other:5 needs it"),
        ({"created_at": NOW - timedelta(days=9)}, "it was made within 10 days"),
        ({"last_loaded": date(2026, 5, 20)}, "it was loaded within 20 days"),
    ],
)
def test_what_keeps_a_version(facts: dict[str, Any], reason: str) -> None:
    rules = Retention(newest=1, days=10, used_days=20)
    assert kept(rules, version(1, **facts), version(2))["m:1"] == (reason,)


@pytest.mark.parametrize("facts", [{"stage": "staging"}, {"last_loaded": date(2026, 5, 1)}, {"stage": "archived"}])
def test_what_does_not(facts: dict[str, Any]) -> None:
    assert "m:1" not in kept(Retention(newest=1, days=10, used_days=20), version(1, **facts), version(2))


def test_what_a_kept_version_needs_is_kept_and_so_on() -> None:
    chain = [version(1, needed_by=("m:2",)), version(2, needed_by=("m:3",)), version(3), version(4)]
    assert set(kept(Retention(newest=2), *chain)) == {"m:1", "m:2", "m:3", "m:4"}
    assert kept(Retention(newest=2), *chain)["m:1"] == ("m:2 needs it",)
    assert set(kept(Retention(newest=1), *chain)) == {"m:4"}, "who needs them goes too"


def test_deleted_versions_are_neither_judged_nor_counted() -> None:
    gone = version(3, deleted_at=NOW)
    assert set(kept(Retention(newest=1), version(1), version(2), gone)) == {"m:2"}


def test_needs_are_followed_through_versions_that_are_due_themselves() -> None:
    needs = {"a": ["b"], "b": ["c"], "c": ["d"], "x": ["y"], "y": ["x"]}
    assert needed(iter(("a", "b", "c")), needs) == {"a", "b", "c"}, "d stays"
    assert needed({"a", "b", "c", "d"}, needs) == set()
    assert needed({"x", "y"}, needs) == set(), "a circle keeps nobody"


@pytest.mark.parametrize("rules", [Retention(newest=0), Retention(days=-1), Retention(used_days=10**9)])
def test_rules_that_mean_nothing_are_refused(rules: Retention) -> None:
    with pytest.raises(InvalidRequest, match="must be from 1"):
        check_retention(rules)


rules = st.one_of(st.none(), st.integers(1, 12))
retentions = st.builds(Retention, newest=rules, days=rules, used_days=rules)


@st.composite
def models(draw: st.DrawFn) -> list[Candidate]:
    numbers = draw(st.lists(st.integers(1, 20), unique=True, max_size=12))
    refs = [f"m:{n}" for n in numbers]
    return [
        Candidate(
            ref=f"m:{n}",
            number=n,
            created_at=NOW - timedelta(days=draw(st.integers(0, 15))),
            stage=draw(st.sampled_from(["development", "staging", "canary", "production", "archived"])),
            aliases=draw(st.sampled_from([(), (), ("a",)])),
            last_loaded=draw(st.one_of(st.none(), st.dates(date(2026, 5, 15), NOW.date()))),
            needed_by=tuple(draw(st.lists(st.sampled_from([*refs, "other:1"]), max_size=2, unique=True))),
            deleted_at=draw(st.sampled_from([None, None, None, NOW])),
        )
        for n in numbers
    ]


@given(models(), retentions, st.data())
def test_a_stricter_rule_never_keeps_more(model: list[Candidate], loose: Retention, data: st.DataObject) -> None:
    limits = {name: getattr(loose, name) for name in ("newest", "days", "used_days")}
    given = [name for name, limit in limits.items() if limit is not None]
    stricter = {name: data.draw(st.integers(1, limits[name])) for name in given}
    if len(given) > 1:  # without any rule everything stays
        stricter.pop(data.draw(st.sampled_from(given)), None) if data.draw(st.booleans()) else None
    assert set(kept(Retention(**stricter), *model)) <= set(kept(loose, *model))


@given(models(), retentions)
def test_what_is_protected_is_never_dropped(model: list[Candidate], retention: Retention) -> None:
    stays = kept(retention, *model)
    for each in model:
        if each.deleted_at is None and (each.stage in ("production", "canary") or each.aliases):
            assert each.ref in stays
    for each in model:
        if each.deleted_at is None and any(user in stays or user == "other:1" for user in each.needed_by):
            assert each.ref in stays
    assert all(stays.values()), "each with a reason"


@given(models(), retentions)
def test_judging_again_after_the_deletion_drops_nothing_more(model: list[Candidate], retention: Retention) -> None:
    stays = kept(retention, *model)
    after = [c if c.ref in stays else replace(c, deleted_at=c.deleted_at or NOW) for c in model]
    gone = {c.ref for c in after if c.deleted_at is not None}
    after = [replace(c, needed_by=tuple(u for u in c.needed_by if u not in gone)) for c in after]
    assert set(kept(retention, *after)) == set(stays)
