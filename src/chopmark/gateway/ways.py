"""Paths by which endpoints are asked for predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from chopmark.domain.refs import DEFAULT_PROJECT
from chopmark.errors import ChopmarkError
from chopmark.gateway.protocols import invocations, open_inference, rows
from chopmark.gateway.protocols.asked import Answered, Asked, Identity, Limits
from chopmark.gateway.router import Route

if TYPE_CHECKING:
    from chopmark.abc.predicting import Layout, Outputs

__all__ = ["ReadsAndWrites", "Way", "ways_of"]


class ReadsAndWrites(Protocol):
    """A protocol: a module of `chopmark.gateway.protocols`."""

    def read(self, body: bytes, headers: Mapping[bytes, bytes], layout: Layout, limits: Limits) -> Asked:
        """A request as the layout wants it."""
        ...

    def write(self, asked: Asked, outputs: Outputs, identity: Identity) -> Answered:
        """The answer."""
        ...

    def refused(self, error: ChopmarkError) -> tuple[int, Answered]:
        """The answer to a request that is refused or failed, and its status."""
        ...


class Way(NamedTuple):
    """Where a path leads.

    Attributes
    ----------
    endpoint
        Its ``[project/]name``.
    protocol
        How it is asked and answers.
    number
        Of the version that the path names; empty when it leaves that to the split.
    """

    endpoint: str
    protocol: ReadsAndWrites
    number: str = ""


def ways_of(routes: Mapping[str, Route], *, has_more: bool = False) -> dict[str, Way]:
    """Every path that asks one of these endpoints for predictions.

    Parameters
    ----------
    has_more
        Whether there are endpoints that are not served yet.
    """
    ways: dict[str, Way] = {}
    predicting = {ref: route for ref, route in routes.items() if not route.is_chat}
    for ref, route in predicting.items():
        for name in _names(ref):
            ways[f"/v2/models/{name}/infer"] = Way(ref, open_inference)
            ways[f"/predict/{name}"] = Way(ref, rows)
            ways[f"/endpoints/{name}/invocations"] = Way(ref, invocations)
            for serving in route.serving:
                number = str(serving.variant.version.number)
                ways[f"/v2/models/{name}/versions/{number}/infer"] = Way(ref, open_inference, number)
    if len(predicting) == 1 and not has_more:  # MLflow's own path names no model: it can only mean the only one
        ways["/invocations"] = Way(next(iter(predicting)), invocations)
    return ways


def _names(ref: str) -> tuple[str, ...]:
    return (ref,) if "/" in ref else (ref, f"{DEFAULT_PROJECT}/{ref}")
