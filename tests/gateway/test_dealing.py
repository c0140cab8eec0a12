"""Dealing: the same as `chopmark.stats.assign`, sticky, and monotone in the weights."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from chopmark.base.clock import FakeClock
from chopmark.domain.endpoints import Endpoint
from chopmark.domain.traffic import WEIGHT_TOTAL, PinnedVersion, Variant
from chopmark.gateway.dealing import dealt_by
from chopmark.stats.assign import Assignment

NOW = FakeClock()()


def _endpoint(weights: list[int], numbers: list[int] | None = None) -> Endpoint:
    variants = tuple(
        Variant(
            name="stable" if i == 0 else f"candidate-{number}",
            version=PinnedVersion(id=UUID(int=number), model="fraud", number=number, digest="sha256:" + "0" * 64),
            weight=weight,
        )
        for i, (weight, number) in enumerate(zip(weights, numbers or range(1, len(weights) + 1), strict=True))
    )
    return Endpoint(
        id=UUID(int=99),
        project="default",
        name="fraud-api",
        variants=variants,
        created_at=NOW,
        created_by="ada",
        updated_at=NOW,
        updated_by="ada",
    )


@st.composite
def splits(draw: st.DrawFn) -> list[int]:
    cuts = sorted(draw(st.lists(st.integers(0, WEIGHT_TOTAL), max_size=4)))
    return [after - before for before, after in zip([0, *cuts], [*cuts, WEIGHT_TOTAL], strict=True)]


@given(splits(), st.lists(st.text(max_size=20), min_size=1, max_size=20))
def test_a_router_deals_as_everybody_else_who_knows_the_salt(weights: list[int], units: list[str]) -> None:
    endpoint = _endpoint(weights)
    deal = dealt_by(endpoint)
    arms = Assignment(endpoint.salt, {v.name: v.weight for v in endpoint.variants})
    encodable = [u for u in units if u.isprintable()]
    for unit in encodable:
        assert endpoint.variants[deal(unit.encode())].name == arms.arm(unit)


@given(st.integers(0, WEIGHT_TOTAL), st.integers(0, WEIGHT_TOTAL))
def test_raising_a_weight_only_adds_users(one: int, other: int) -> None:
    low, high = sorted((one, other))
    before, after = dealt_by(_endpoint([WEIGHT_TOTAL - low, low])), dealt_by(_endpoint([WEIGHT_TOTAL - high, high]))
    units = [f"user-{i}".encode() for i in range(200)]
    assert {u for u in units if before(u) == 1} <= {u for u in units if after(u) == 1}


def test_shares_come_out() -> None:
    deal = dealt_by(_endpoint([7_000, 2_000, 1_000]))
    counts = Counter(deal(f"user-{i}".encode()) for i in range(20_000))
    assert [round(counts[i] / 20_000, 2) for i in range(3)] == [0.7, 0.2, 0.1]


def test_a_weight_of_nothing_gets_nobody() -> None:
    for weights in ([WEIGHT_TOTAL, 0], [WEIGHT_TOTAL, 0, 0]):
        deal = dealt_by(_endpoint(weights))
        assert {deal(f"user-{i}".encode()) for i in range(1_000)} == {0}


def test_another_challenger_is_another_deal() -> None:
    """Else the same people would meet every new version first."""
    first, second = dealt_by(_endpoint([9_000, 1_000], [1, 2])), dealt_by(_endpoint([9_000, 1_000], [1, 3]))
    units = [f"user-{i}".encode() for i in range(5_000)]
    both = sum(first(u) == second(u) == 1 for u in units)
    assert 20 <= both <= 90  # 1 % of them, not 10 %
