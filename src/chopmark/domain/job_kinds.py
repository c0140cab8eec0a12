"""What work there is, and what each kind may be told; pure.

A kind is a name and a type of its arguments here, and a function in `chopmark.workers.kinds`: a new one is a line in each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from chopmark.base.jsons import converted, explained
from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest

__all__ = [
    "KINDS",
    "BackupArguments",
    "ExpiryArguments",
    "IntegrityArguments",
    "KindArguments",
    "RetentionArguments",
    "RollbackArguments",
    "RollupArguments",
    "check_arguments",
    "check_kind",
]

Days = Annotated[float, Meta(ge=0.01, le=36_500)]


class KindArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what kinds of work are told."""


class RetentionArguments(KindArguments, frozen=True, kw_only=True):
    """Collect garbage as `chopmark gc` does, with the grace times of the settings; it is told nothing."""


class IntegrityArguments(KindArguments, frozen=True, kw_only=True):
    """Re-hash a share of the blobs.

    Attributes
    ----------
    share
        Of all blobs, by each job: 1/30 reads every byte once in a month of days.
    """

    share: Annotated[float, Meta(gt=0, le=1)] = 1 / 30


class ExpiryArguments(KindArguments, frozen=True, kw_only=True):
    """Forget what nobody asks for any more.

    Attributes
    ----------
    key_days
        Idempotency keys are kept so long: a call that is repeated later is a new one.
    job_days
        Jobs that are done or cancelled are listed so long.
    dead_days
        Dead jobs are.
    token_days
        Tokens are listed so long after they expired or were revoked.
    delivery_days
        Deliveries to webhooks are listed so long, and can be replayed; what waits longer, in a pause, is not sent any more.
    """

    key_days: Days = 7.0
    job_days: Days = 30.0
    dead_days: Days = 180.0
    token_days: Days = 90.0
    delivery_days: Days = 30.0


class BackupArguments(KindArguments, frozen=True, kw_only=True):
    """Bring a backup up to date.

    Attributes
    ----------
    place
        A directory, as the worker sees it, or ``s3://bucket/prefix``.
    verify
        Whether every byte of what is there is read.
    """

    place: Annotated[str, Meta(min_length=1, max_length=2_000)]
    verify: bool = False


class RollbackArguments(KindArguments, frozen=True, kw_only=True):
    """Take an endpoint back to what answered before, for an alert that fires, once.

    Attributes
    ----------
    alert
        Its id.
    """

    alert: UUID


class RollupArguments(KindArguments, frozen=True, kw_only=True):
    """Move minutes of outcomes into their hours and hours into their days when they are old; it is told nothing."""


KINDS: dict[str, type[KindArguments]] = {
    "backup": BackupArguments,
    "expiry": ExpiryArguments,
    "integrity": IntegrityArguments,
    "retention": RetentionArguments,
    "rollup": RollupArguments,
    "rollback": RollbackArguments,
}


def check_kind(kind: str) -> str:
    """Return the name of a kind of work.

    Raises
    ------
    InvalidRequest
        When there is none of that name; says which there are.
    """
    if kind not in KINDS:
        raise InvalidRequest(f"There is no kind of work {shown(kind)}.", hint=f"There is {', '.join(KINDS)}.")
    return kind


def check_arguments(kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a kind of work, as they were given, once it understands them.

    What is left out keeps its default as it is when the work is done.

    Raises
    ------
    InvalidRequest
        When the kind, or one of them, is unknown, missing or out of its range.

    Examples
    --------
    >>> check_arguments("backup", {"place": "s3://backups/models"})
    {'place': 's3://backups/models'}
    """
    takes = KINDS[check_kind(kind)]
    try:
        converted(arguments, takes)
    except msgspec.ValidationError as error:
        known = ", ".join(takes.__struct_fields__) or "none"
        msg = f"The arguments of {kind} are not valid: {explained(error, takes)}."
        raise InvalidRequest(msg, hint=f"It knows: {known}.") from error
    return dict(arguments)
