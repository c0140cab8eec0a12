"""A span of each request, by OpenTelemetry's conventions for HTTP servers, sent to a collector by OTLP.

Nothing of OpenTelemetry is imported unless an endpoint is set. A span is written when its request has been answered, so that
answering waits for nothing; it is a child of the caller's where that says who it is (``traceparent``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chopmark.base.settings import Settings
from chopmark.errors import Unsupported
from chopmark.ops.http import PREFIX
from chopmark.ops.table import OPS
from chopmark.server.exchange import Exchange
from chopmark.server.openapi_streams import STREAM_PATHS
from chopmark.server.telemetry import masked

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["Tracing", "route_of", "tracing_of"]

_FAULT = 500
_ROUTES = {op.name: op.path for op in OPS.values()} | {
    operation["operationId"]: path for path, methods in STREAM_PATHS.items() for operation in methods.values()
}


def route_of(op: str) -> str:
    """The path of an op with names for what varies; empty for what is none."""
    path = _ROUTES.get(op, "")
    return PREFIX + path if path else ""


class Tracing:
    """Writes a span of each request.

    Parameters
    ----------
    exporter
        Where spans go.
    at_once
        Whether each is sent before its request is done with: for tests.
    """

    def __init__(self, exporter: SpanExporter, *, at_once: bool = False) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        import chopmark

        resource = Resource.create({"service.name": "chopmark", "service.version": chopmark.__version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor((SimpleSpanProcessor if at_once else BatchSpanProcessor)(exporter))
        self._tracer = self._provider.get_tracer("chopmark.server", chopmark.__version__)
        self._propagator = TraceContextTextMapPropagator()

    def seen(self, exchange: Exchange) -> None:
        """Take an exchange whose answer was sent."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        ended_ns = time.time_ns()
        route = route_of(exchange.op)
        span = self._tracer.start_span(
            f"{exchange.method} {route}" if route else exchange.method,
            context=self._propagator.extract(_caller(exchange)),
            kind=SpanKind.SERVER,
            attributes=_attributes(exchange, route),
            start_time=ended_ns - int(exchange.duration_s * 1e9),
        )
        if exchange.status >= _FAULT:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended_ns)

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()


def _caller(exchange: Exchange) -> dict[str, str]:
    said = {name: exchange.header(name) for name in ("traceparent", "tracestate")}
    return {name: value for name, value in said.items() if value}


def _attributes(exchange: Exchange, route: str) -> Mapping[str, Any]:
    """What the conventions ask for, and what we call it; no query, body, header or name of who asks."""
    said: dict[str, Any] = {
        "http.request.method": exchange.method,
        "http.response.status_code": exchange.status,
        "url.path": masked(exchange.place),
        "url.scheme": exchange.scheme,
        "chopmark.request_id": exchange.request_id,
    }
    if route:
        said["http.route"] = route
        said["chopmark.op"] = exchange.op
    if exchange.status >= _FAULT:
        said["error.type"] = str(exchange.status)
    return said


def tracing_of(settings: Settings) -> Tracing | None:
    """What writes spans, by the settings; None where nobody asks for them.

    Raises
    ------
    Unsupported
        When an endpoint is set and OpenTelemetry is not installed.
    """
    if not settings.serve_trace_endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise Unsupported(
            "serve_trace_endpoint is set, and OpenTelemetry is not installed.", hint="pip install 'chopmark[otel]'"
        ) from error
    return Tracing(OTLPSpanExporter(endpoint=settings.serve_trace_endpoint))
