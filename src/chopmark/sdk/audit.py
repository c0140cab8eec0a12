"""``registry.audit``: what happened, in a chain that shows any change."""

from __future__ import annotations

from chopmark.domain.audit import AuditEvent
from chopmark.ops import requests as q
from chopmark.ops.results import AuditPage, AuditVerdict
from chopmark.sdk.results import Page
from chopmark.sdk.surface import Surface

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

    def verify(self) -> AuditVerdict:
        """Walk the whole chain: whether any event was changed, removed or inserted."""
        verdict: AuditVerdict = self._call(q.VerifyAudit())
        return verdict
