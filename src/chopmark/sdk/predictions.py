"""``registry.predictions``: logs that gateways wrote of sampled requests, read, checked and replayed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from chopmark.domain.endpoints import Endpoint, RoutingMark, parse_endpoint
from chopmark.domain.prediction_logs import LogAbout, LogCheck, LogReplay
from chopmark.domain.versions import Version
from chopmark.errors import IntegrityFailure, InvalidRequest, NotFound
from chopmark.ops.endpoints import CurrentRouting, GetRouting
from chopmark.ops.requests import GetVersion
from chopmark.sdk.loading import load_version
from chopmark.sdk.log_files import Wanted, checked, log_files
from chopmark.sdk.surface import EndpointReference, Reference, Surface

if TYPE_CHECKING:
    from pyarrow import RecordBatch, Table

__all__ = ["Predictions"]


class Predictions(Surface):
    """Verbs about the files of the setting ``gateway_log_dir``, wherever they were brought. Needs ``pyarrow``."""

    def read(
        self,
        directory: str | Path,
        endpoint: EndpointReference = "",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        version: Reference = "",
        verify: bool = False,
    ) -> Table:
        """Logged requests and answers as one Arrow table, a row for each row of a request, the oldest files first.

        Parameters
        ----------
        directory
            Of the log.
        endpoint
            Only of this one.
        since, until
            Only what was answered from then on, and before then.
        version
            Only what this version answered.
        verify
            Refuse a log in which `verify` finds anything.

        Raises
        ------
        InvalidRequest
            When there is no such directory, no row, or versions have a column of types that do not go together.
        IntegrityFailure
            When a file is damaged; with ``verify`` also when a row is not what a gateway wrote.
        Unsupported
            When pyarrow is not installed.
        """
        from chopmark.formats.prediction_files import joined_logs

        wanted = self._wanted(directory, endpoint, since, until, version)
        if verify:
            found = self._checked(wanted)
            if not found.is_sound:
                msg = f"The log is not what gateways wrote: {found.faults[0].why} ({found.faults[0].file})."
                raise IntegrityFailure(msg, hint=f"See all of it with: chopmark predictions verify {directory}")
        tables = [file.rows for file in log_files(wanted)]
        if not tables:
            raise InvalidRequest("There is nothing in the log of that endpoint, version and time.")
        return joined_logs(tables)

    def batches(
        self,
        directory: str | Path,
        endpoint: EndpointReference = "",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        version: Reference = "",
    ) -> Iterator[RecordBatch]:
        """Logged requests and answers a batch at a time, for logs that do not fit into memory; see `read`.

        Batches of one file have one schema; others may have other columns.
        """
        for file in log_files(self._wanted(directory, endpoint, since, until, version)):
            yield from file.rows.to_batches()

    def verify(
        self,
        directory: str | Path,
        endpoint: EndpointReference = "",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        version: Reference = "",
    ) -> LogCheck:
        """Whether every row was answered as it says: endpoint, version, variant, generation and time, by its request id.

        Request ids are authenticated with a secret of the routing, so this asks for the permission ``route``, which admins have. Inputs
        and answers are not authenticated: a check says who answered and when, not what.

        Raises
        ------
        Denied
            When one may not read the routing.
        """
        return self._checked(self._wanted(directory, endpoint, since, until, version))

    def replay(
        self,
        directory: str | Path,
        version: Reference,
        endpoint: EndpointReference = "",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        answered_by: Reference = "",
        rows_max: int | None = None,
    ) -> LogReplay:
        """What a version answers to logged inputs, beside what was answered: agreement, shift of the scores, first rows that differ.

        Parameters
        ----------
        version
            That answers again; loaded as by `Registry.load`.
        endpoint, since, until
            As for `read`.
        answered_by
            Only what this version had answered.
        rows_max
            So many rows, the oldest, and no more.

        Raises
        ------
        InvalidRequest
            When the log lacks an input that the version needs, or has no rows.
        Conflict
            When an input that it needs was left out of the log by ``log_redact``.
        """
        from chopmark.formats.predicting import predictor_of
        from chopmark.sdk.replaying import replayed

        if rows_max is not None and rows_max < 1:
            raise InvalidRequest(f"rows_max is {rows_max}; it is at least 1.")
        wanted = self._wanted(directory, endpoint, since, until, answered_by)
        found = self._version(version)
        predictor = predictor_of(load_version(self._transport, self._settings, found), found.signature)
        try:
            return replayed(found, predictor, log_files(wanted), rows_max)
        finally:
            predictor.close()

    def _wanted(
        self,
        directory: str | Path,
        endpoint: EndpointReference,
        since: datetime | None,
        until: datetime | None,
        version: Reference,
    ) -> Wanted:
        for moment in (since, until):
            if moment is not None and moment.tzinfo is None:
                raise InvalidRequest(
                    "A time without a zone could be any.", hint="Give it one: datetime(…, tzinfo=UTC)."
                )
        found: Version | None = self._version(version, deleted=True) if version else None
        version_id = found.id if found is not None else None
        return Wanted(Path(directory), self._endpoint(endpoint), since, until, version_id)

    def _endpoint(self, endpoint: object) -> str:
        if isinstance(endpoint, Endpoint):
            return endpoint.ref
        if not isinstance(endpoint, str):
            raise InvalidRequest(f"An endpoint is a text such as 'fraud-api', not a {type(endpoint).__name__}.")
        return str(parse_endpoint(endpoint, self._settings.project)) if endpoint else ""

    def _checked(self, wanted: Wanted) -> LogCheck:
        answer: CurrentRouting = self._call(GetRouting(epoch=RoutingMark().epoch, generation=RoutingMark().generation))
        if answer.routing is None:
            raise NotFound("The registry has no routing yet, and so no gateway of it has written a log.")
        refs = {each.id: each.ref for each in answer.routing.endpoints}
        faults: dict[tuple[object, ...], str] = {}

        def fault_in(about: LogAbout) -> str:
            ref = refs.get(about.endpoint_id, about.endpoint)
            if ref != about.endpoint:
                return f"its endpoint is {ref}, not {about.endpoint}"
            key = (about.model, about.version, about.version_id, about.digest)
            if key not in faults:
                faults[key] = self._version_fault(about)
            return faults[key]

        return checked(wanted, bytes.fromhex(answer.routing.secret), fault_in)

    def _version_fault(self, about: LogAbout) -> str:
        ref = f"{about.model}:{about.version}"
        try:
            found: Version = self._call(GetVersion(ref=ref, deleted=True))
        except (NotFound, InvalidRequest):
            return f"the registry has no {ref}"
        if (found.id, found.digest) != (about.version_id, about.digest):
            return f"it names another version {ref} than the registry has"
        return ""
