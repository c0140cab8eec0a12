"""Asking an endpoint: rows to a gateway, predictions back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from chopmark.base.calls import Caller, Reply
from chopmark.base.jsons import decode, encode
from chopmark.base.settings import Settings
from chopmark.domain.endpoints import Router
from chopmark.domain.predictions import Prediction
from chopmark.errors import ChopmarkError, InvalidRequest, Unavailable, from_code

__all__ = ["ask", "gateway_of", "rows_of"]

_OK = 200


def gateway_of(settings: Settings, routers: Sequence[Router], endpoint: str) -> str:
    """Where an endpoint is asked: the gateway of the settings, else the registry's server, else a router that serves it.

    Raises
    ------
    Unavailable
        When nobody serves it.
    """
    if settings.gateway_url:
        return settings.gateway_url
    if settings.url.startswith(("http://", "https://")):
        return settings.url
    for router in routers:
        served = [each for each in router.report.served if each.endpoint == endpoint and each.state == "serving"]
        if served and router.report.address:
            return router.report.address
    raise Unavailable(f"Nobody serves {endpoint}.", hint="Start one that does: chopmark serve")


def ask(
    settings: Settings, gateway: str, endpoint: str, rows: object, *, outputs: Sequence[str], key: str, variant: str
) -> Prediction:
    """Ask an endpoint about rows; bytes are CSV with a header, which the gateway reads as the model's signature says.

    Raises
    ------
    ChopmarkError
        What the gateway says: the same error as anywhere else.
    """
    # The token is for the registry, and for a gateway that somebody named; no address that was only reported gets it.
    is_named = gateway in (settings.gateway_url, settings.url)
    caller = Caller(
        gateway,
        token=settings.token if is_named else "",
        timeout_s=settings.request_timeout_s,
        connect_timeout_s=settings.connect_timeout_s,
        connections=1,
    )
    headers, body = _body_of(rows, outputs)
    if key:
        headers["x-chopmark-key"] = key
    if variant:
        headers["x-chopmark-variant"] = variant
    try:
        reply = caller.call("POST", f"/predict/{quote(endpoint)}", body=body, headers=headers)
    finally:
        caller.close()
    if reply.status != _OK:
        raise _failure_in(reply, gateway)
    return decode(reply.body, Prediction)


def _body_of(rows: object, outputs: Sequence[str]) -> tuple[dict[str, str], bytes]:
    """Headers and body of the request."""
    if isinstance(rows, (bytes, bytearray, memoryview)):
        wanted = {"x-chopmark-outputs": ",".join(quote(name, safe="") for name in outputs)} if outputs else {}
        return {"content-type": "text/csv", **wanted}, bytes(rows)
    asked: dict[str, Any] = {"rows": rows_of(rows)}
    if outputs:
        asked["outputs"] = list(outputs)
    return {"content-type": "application/json"}, encode(asked)


def rows_of(rows: object) -> list[Any]:
    """Rows as JSON has them.

    Parameters
    ----------
    rows
        A data frame of pandas or polars, an Arrow table, an array, a mapping (one row), or a list of mappings or lists.

    Raises
    ------
    InvalidRequest
        When it is none of these.
    """
    for name, arguments in (("to_dicts", ()), ("to_pylist", ()), ("to_dict", ("records",)), ("tolist", ())):
        convert = getattr(rows, name, None)
        if convert is not None:
            listed: list[Any] = convert(*arguments)
            return listed
    if isinstance(rows, Mapping):
        return [dict(rows)]
    if isinstance(rows, (list, tuple)):
        return list(rows)
    raise InvalidRequest(
        f"A {type(rows).__name__} holds no rows.", hint="Give a data frame, an array, or a list of mappings or lists."
    )


def _failure_in(reply: Reply, gateway: str) -> ChopmarkError:
    try:
        said = decode(reply.body, dict[str, Any])
    except ChopmarkError:
        said = {}
    if "error" not in said:
        return Unavailable(f"{gateway} answered with the status {reply.status}, and is no gateway of Chopmark.")
    return from_code(str(said.get("code")))(str(said["error"]), hint=str(said.get("hint", "")))
