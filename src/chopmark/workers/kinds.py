"""The kinds of work: a name and a function each. What they may be told is in `chopmark.domain.job_kinds`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import structs

from chopmark.base.jsons import converted
from chopmark.domain.job_kinds import BackupArguments, ExpiryArguments, IntegrityArguments, RollbackArguments
from chopmark.domain.jobs import ENDED
from chopmark.domain.names import counted
from chopmark.ops.jobs import Expired, ExpireRegistry, SweepPage, SweepStorage
from chopmark.ops.monitors import RollBackForAlert, RolledBack
from chopmark.ops.outcomes import Folded, FoldOutcomes
from chopmark.ops.storage import CollectionPage, CollectStorage, Finding
from chopmark.sdk.backup import back_up
from chopmark.workers.tasks import GiveUp, Task, Work

__all__ = ["WORKS"]

_PREFIX_DIGITS = 2
_PREFIXES = 16**_PREFIX_DIGITS
_FINDINGS_KEPT = 100
_LOOKED_BACK = 50


def retention(task: Task) -> dict[str, Any]:
    """Collect garbage, to the end, by the settings."""
    freed: Counter[str] = Counter()
    size_bytes, cursor = 0, ""
    while True:
        task.check()
        request = CollectStorage(
            grace_hours=task.settings.gc_grace_hours, purge_after_days=task.settings.purge_after_days, cursor=cursor
        )
        page: CollectionPage = task.transport.call(request)
        freed.update(item.kind for item in page.items)
        size_bytes += sum(item.size_bytes for item in page.items)
        cursor = page.cursor
        if not cursor:
            return {"freed": dict(freed), "size_bytes": size_bytes}


def integrity(task: Task) -> dict[str, Any]:
    """Read and hash a share of the blobs, from where the job before ended; digests are spread evenly over their prefixes.

    Raises
    ------
    GiveUp
        When something is damaged or missing: the job is dead, and tried again it looks at the same share.
    """
    share = converted(task.job.arguments, IntegrityArguments).share
    first = _first_prefix(task)
    count = min(_PREFIXES, math.ceil(share * _PREFIXES))
    checked = read_bytes = 0
    findings: list[Finding] = []
    for n in range(first, first + count):
        cursor = ""
        while True:
            task.check()
            page: SweepPage = task.transport.call(SweepStorage(prefix=_digits(n), cursor=cursor))
            checked, read_bytes = checked + page.checked, read_bytes + page.read_bytes
            findings += page.findings
            cursor = page.cursor
            if not cursor:
                break
    result = {
        "from": _digits(first),
        "next": _digits(first + count),
        "checked": checked,
        "read_bytes": read_bytes,
        "damaged": len(findings),
        "findings": msgspec.to_builtins(findings[:_FINDINGS_KEPT]),
    }
    if findings:
        msg = f"{counted(len(findings), 'blob')} damaged or missing, first {findings[0].where}. {findings[0].next_step}"
        raise GiveUp(msg, result)
    return result


def _first_prefix(task: Task) -> int:
    """Where this job began when it was tried before; else where the last one that ended has left off."""
    if "from" in task.job.result:
        return int(task.job.result["from"], 16)
    for job in task.registry.jobs.list(kind=task.job.kind, limit=_LOOKED_BACK):
        if job.state in ENDED and "next" in job.result:
            return int(job.result["next"], 16)
    return 0


def _digits(number: int) -> str:
    return f"{number % _PREFIXES:0{_PREFIX_DIGITS}x}"


def expiry(task: Task) -> dict[str, Any]:
    """Forget what is old: keys, jobs, tokens, deliveries, who put bytes. The cache keeps to its quota by itself."""
    told = converted(task.job.arguments, ExpiryArguments)
    forgotten: Counter[str] = Counter(keys=0, jobs=0, tokens=0, deliveries=0)
    while True:
        task.check()
        part: Expired = task.transport.call(ExpireRegistry(**structs.asdict(told)))
        forgotten.update({name: getattr(part, name) for name in forgotten})
        if not part.more:
            return dict(forgotten)


def backup(task: Task) -> Mapping[str, Any]:
    """Bring a backup up to date."""
    told = converted(task.job.arguments, BackupArguments)
    quiet = structs.replace(task.settings, progress="never")
    made = back_up(task.transport, told.place, quiet, verify=told.verify)
    found: dict[str, Any] = msgspec.to_builtins(made)
    return found


def rollback(task: Task) -> Mapping[str, Any]:
    """Take an endpoint back for an alert, unless its guard refuses; done a second time it answers what came of the first."""
    alert = converted(task.job.arguments, RollbackArguments).alert
    found: RolledBack = task.transport.call(RollBackForAlert(alert=alert))
    return {"done": found.done, "why": found.why}


def rollup(task: Task) -> dict[str, Any]:
    """Move outcomes that are old into hours and days, and forget what is too old; a part at a time, each part whole."""
    moved: Counter[str] = Counter(minutes=0, hours=0, days=0, labels=0, profiles=0)
    while True:
        task.check()
        part: Folded = task.transport.call(FoldOutcomes())
        moved.update({name: getattr(part, name) for name in moved})
        if not part.more:
            return dict(moved)


WORKS: dict[str, Work] = {
    "backup": backup,
    "expiry": expiry,
    "integrity": integrity,
    "retention": retention,
    "rollup": rollup,
    "rollback": rollback,
}
