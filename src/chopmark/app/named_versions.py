"""Versions that endpoints and open rollouts name: requests are answered with them, or will be, so their bytes stay."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from chopmark.abc.catalog import Transaction
from chopmark.abc.rollouts import RolloutPlace
from chopmark.base.paging import PAGE_SIZE_MAX
from chopmark.domain.endpoints import parse_endpoint
from chopmark.domain.rollouts import Rollout
from chopmark.domain.traffic import PinnedVersion

__all__ = ["gone_of", "holding_rollouts", "is_servable", "named_versions"]


def holding_rollouts(tx: Transaction) -> dict[UUID, list[Rollout]]:
    """Rollouts that may give a version traffic yet, by the version; they are few.

    One that has ended names nothing which its endpoint does not name too, until somebody sets another split.
    """
    found: dict[UUID, list[Rollout]] = {}
    for rollout in _open(tx):
        if not rollout.is_final and not _is_given_up(rollout) and _has_endpoint(tx, rollout):
            for version in _versions_of(rollout):
                found.setdefault(version.id, []).append(rollout)
    return found


def named_versions(tx: Transaction) -> dict[UUID, str]:
    """Digest by id of every version that an endpoint or a rollout names, whether or not its row is there."""
    found: dict[UUID, str] = {}
    after = ("", "")
    while page := tx.endpoints.list(after=after, limit=PAGE_SIZE_MAX):
        for endpoint in page:
            pinned = [*(v.version for v in endpoint.variants), *(s.version for s in endpoint.shadows)]
            found |= {version.id: version.digest for version in pinned}
        after = page[-1].project, page[-1].name
    for rollouts in holding_rollouts(tx).values():
        found |= {v.id: v.digest for rollout in rollouts for v in _versions_of(rollout)}
    return found


def is_servable(tx: Transaction, version_id: UUID) -> bool:
    """Whether a version is there, and neither deleted nor archived."""
    version = tx.versions.by_id(version_id)
    return version is not None and version.deleted_at is None and version.stage != "archived"


def gone_of(tx: Transaction, rollout: Rollout) -> tuple[PinnedVersion, ...]:
    """What a rollout names and nobody can be answered with any more."""
    return tuple(v for v in _versions_of(rollout) if not is_servable(tx, v.id))


def _versions_of(rollout: Rollout) -> tuple[PinnedVersion, ...]:
    return (rollout.candidate,) if rollout.stable is None else (rollout.candidate, rollout.stable)


def _is_given_up(rollout: Rollout) -> bool:
    """Whether it was told to end before its turn came: it never sets a split."""
    return rollout.state == "queued" and rollout.wants == "abort"


def _has_endpoint(tx: Transaction, rollout: Rollout) -> bool:
    ref = parse_endpoint(rollout.endpoint_ref)
    endpoint = tx.endpoints.get(ref.project, ref.name)
    return endpoint is not None and endpoint.id == rollout.endpoint


def _open(tx: Transaction) -> Iterator[Rollout]:
    before: RolloutPlace | None = None
    while page := tx.rollouts.list(is_open=True, before=before, limit=PAGE_SIZE_MAX):
        yield from page
        before = RolloutPlace(page[-1].created_at, page[-1].id)
