"""Endpoints: the stable names that callers use, how they answer, and what the routers say of it.

Nouns
-----
endpoint
    A name and what answers behind it: variants, shadows, and how requests are taken and run.
routing
    All endpoints at one moment, with who may call them: what a router takes as a whole. An epoch names the life of one database, a
    generation counts its changes. Of two routings of one epoch the higher generation is newer; a later epoch follows a restored
    backup.
router
    A process that deals requests. It reports what it serves: that is what is live.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from chopmark.domain.names import check_name, shown
from chopmark.domain.prediction_logs import check_redaction
from chopmark.domain.refs import DEFAULT_PROJECT, ModelRef, parse_model
from chopmark.domain.traffic import Shadow, Variant, check_split
from chopmark.errors import Conflict, InvalidRequest

__all__ = [
    "EXTERNAL",
    "KEY_HEADER",
    "LOCAL",
    "Endpoint",
    "EndpointCaller",
    "EndpointConfig",
    "LiveVariant",
    "Router",
    "RouterReport",
    "Routing",
    "RoutingMark",
    "ServedVariant",
    "check_endpoint",
    "is_served_by",
    "parse_endpoint",
]

KEY_HEADER = "x-chopmark-key"
LOCAL = "local"
EXTERNAL = "external"

Count = Annotated[int, Meta(ge=1, le=100_000)]
Milliseconds = Annotated[int, Meta(ge=1, le=3_600_000)]


class EndpointConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an endpoint takes requests and runs its versions.

    Attributes
    ----------
    access
        ``callers``: who holds the permission ``invoke`` in its project; ``anybody``: whoever reaches the gateway.
    key_header, key_field
        Where a request says for whom it asks, so that they always meet the same variant: a header, else a field of a JSON body
        (dots lead inwards; empty: none). Without either it is the caller's token, else the request itself.
    execution
        ``inline``: on the event loop; ``thread``: on a thread of each version, which takes together what waits; ``process``: in a
        process of each version, with limits; ``auto``: a process where the format runs code on load, else inline where the
        version answers its sample within a millisecond, else a thread.
    timeout_ms
        Longest time from a request's body to its answer.
    queue_max
        Requests that may wait for a version; those beyond are refused, to be sent again.
    batch_rows_max
        Rows that a thread takes together at most.
    body_bytes_max
        Longest body of a request.
    memory_mib_max
        What a process may use; 0 is without a limit.
    kept_loaded_s
        How long a version stays loaded after its traffic has gone, for the way back.
    shadow_queue_max, shadow_at_once
        Copies that wait for a shadow, and those it answers at one time; those beyond are dropped, and counted.
    sample_share, samples_max
        Share of requests whose inputs and answers are kept in memory, and how many; the oldest go first.
    log, log_redact
        Whether gateways that have a directory for it write those samples to files; and columns that are null there, as
        ``input.iban`` or ``output.predict_proba``.
    target
        Who serves it: ``local``: every gateway; ``kubernetes``, or a target of a plug-in: gateways that are told its name, as those that the
        target's files start; ``external``: others, and nothing but what is meant is recorded.
    """

    access: Literal["callers", "anybody"] = "callers"
    key_header: str = KEY_HEADER
    key_field: str = ""
    execution: Literal["auto", "inline", "thread", "process"] = "auto"
    timeout_ms: Milliseconds = 30_000
    queue_max: Count = 1_000
    batch_rows_max: Count = 256
    body_bytes_max: Annotated[int, Meta(ge=1, le=1 << 30)] = 16 << 20
    memory_mib_max: Annotated[int, Meta(ge=0, le=1 << 20)] = 0
    kept_loaded_s: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 600.0
    shadow_queue_max: Count = 100
    shadow_at_once: Annotated[int, Meta(ge=1, le=64)] = 1
    sample_share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    samples_max: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    log: bool = False
    log_redact: tuple[str, ...] = ()
    target: str = LOCAL


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A stable name, and what answers behind it.

    Attributes
    ----------
    id
        Never used again.
    variants, shadows
        What answers, the stable version first, and what is asked beside it.
    generation
        Of the routing in which it last changed.
    """

    id: UUID
    project: str
    name: str
    description: str = ""
    variants: tuple[Variant, ...]
    shadows: tuple[Shadow, ...] = ()
    config: EndpointConfig = EndpointConfig()
    generation: int = 0
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str

    @property
    def ref(self) -> str:
        """``[project/]name``."""
        return str(ModelRef(self.project, self.name))

    @property
    def salt(self) -> str:
        """By which units are dealt: the endpoint's and its first challenger's.

        So a change of weights moves nobody without need, and not the same people meet each new challenger first.
        """
        challenger = self.variants[1].version.id.hex if len(self.variants) > 1 else ""
        return f"{self.id.hex}:{challenger}"

    def __repr__(self) -> str:
        shadows = f" · shadows {', '.join(s.version.ref for s in self.shadows)}" if self.shadows else ""
        return f"<endpoint {self.ref} · {', '.join(map(repr, self.variants))}{shadows} · generation {self.generation}>"


class EndpointCaller(msgspec.Struct, frozen=True, kw_only=True):
    """Who may call: a token, by the hash of its secret.

    Attributes
    ----------
    token, secret_hash, expires_at
        Its id, what `chopmark.domain.tokens.matches` compares, and from when on it is refused.
    name
        Of its owner.
    kind
        A person is dealt the same variant each time; behind a service there are many, and each of its requests is dealt by itself.
    invoke, deploy
        Projects where it may call endpoints, and where it may choose the variant; ``*`` for all.
    """

    token: str
    secret_hash: str
    expires_at: datetime | None = None
    name: str
    kind: Literal["person", "service"] = "person"
    invoke: tuple[str, ...] = ()
    deploy: tuple[str, ...] = ()


class RoutingMark(msgspec.Struct, frozen=True):
    """Which routing: an epoch, ordered as text by the time at which it began, and a generation in it."""

    epoch: str = ""
    generation: int = 0


class Routing(msgspec.Struct, frozen=True, kw_only=True):
    """All that a router deals by, as of one generation.

    Attributes
    ----------
    mark
        Which it is.
    endpoints, callers
        All of them.
    experiments
        Ids of the endpoints on which an experiment runs that deal as its plan says: who meets a variant there is exposed.
    secret
        Hexadecimal; request ids are authenticated with it.
    """

    mark: RoutingMark
    endpoints: tuple[Endpoint, ...] = ()
    callers: tuple[EndpointCaller, ...] = ()
    experiments: tuple[UUID, ...] = ()
    secret: str = ""


class ServedVariant(msgspec.Struct, frozen=True, kw_only=True):
    """What one router serves of one endpoint.

    Attributes
    ----------
    endpoint
        Its ``[project/]name``.
    variant, version, digest, weight, generation
        Of the table it deals by.
    state
        ``serving``; ``loading`` while the version before still answers; ``failed`` when it cannot be loaded.
    since
        When it began to serve it.
    requests_per_s
        Over the last ten seconds.
    execution
        ``inline``, ``thread``, ``process`` or ``upstream``, with what is compiled.
    why
        Why it failed.
    """

    endpoint: str
    variant: str
    version: str
    digest: str
    weight: int
    generation: int
    state: Literal["serving", "loading", "failed"] = "serving"
    since: datetime
    requests_per_s: float = 0.0
    execution: str = ""
    why: str = ""


class RouterReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a router says of itself.

    Attributes
    ----------
    id
        Of the process: another after each start.
    address
        Where it listens.
    mark
        The routing it deals by.
    started_at
        When the process began.
    served
        What it serves.
    note
        What people should know, for example that it was refused an older routing.
    only
        Endpoints that it was told to serve; empty: all that are local.
    """

    id: str
    address: str = ""
    mark: RoutingMark
    started_at: datetime
    served: tuple[ServedVariant, ...] = ()
    note: str = ""
    only: tuple[str, ...] = ()


class Router(msgspec.Struct, frozen=True, kw_only=True):
    """A router's last report, and when it came, by the database's clock."""

    report: RouterReport
    seen_at: datetime


class LiveVariant(msgspec.Struct, frozen=True, kw_only=True):
    """What is live: a variant as the routers report it.

    Attributes
    ----------
    served
        What they say; requests a second are those of all of them.
    routers
        Ids of those that say so.
    """

    served: ServedVariant
    routers: tuple[str, ...]


def check_endpoint(endpoint: Endpoint) -> Endpoint:
    """The endpoint, once it can be meant.

    Raises
    ------
    InvalidRequest
        When its name, configuration or split cannot be.
    """
    check_name(endpoint.name, "endpoint")
    header = endpoint.config.key_header
    if not header or not header.isascii() or not all(c.isalnum() or c in "-_" for c in header):
        raise InvalidRequest(f"{shown(header)} is no name of a header.", hint=f"Use {KEY_HEADER}.")
    check_name(endpoint.config.target, "target")
    check_split(endpoint.variants, endpoint.shadows)
    _check_log(endpoint)
    if endpoint.config.target != EXTERNAL:
        versions = [*(each.version for each in endpoint.variants), *(each.version for each in endpoint.shadows)]
        for version in versions:
            if version.kind == "external":
                msg = f"{version.ref} is kept elsewhere; there is nothing here that could answer."
                raise Conflict(
                    msg, hint="Register its files to serve it, or set the target of the endpoint to external."
                )
    return endpoint


def _check_log(endpoint: Endpoint) -> None:
    config = endpoint.config
    check_redaction(config.log_redact)
    if not config.log:
        return
    if endpoint.variants[0].version.kind == "llm_config":
        raise InvalidRequest(f"{endpoint.ref} is a language model, whose requests are not logged.")
    if not config.sample_share:
        raise InvalidRequest(
            f"{endpoint.ref} would log its samples, and keeps none.", hint="Set its sample_share above 0, too."
        )


def is_served_by(endpoint: Endpoint, only: Collection[str]) -> bool:
    """Whether a router serves an endpoint, by those that it was told to serve; told of none, it serves what is local."""
    target = endpoint.config.target
    return endpoint.ref in only and target != EXTERNAL if only else target == LOCAL


def parse_endpoint(text: str, project: str = DEFAULT_PROJECT) -> ModelRef:
    """Read ``[project/]name``.

    Raises
    ------
    InvalidRequest
        When it is none.
    """
    return parse_model(text, project, "endpoint")
