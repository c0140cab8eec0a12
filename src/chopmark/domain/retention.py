"""Retention: which versions of a model stay, and why; level-triggered, from the state as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

import msgspec

from chopmark.errors import InvalidRequest

__all__ = [
    "DAYS_MAX",
    "PROTECTED_STAGES",
    "Candidate",
    "Dropped",
    "Kept",
    "Retention",
    "check_retention",
    "judge_retention",
    "needed",
]

PROTECTED_STAGES = ("production", "canary")
"""Stages whose versions no rule drops. ``staging`` is not one: what was staged and forgotten may go."""

DAYS_MAX = 36_500


class Retention(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many versions of a model are kept, and for how long.

    A version stays when any of the rules keeps it; with no rule every version stays. Those in
    production or canary, aliased, deployed, or needed by one that stays are kept whatever it says.

    Attributes
    ----------
    newest
        Keep that many of the highest numbers.
    days
        Keep what was made within so many days.
    used_days
        Keep what was loaded within so many days.
    """

    newest: int | None = None
    days: int | None = None
    used_days: int | None = None

    @property
    def keeps_all(self) -> bool:
        """Whether it has no rule, so that every version stays."""
        return self.newest is None and self.days is None and self.used_days is None

    def __repr__(self) -> str:
        rules = [
            f"the newest {self.newest}" if self.newest is not None else "",
            f"made within {self.days} days" if self.days is not None else "",
            f"loaded within {self.used_days} days" if self.used_days is not None else "",
        ]
        return f"<keep {', '.join(filter(None, rules)) or 'everything'}>"


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A version as retention looks at it.

    Attributes
    ----------
    ref, number, created_at, stage, aliases, deleted_at
        As in the version; one that is soft-deleted is not judged again.
    last_loaded
        Day of its last load (UTC); None when it never was.
    needed_by
        References of versions that have it as a parent or member.
    deployments
        Who serves it, in words.
    """

    ref: str
    number: int
    created_at: datetime
    stage: str = "development"
    aliases: tuple[str, ...] = ()
    last_loaded: date | None = None
    needed_by: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()
    deleted_at: datetime | None = None


class Kept(msgspec.Struct, frozen=True):
    """A version that stays, with every reason in words."""

    ref: str
    reasons: tuple[str, ...]


class Dropped(msgspec.Struct, frozen=True):
    """A version that no rule keeps and nothing protects, with the rules it did not meet."""

    ref: str
    reason: str


def check_retention(retention: Retention) -> Retention:
    """Return the rules when each is a number from 1.

    Raises
    ------
    InvalidRequest
        Naming the rule.
    """
    for name in ("newest", "days", "used_days"):
        limit = getattr(retention, name)
        if limit is not None and not 1 <= limit <= DAYS_MAX:
            msg = f"The retention rule {name} is {limit}; it must be from 1 to {DAYS_MAX:,}."
            raise InvalidRequest(msg, hint="Leave a rule out to do without it.")
    return retention


def judge_retention(retention: Retention, candidates: Sequence[Candidate], now: datetime) -> list[Kept | Dropped]:
    """Say of each version that is not deleted whether it stays, in the order given.

    Parameters
    ----------
    retention
        The rules.
    candidates
        All versions of one model.
    now
        What ages are measured from.

    Returns
    -------
    list
        Stricter rules never keep more, and what is protected is never dropped. When those dropped
        are deleted, the rest is judged as before.
    """
    living = [c for c in candidates if c.deleted_at is None]
    lowest = _nth_number(living, retention.newest)
    reasons = {c.ref: _protections(c) + _rules_met(retention, c, lowest, now) for c in living}
    gone = {c.ref for c in candidates if c.deleted_at is not None}
    reasons = _with_needs(reasons, {c.ref: [user for user in c.needed_by if user not in gone] for c in living})
    unmet = _unmet(retention)
    return [Kept(c.ref, tuple(reasons[c.ref])) if reasons[c.ref] else Dropped(c.ref, unmet) for c in living]


def needed(due: Iterable[str], needed_by: Mapping[str, Sequence[str]]) -> set[str]:
    """Those of the versions that are due for removal that somebody who stays needs, transitively.

    Parameters
    ----------
    due
        References of the versions that are to go.
    needed_by
        Version → versions that need it; who is not due stays.
    """
    all_due = set(due)
    going = set(all_due)
    while True:
        wanted = {ref for ref in going if any(user not in going for user in needed_by.get(ref, ()))}
        if not wanted:
            break
        going -= wanted
    return all_due - going


def _protections(candidate: Candidate) -> list[str]:
    found = [f"it is in {candidate.stage}"] if candidate.stage in PROTECTED_STAGES else []
    found += [f"the alias {name!r} points to it" for name in candidate.aliases]
    return found + [f"it is deployed: {where}" for where in candidate.deployments]


def _rules_met(retention: Retention, candidate: Candidate, lowest: int, now: datetime) -> list[str]:
    if retention.keeps_all:
        return ["no rule drops anything"]
    found = []
    if retention.newest is not None and candidate.number >= lowest:
        found.append(f"it is one of the newest {retention.newest}")
    if retention.days is not None and candidate.created_at >= now - timedelta(days=retention.days):
        found.append(f"it was made within {retention.days} days")
    used_since = None if retention.used_days is None else (now - timedelta(days=retention.used_days)).date()
    if used_since is not None and candidate.last_loaded is not None and candidate.last_loaded >= used_since:
        found.append(f"it was loaded within {retention.used_days} days")
    return found


def _nth_number(living: Sequence[Candidate], count: int | None) -> int:
    """Lowest of the ``count`` highest numbers."""
    numbers = sorted((c.number for c in living), reverse=True)
    return numbers[min(count, len(numbers)) - 1] if numbers and count else 0


def _with_needs(reasons: dict[str, list[str]], needed_by: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Reasons, and for what nothing else keeps: that one which stays needs it."""
    dropped = {ref for ref, why in reasons.items() if not why}
    kept = needed(dropped, needed_by)
    going = dropped - kept
    for ref in kept:
        reasons[ref] = [f"{user} needs it" for user in needed_by[ref] if user not in going]
    return reasons


def _unmet(retention: Retention) -> str:
    rules = [
        f"not one of the newest {retention.newest}" if retention.newest is not None else "",
        f"not made within {retention.days} days" if retention.days is not None else "",
        f"not loaded within {retention.used_days} days" if retention.used_days is not None else "",
    ]
    return ", ".join(filter(None, rules))
