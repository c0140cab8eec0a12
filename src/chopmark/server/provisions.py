"""What a model's process takes along, so that it asks the registry for nothing, at its start nor when it is started anew.

The registry's answers about the version are given to it, and the trust that was recorded; bytes it reads from the store, or, where the
registry is a server's, from the local cache, verified as ever. So a process that ended comes back while the control plane is away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from chopmark.abc.blobs import BlobStore
from chopmark.abc.records import RecordStore
from chopmark.base.settings import Resolved, Settings
from chopmark.domain.audit import AuditEvent
from chopmark.domain.refs import parse_ref
from chopmark.domain.versions import Version
from chopmark.errors import IntegrityFailure, Unavailable, Unsupported
from chopmark.ops.requests import GetManifest, GetTrust, GetVersion, Request
from chopmark.sdk.loading import trusted_names
from chopmark.sdk.transport import Transport
from chopmark.wiring import connect_served, is_served, open_blobs

__all__ = ["Provisions", "Taken", "provisions_for", "with_members"]

_DEPTH_MAX = 16


class Provisions(NamedTuple):
    """What goes along; it can be pickled.

    Attributes
    ----------
    settings
        Of the registry: where its bytes are.
    version
        Which is loaded.
    location, own
        As its transport says.
    answers
        What the registry said, by the kind of the question and the reference in it.
    """

    settings: Settings
    version: Version
    location: str
    own: bool
    answers: Mapping[tuple[str, str], Any]


def with_members(transport: Transport, version: Version, depth: int = 0) -> tuple[Version, ...]:
    """A version, and where it is an ensemble its members, and theirs.

    Raises
    ------
    IntegrityFailure
        When ensembles lie in each other more deeply than anybody would put them.
    """
    if version.kind != "ensemble":
        return (version,)
    if depth >= _DEPTH_MAX:
        raise IntegrityFailure(f"{version.ref} is an ensemble within {depth} others.", ref=version.ref)
    found = [version]
    for parent in version.parents:
        if parent.relation == "ensemble_member_of":
            member: Version = transport.call(GetVersion(ref=str(parse_ref(parent.ref)), deleted=True))
            found += with_members(transport, member, depth + 1)
    return tuple(found)


def provisions_for(transport: Transport, settings: Settings, versions: tuple[Version, ...]) -> Provisions:
    """All that is needed to load the first of these versions; of an ensemble, the others are its members.

    Raises
    ------
    Denied
        When one would run code or build unknown types without trust.
    """
    answers: dict[tuple[str, str], Any] = {}
    for version in versions:
        answers[_key(GetVersion(ref=version.ref))] = version
        if version.kind == "artifact":
            answers[_key(GetManifest(ref=version.ref))] = transport.call(GetManifest(ref=version.ref))
            trusted_names(transport, settings, version)  # decides, and records where that is to be recorded
            answers[_key(GetTrust(ref=version.ref))] = transport.call(GetTrust(ref=version.ref))
        transport.count_load(version.id)
    return Provisions(settings, versions[0], transport.location, transport.own, answers)


def _key(request: Any) -> tuple[str, str]:
    return type(request).__name__, str(parse_ref(request.ref))


class Taken:
    """The transport of a registry that only knows what was taken along.

    Parameters
    ----------
    provisions
        What that is.
    """

    def __init__(self, provisions: Provisions) -> None:
        self._answers = provisions.answers
        self.location = provisions.location
        self.own = provisions.own
        settings = provisions.settings
        self._beneath = connect_served(Resolved(settings, {})) if is_served(settings) else None
        self.store: BlobStore = self._beneath.store if self._beneath is not None else open_blobs(settings)

    @property
    def records(self) -> RecordStore:
        """Out of reach."""
        raise Unsupported("A model's process has no records.")

    def call(self, request: Request, *, key: str = "", dry_run: bool = False) -> Any:  # noqa: ARG002
        """What the registry said before this process began.

        Raises
        ------
        Unavailable
            When it was not asked that.
        """
        known = self._answers.get(_key(request)) if hasattr(request, "ref") else None
        if known is None:
            raise Unavailable(f"A model's process cannot ask the registry: {type(request).__name__}.")
        return known

    def on(self, event: str, listener: Callable[[AuditEvent], None]) -> Callable[[], None]:  # noqa: ARG002
        """Nothing is heard of here."""
        return lambda: None

    def count_load(self, version_id: UUID) -> None:
        """Whoever provided for it has counted."""

    def flush(self) -> None:
        """Nothing waits."""

    def catch_up(self) -> int:
        """Nothing is recorded here."""
        return 0

    def record_again(self) -> int:
        """Nothing is recorded here."""
        return 0

    def close(self) -> None:
        """Give back the store."""
        (self._beneath or self.store).close()
