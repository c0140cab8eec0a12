"""Verbs about endpoints, and what routers ask and tell: what they are asked with and what they answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chopmark.base.paging import PAGE_SIZE
from chopmark.domain.endpoints import Endpoint, EndpointConfig, Router, RouterReport, Routing, RoutingMark
from chopmark.domain.experiment_units import UnitMet
from chopmark.domain.feedback import Feedback
from chopmark.domain.live import LiveEndpoint
from chopmark.domain.outcomes import OutcomeWindow
from chopmark.domain.profile_windows import ProfileWindow
from chopmark.ops.requests import Request

__all__ = [
    "CreateEndpoint",
    "CurrentRouting",
    "DeleteEndpoint",
    "EndpointPage",
    "GetEndpoint",
    "GetRouting",
    "ListEndpoints",
    "ListRouters",
    "Live",
    "ReportReceipt",
    "ReportRouter",
    "RouterPage",
    "ShadowShare",
    "Share",
    "ShowLive",
    "SplitEndpoint",
    "UpdateEndpoint",
]

OUTCOMES_MAX = 10_000

Percent = Annotated[float, Meta(ge=0, le=100)]


class Share(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a version answers a share of the requests.

    Attributes
    ----------
    version
        A reference; what it means when it is set is kept, and moving an alias later moves no traffic.
    percent
        Of the requests, to a hundredth of a percent; 0 keeps it loaded and gives it none.
    name
        Of the variant; when empty, the one it has, else ``stable`` for the first, ``candidate`` for the next.
    """

    version: str
    percent: Percent = 100.0
    name: str = ""


class ShadowShare(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a version gets copies of a share of the requests, and its answers go to nobody."""

    version: str
    percent: Percent = 100.0


class CreateEndpoint(Request, frozen=True, kw_only=True):
    """Make an endpoint: a name that callers keep, and the versions that answer behind it.

    Attributes
    ----------
    endpoint
        ``[project/]name``.
    split
        What answers; the shares sum up to 100.
    shadows
        What is asked beside it.
    config
        How requests are taken and run.
    """

    endpoint: str
    split: tuple[Share, ...]
    shadows: tuple[ShadowShare, ...] = ()
    config: EndpointConfig = EndpointConfig()
    description: str = ""
    reason: str = ""


class GetEndpoint(Request, frozen=True, kw_only=True):
    """Look up an endpoint as it is meant to be; what is live is told by the routers."""

    endpoint: str


class ListEndpoints(Request, frozen=True, kw_only=True):
    """A page of endpoints by project and name."""

    project: str | None = None
    limit: int = PAGE_SIZE
    cursor: str = ""


class EndpointPage(msgspec.Struct, frozen=True, kw_only=True):
    """Endpoints, and the cursor of the next page."""

    items: list[Endpoint]
    cursor: str = ""


class SplitEndpoint(Request, frozen=True, kw_only=True):
    """Say which versions answer from now on, all of them, and which are asked beside them."""

    endpoint: str
    split: tuple[Share, ...]
    shadows: tuple[ShadowShare, ...] = ()
    reason: str = ""


class UpdateEndpoint(Request, frozen=True, kw_only=True):
    """Change what is said of an endpoint or how it runs; what is UNSET stays.

    Attributes
    ----------
    config
        Fields of its configuration that are to be another way; one that is null is as if it had never been said.
    """

    endpoint: str
    description: str | UnsetType = UNSET
    config: dict[str, Any] = {}  # noqa: RUF012 - msgspec copies an empty one
    reason: str = ""


class DeleteEndpoint(Request, frozen=True, kw_only=True):
    """Remove an endpoint: its name answers no more, and its versions may go."""

    endpoint: str
    reason: str = ""


class ShowLive(Request, frozen=True, kw_only=True):
    """What is live, as the routers report it: of an endpoint, or of all that one may see."""

    endpoint: str = ""


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What is live.

    Attributes
    ----------
    at
        By the database's clock.
    mark
        The newest routing.
    endpoints
        By project and name.
    """

    at: datetime
    mark: RoutingMark
    endpoints: tuple[LiveEndpoint, ...] = ()

    def __repr__(self) -> str:
        head = f"<live at {self.at:%Y-%m-%d %H:%M:%S} UTC · generation {self.mark.generation}>"
        return "\n  ".join([head, *map(repr, self.endpoints)])


class ListRouters(Request, frozen=True, kw_only=True):
    """A page of routers that reported within an hour, by id."""

    limit: int = PAGE_SIZE
    cursor: str = ""


class RouterPage(msgspec.Struct, frozen=True, kw_only=True):
    """Routers, and the cursor of the next page."""

    items: list[Router]
    cursor: str = ""


class GetRouting(Request, frozen=True, kw_only=True):
    """All that a router deals by, unless it has it: ``epoch`` and ``generation`` say what it has."""

    epoch: str = ""
    generation: int = 0


class CurrentRouting(msgspec.Struct, frozen=True, kw_only=True):
    """Which routing is the newest.

    Attributes
    ----------
    mark
        Its epoch and generation.
    routing
        All of it; None when that is what whoever asks has already.
    """

    mark: RoutingMark
    routing: Routing | None = None

    @property
    def unchanged(self) -> bool:
        """Whether whoever asked has the newest."""
        return self.routing is None

    def __repr__(self) -> str:  # what it holds is for routers, and no log
        return f"<routing {self.mark.epoch} generation {self.mark.generation}{' unchanged' * self.unchanged}>"


class ReportRouter(Request, frozen=True, kw_only=True):
    """Say what a router serves, and what became of requests.

    Attributes
    ----------
    report
        Replaces the last one of the same router.
    outcomes
        Each replaces the one of the same router, endpoint, version, variant and minute; of a minute that is more than 48 hours ago
        nothing is kept.
    profiles
        What sampled requests looked like; each replaces the one of the same router, endpoint, version, variant and hour.
    feedback
        That callers sent to the router.
    exposures
        Units that met their variant of an experiment; again makes no difference.
    """

    report: RouterReport
    outcomes: Annotated[tuple[OutcomeWindow, ...], Meta(max_length=OUTCOMES_MAX)] = ()
    profiles: Annotated[tuple[ProfileWindow, ...], Meta(max_length=OUTCOMES_MAX)] = ()
    feedback: Annotated[tuple[Feedback, ...], Meta(max_length=OUTCOMES_MAX)] = ()
    exposures: Annotated[tuple[UnitMet, ...], Meta(max_length=OUTCOMES_MAX)] = ()

    def __repr__(self) -> str:
        return f"<report of the router {self.report.id}>"


class ReportReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a router is told when it reports.

    Attributes
    ----------
    mark
        The newest routing.
    at
        The time by the database's clock.
    """

    mark: RoutingMark
    at: datetime
