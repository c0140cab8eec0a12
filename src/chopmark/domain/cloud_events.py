"""Events as others hear them: CloudEvents 1.0, and which of them somebody wants to hear; pure."""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase

import msgspec

from chopmark.domain.audit import AuditEvent
from chopmark.domain.names import check_name, check_text
from chopmark.domain.refs import DEFAULT_PROJECT
from chopmark.errors import InvalidRequest

__all__ = ["CloudEvent", "Wanted", "cloud_event", "is_named", "named_model"]

TYPE_PREFIX = "chopmark."
KINDS_MAX = 50
_SELECTORS = ":@#"


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event in the JSON form of CloudEvents 1.0.

    Attributes
    ----------
    id
        Its place in the audit: 1, 2, 3 … without gaps, so that a hearer knows what it has heard.
    source
        Which registry, by its identifier (how the hash of its first event begins).
    type
        ``chopmark.`` and the event's name.
    subject
        The reference it happened to.
    time
        When, by the server's clock.
    data
        The event of the audit, whole.
    """

    specversion: str = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str = "application/json"
    data: AuditEvent


def cloud_event(event: AuditEvent, registry: str) -> CloudEvent:
    """An event of the audit as others hear it."""
    return CloudEvent(
        id=str(event.seq),
        source=f"urn:chopmark:registry:{registry}",
        type=TYPE_PREFIX + event.event,
        subject=event.target,
        time=event.at,
        data=event,
    )


def named_model(event: AuditEvent) -> tuple[str, str]:
    """Project and model that an event happened to; the model is empty where it is a project's, both where it is neither's."""
    noun = event.event.partition(".")[0]
    if noun == "project":
        return event.target, ""
    if noun in ("endpoint", "monitor", "alert"):
        project, sep, _ = event.target.partition("/")
        return project if sep else DEFAULT_PROJECT, ""
    if noun not in ("model", "version", "alias", "lineage"):
        return "", ""
    name = event.target
    for mark in _SELECTORS:
        name = name.partition(mark)[0]
    project, sep, model = name.partition("/")
    return (project, model) if sep else (DEFAULT_PROJECT, project)


def is_named(event: str, pattern: str) -> bool:
    """Whether a name of an event, or a pattern with ``*``, means this one: what listeners, streams and webhooks go by.

    >>> is_named("version.promoted", "version.*")
    True
    """
    return fnmatchcase(event, pattern)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events somebody wants to hear; all of what is given must fit.

    Attributes
    ----------
    project, model
        Names; empty for any. A model without a project is one of the default project.
    kinds
        Names of events, or patterns with ``*``: ``version.*``; none for all.
    """

    project: str = ""
    model: str = ""
    kinds: tuple[str, ...] = ()

    def check(self) -> Wanted:
        """Itself; `InvalidRequest` when it cannot be meant."""
        for name, what in ((self.project, "project"), (self.model.rpartition("/")[2], "model")):
            if name:
                check_name(name, what)
        if len(self.kinds) > KINDS_MAX:
            raise InvalidRequest(f"{len(self.kinds)} kinds of events are asked for; {KINDS_MAX} is the limit.")
        for kind in self.kinds:
            check_text(kind, "kind", 200)
        return self

    def fits(self, event: AuditEvent) -> bool:
        """Whether an event is one of them."""
        if self.kinds and not any(is_named(event.event, kind) for kind in self.kinds):
            return False
        if not self.project and not self.model:
            return True
        project, model = named_model(event)
        if self.model:
            wanted_project, _, wanted = self.model.rpartition("/")
            return (project, model) == (wanted_project or self.project or DEFAULT_PROJECT, wanted)
        return project == self.project
