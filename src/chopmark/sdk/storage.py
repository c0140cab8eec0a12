"""``registry.storage``: what the registry keeps, frees and can restore, and whether it is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from chopmark.domain.names import counted
from chopmark.domain.storage import By
from chopmark.errors import ChopmarkError
from chopmark.ops.keeping import Backup
from chopmark.ops.storage import (
    CheckPage,
    CheckStorage,
    CollectionPage,
    CollectStorage,
    ExplainBlob,
    Finding,
    PlanCollection,
    Reclaimed,
    StorageTotals,
    TotalStorage,
    Usage,
    UsageByName,
    UsagePage,
    Why,
)
from chopmark.sdk.results import Page
from chopmark.sdk.surface import ModelReference, Surface

__all__ = ["CheckReport", "Collected", "Storage"]


class Collected(msgspec.Struct, frozen=True):
    """What a collection freed.

    Attributes
    ----------
    counts
        How many of each kind (see `chopmark.ops.storage.Reclaimed`).
    size_bytes
        Bytes that are free in the store now.
    """

    counts: dict[str, int]
    size_bytes: int

    def __repr__(self) -> str:
        listed = ", ".join(counted(count, kind) for kind, count in self.counts.items()) or "nothing"
        return f"<collected {listed} · {counted(self.size_bytes, 'byte')}>"


class CheckReport(msgspec.Struct, frozen=True):
    """What a check of the registry found.

    Attributes
    ----------
    findings
        Errors first, then warnings, then what is good to know.
    checked
        How many things of each phase were looked at.
    read_bytes
        How many bytes were read and hashed.
    """

    findings: tuple[Finding, ...]
    checked: dict[str, int]
    read_bytes: int

    @property
    def ok(self) -> bool:
        """Whether there is no error: every version can be loaded, and nothing was changed behind the registry's back."""
        return not any(f.severity == "error" for f in self.findings)

    def __repr__(self) -> str:
        looked = ", ".join(counted(count, phase.removesuffix("s")) for phase, count in self.checked.items())
        found = "; ".join(f"{f.severity} {f.code} {f.where}" for f in self.findings[:5]) or "all is well"
        return f"<checked {looked or 'nothing'}>\n  {found}"


class Storage(Surface):
    """Verbs about bytes and about the registry as a whole."""

    def garbage(self, *, grace_hours: float | None = None) -> Iterator[Reclaimed]:
        """What `collect` would free now, in its order; nothing is changed.

        Parameters
        ----------
        grace_hours
            Bytes put within so many hours stay; the setting ``gc_grace_hours`` when left out.
        """
        cursor = ""
        while True:
            page: CollectionPage = self._call(self._collection(PlanCollection, grace_hours, cursor))
            yield from page.items
            cursor = page.cursor
            if not cursor:
                return

    def collect(
        self, *, grace_hours: float | None = None, told: Callable[[Reclaimed], None] | None = None
    ) -> Collected:
        """Delete versions that retention drops, purge those deleted long ago, and free what nothing refers to.

        Bytes become free when the last version that refers to them is purged, which is
        ``purge_after_days`` after its deletion. Registrations may go on meanwhile.

        Parameters
        ----------
        grace_hours
            Bytes put within so many hours stay; the setting ``gc_grace_hours`` when left out.
        told
            Called with each thing that was freed.
        """
        counts: dict[str, int] = {}
        size_bytes, cursor = 0, ""
        while True:
            page: CollectionPage = self._call(self._collection(CollectStorage, grace_hours, cursor))
            for item in page.items:
                counts[item.kind] = counts.get(item.kind, 0) + 1
                size_bytes += item.size_bytes
                if told is not None:
                    told(item)
            cursor = page.cursor
            if not cursor:
                return Collected(counts, size_bytes)

    def usage(
        self,
        by: By = "model",
        *,
        project: str | None = None,
        model: ModelReference | None = None,
        limit: int = 50,
        cursor: str = "",
    ) -> Page[Usage]:
        """What each project, model or version holds, alone and together with others, a page at a time."""
        request = UsageByName(
            by=by,
            project=project,
            model=None if model is None else self._model(model),
            limit=limit,
            cursor=cursor,
        )
        page: UsagePage = self._call(request)
        return Page(page.items, page.cursor)

    def totals(self) -> StorageTotals:
        """Blobs of the store: how many, what they take, and how much of it a collection would free now."""
        found = StorageTotals()
        cursor = ""
        while True:
            request = TotalStorage(
                grace_hours=self._settings.gc_grace_hours,
                purge_after_days=self._settings.purge_after_days,
                cursor=cursor,
            )
            part: StorageTotals = self._call(request)
            found = _sum(found, part)
            cursor = part.cursor
            if not cursor:
                return found

    def why(self, digest: str) -> Why:
        """Which versions refer to the bytes of a digest, or that nothing does.

        Parameters
        ----------
        digest
            Of a file or of a manifest; with eight digits or more its beginning is enough.

        Raises
        ------
        NotFound
            When neither catalog nor store knows it.
        """
        request = ExplainBlob(
            digest=digest,
            grace_hours=self._settings.gc_grace_hours,
            purge_after_days=self._settings.purge_after_days,
        )
        found: Why = self._call(request)
        return found

    def check(self, *, content: bool = True, told: Callable[[CheckPage], None] | None = None) -> CheckReport:
        """Compare rows with each other, with the audit and with the bytes; nothing is changed.

        Parameters
        ----------
        content
            Whether every byte is read and hashed; otherwise presence and sizes are compared.
        told
            Called after each part, for a progress bar.

        Returns
        -------
        CheckReport
            With every finding; it does not raise for them.
        """
        with suppress(ChopmarkError):
            self._transport.catch_up()  # what is only late is no finding; what cannot be recorded is
        findings: list[Finding] = []
        checked: dict[str, int] = {}
        read_bytes, cursor = 0, ""
        while True:
            page: CheckPage = self._call(CheckStorage(content=content, cursor=cursor))
            findings += page.findings
            checked[page.phase] = checked.get(page.phase, 0) + page.checked
            read_bytes += page.read_bytes
            if told is not None:
                told(page)
            cursor = page.cursor
            if not cursor:
                break
        order = ("error", "warning", "info")
        findings.sort(key=lambda f: order.index(f.severity))
        return CheckReport(tuple(findings), checked, read_bytes)

    def backup(self, place: str | Path, *, verify: bool = False) -> Backup:
        """Copy the whole registry to another place, or bring the copy there up to date.

        Parameters
        ----------
        place
            A directory, or ``s3://bucket/prefix``, ``gs://…``, ``az://…`` (with this registry's endpoint
            and credentials). Several registries may be backed up to one place.
        verify
            Whether to read every byte of the backup that is there, and copy anew what is damaged.

        Returns
        -------
        Backup
            What it holds, and what had to be copied. `chopmark.restore` makes a registry of it again.

        Raises
        ------
        Conflict
            When the backup that is there tells of another course of events.
        IntegrityFailure
            When bytes or records are missing or damaged; the backup stays as it was.
        """
        from chopmark.sdk.backup import back_up  # which knows databases, as nothing else here does

        return back_up(self._transport, place, self._settings, verify=verify)

    def record_again(self) -> int:
        """Write the records beside the blobs anew from the catalog, when a check found them damaged.

        Returns
        -------
        int
            Events that they tell of.
        """
        return self._transport.record_again()

    def _collection(self, kind: type[CollectStorage], grace_hours: float | None, cursor: str) -> CollectStorage:
        settings = self._settings
        return kind(
            grace_hours=settings.gc_grace_hours if grace_hours is None else grace_hours,
            purge_after_days=settings.purge_after_days,
            cursor=cursor,
        )


def _sum(one: StorageTotals, other: StorageTotals) -> StorageTotals:
    fields = ("blobs", "raw_bytes", "stored_bytes", "garbage_blobs", "garbage_bytes")
    return StorageTotals(**{name: getattr(one, name) + getattr(other, name) for name in fields})
