"""``registry.audit``: what happened, in a chain that shows any change."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from chopmark.base.paging import PAGE_SIZE_MAX
from chopmark.domain.audit import AuditEvent
from chopmark.domain.checkpoint import Checkpoint, SigningKey, VerifierKey, origin_of
from chopmark.domain.replay import RegistryThen
from chopmark.errors import ChopmarkWarning, Conflict, IntegrityFailure, NotFound
from chopmark.ops import requests as q
from chopmark.ops.auditing import AuditAt, ReadTrail
from chopmark.ops.results import AuditPage, AuditVerdict
from chopmark.sdk.audit_files import CHECKPOINT_SUFFIX, read_note, write_events
from chopmark.sdk.audit_keys import loose_permissions, open_note, read_key, signed, verifier_of
from chopmark.sdk.results import Page
from chopmark.sdk.surface import ModelReference, Reference, Surface

__all__ = ["Audit"]


class Audit(Surface):
    """Verbs about the audit."""

    def list(
        self,
        *,
        target: str = "",
        event: str = "",
        newest_first: bool = False,
        limit: int = 50,
        cursor: str = "",
    ) -> Page[AuditEvent]:
        """Events, oldest first unless asked otherwise, a page at a time.

        Parameters
        ----------
        target
            Only those that happened to exactly this reference, for example ``fraud:3``.
        event
            Only those of exactly this name, for example ``version.promoted``.
        newest_first, limit, cursor
            Order and page.
        """
        request = q.ListAudit(target=target, event=event, newest_first=newest_first, limit=limit, cursor=cursor)
        page: AuditPage = self._call(request)
        return Page(page.items, page.cursor)

    def trail(self, ref: Reference, *, limit: int = 50, cursor: str = "") -> Page[AuditEvent]:
        """Everything that happened to a version, oldest first: its story.

        Its own events, moves of aliases to it and away from it, edges of the lineage that name it,
        and what happened to its model while it was there. A version that was purged is found by
        its number.

        Raises
        ------
        NotFound
            When no event tells of it.
        """
        page: AuditPage = self._call(ReadTrail(ref=self._ref(ref), limit=limit, cursor=cursor))
        return Page(page.items, page.cursor)

    def at(
        self, time: datetime, of: ModelReference | Reference | None = None, *, project: str | None = None
    ) -> RegistryThen:
        """What the registry looked like at a time, computed from the events alone.

        Parameters
        ----------
        time
            An aware time. The order of events is that of their numbers; where a clock stepped
            back, an event counts as of the latest time before it.
        of
            A model, or a reference as it would have been answered then: ``fraud``, ``fraud:3``,
            ``fraud@champion``, ``fraud#production``. Everything when None.
        project
            Only there.

        Raises
        ------
        NotFound
            When there was no such model then, or the reference meant nothing.
        InvalidRequest
            When there were more than 10,000 versions: ask for one model.
        """
        if of is None:
            text = ""
        elif isinstance(of, str) and any(sign in of for sign in ":@#"):
            text = self._ref(of)
        else:
            text = of.ref if not isinstance(of, str) else self._model(of)
        then: RegistryThen = self._call(AuditAt(at=time, of=text, project=project))
        return then

    def verify(self, checkpoint: str | Path | None = None, *, key: str = "") -> AuditVerdict:
        """Walk the whole chain: whether any event was changed, removed or inserted.

        Whoever can write to the database could cut the chain off at its end, or write it anew with
        all its hashes. That shows against a checkpoint that was kept elsewhere.

        Parameters
        ----------
        checkpoint
            A checkpoint that was made earlier: a file, or its text. The chain may have grown since.
        key
            Verifier key of whoever signed it; the public half of one's own key when empty.

        Raises
        ------
        IntegrityFailure
            When the checkpoint is not signed by that key.
        Conflict
            When it is of another registry: of a chain that begins with another event.
        NotFound
            When there is no such file, or no key.
        """
        if checkpoint is None:
            verdict: AuditVerdict = self._call(q.VerifyAudit())
            return verdict
        known = open_note(read_note(checkpoint), key or self._own_key())
        verdict = self._call(q.VerifyAudit(size=known.size, head=known.head))
        if not known.size or not verdict.events or known.origin == origin_of(verdict.first):
            return verdict
        alone: AuditVerdict = self._call(q.VerifyAudit())
        if alone.fault:
            return alone  # it is broken whatever it is held against
        msg = f"The checkpoint is of {known.origin}, and this registry is {origin_of(verdict.first)}."
        hint = (
            "Hold it against the registry that it is of. If it is of this one, the audit was written anew from its "
            "first event: compare it with a backup of the database."
        )
        raise Conflict(msg, hint=hint)

    def checkpoint(self) -> str:
        """A signed checkpoint of the chain as it is now, to be kept elsewhere.

        The whole chain is verified first: what is broken is not signed.

        Raises
        ------
        IntegrityFailure
            When the chain is broken.
        NotFound
            When there is no key to sign with.
        """
        key = self._signing_key()
        verdict = self.verify()
        if verdict.fault:
            raise _broken(verdict.fault_seq, verdict.fault)
        checkpoint = Checkpoint(origin=origin_of(verdict.first), size=verdict.events, head=verdict.head)
        return str(signed(checkpoint, key))

    def export(self, file: str | Path) -> Path:
        """Write all events to a new file, one a line as JSON, and a signed checkpoint beside it.

        `chopmark.sdk.audit_files.verify_export` verifies the two, anywhere, with the verifier key.

        Returns
        -------
        Path
            The checkpoint: the file's name and ``.checkpoint``.

        Raises
        ------
        Conflict
            When one of the two files is there already.
        IntegrityFailure
            When the chain is broken; nothing is written then.
        NotFound
            When there is no key to sign with.
        """
        key = self._signing_key()
        target = Path(file)
        beside = target.with_name(target.name + CHECKPOINT_SUFFIX)
        if beside.exists():
            raise Conflict(f"There is a file {beside} already.", hint="Choose another name.")
        end = write_events(self._each(), target)
        if end.fault is not None:
            raise _broken(end.fault.seq, end.fault.reason)
        checkpoint = Checkpoint(origin=origin_of(end.first), size=end.events, head=end.head)
        beside.write_text(str(signed(checkpoint, key)), encoding="utf-8")
        return beside

    @property
    def _key_file(self) -> Path:
        return Path(self._settings.audit_key_file)

    def _signing_key(self) -> SigningKey:
        key = read_key(self._key_file)
        loose = loose_permissions(self._key_file)
        if loose:
            msg = (
                f"Others than you may use the signing key {self._key_file} (its permissions are {loose}), and what it "
                f"signs proves less: chmod 600 {self._key_file}, and make a new key if somebody had access."
            )
            warnings.warn(msg, ChopmarkWarning, stacklevel=3)
        return key

    def _own_key(self) -> VerifierKey:
        try:
            return verifier_of(read_key(self._key_file))
        except NotFound as error:
            msg = "A checkpoint says nothing without the key of whoever signed it."
            raise NotFound(msg, hint="Pass key=… (--key on the command line) with the verifier key.") from error

    def _each(self) -> Iterator[AuditEvent]:
        cursor = ""
        while True:
            page = self.list(limit=PAGE_SIZE_MAX, cursor=cursor)
            yield from page
            cursor = page.cursor
            if not cursor:
                return


def _broken(seq: int, reason: str) -> IntegrityFailure:
    msg = f"The audit is broken at event {seq}: {reason}."
    return IntegrityFailure(msg, hint="Nothing was signed. Compare the audit with a backup of the database.")
