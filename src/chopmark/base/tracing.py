"""Who a call belongs to: the span that is active where a program traces itself with OpenTelemetry."""

from __future__ import annotations

import sys

__all__ = ["trace_headers"]


def trace_headers() -> dict[str, str]:
    """``traceparent`` and ``tracestate`` of the active span (W3C Trace Context); none where nobody traces.

    Whoever traces has imported OpenTelemetry; where it is not, nothing is.
    """
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers)
    return headers
