"""Which project a request is about: there its op's permission is asked.

An op that is not named here is about the whole registry, so that a new one is open to nobody by mistake.
"""

from __future__ import annotations

import re

from chopmark.domain.access import EVERYWHERE
from chopmark.domain.endpoints import parse_endpoint
from chopmark.domain.refs import parse_model, parse_ref
from chopmark.ops.requests import Request
from chopmark.ops.table import Op

__all__ = ["ANY", "FIELD_OF", "field_of", "subject_of"]

ANY = ""
"""For what any member may ask: the answer shows what they see, or is about themselves."""

FIELD_OF: dict[str, str] = {
    "project": "name",
    "project.list": ANY,
    "project.create": EVERYWHERE,
    "model": "model",
    "model.list": ANY,
    "version": "ref",
    "version.register": "model",
    "version.plan": "model",
    "version.import": "model",
    "version.best": "model",
    "version.search": ANY,
    "version.compare": ANY,
    "lineage": ANY,
    "lineage.link": "source",
    "lineage.unlink": "source",
    "dataset": ANY,
    "alias": "alias",
    "alias.list": "model",
    "trust": "ref",
    "usage": ANY,
    "audit": ANY,
    "audit.trail": "ref",
    "audit.verify": EVERYWHERE,
    "token": ANY,
    "member": "project",
    "member.list": ANY,
    "role.list": ANY,
    "role.get": ANY,
    "actor": ANY,
    "webhook": ANY,
    "webhook.create": "project",
    "delivery": ANY,
    "endpoint": "endpoint",
    "endpoint.list": ANY,
    "endpoint.live": ANY,
    "experiment": "experiment",
    "experiment.list": ANY,
    "monitor": "monitor",
    "monitor.list": ANY,
    "alert": ANY,
    "alert.silence": "monitor",
    "outcome": ANY,
    "outcome.record": "ref",
    "outcome.fold": EVERYWHERE,
    "feedback": ANY,
    "rollout": "endpoint",
    "rollout.list": ANY,
}
"""By an op's name, or else by its noun: the field that names what it is about."""

_NODE = re.compile("version:[0-9a-f]{32}")


def field_of(op: Op) -> str:
    """The field that names what an op is about, `ANY`, or `EVERYWHERE` for the whole registry."""
    return FIELD_OF.get(op.name, FIELD_OF.get(op.name.partition(".")[0], EVERYWHERE))


def subject_of(op: Op, request: Request) -> str:
    """The project that a request is about.

    Returns
    -------
    str
        Its name; `EVERYWHERE` for the whole registry; `ANY` where every project will do, or where only the catalog knows:
        then the handler asks (`chopmark.app.context.Context.check_may`).

    Raises
    ------
    InvalidRequest
        When the request names nothing that can be meant.
    """
    field = field_of(op)
    if field in (ANY, EVERYWHERE):
        return field
    named: str = getattr(request, field)
    match field:
        case "name" | "project":
            return named
        case "model":
            return parse_model(named).project
        case "alias":
            return parse_model(named.partition("@")[0]).project
        case "endpoint" | "experiment" | "monitor":
            return parse_endpoint(named).project
        case _ if _NODE.fullmatch(named) or named.startswith(("dataset:", "run:")):
            return ANY
        case _:
            return parse_ref(named).model.project
