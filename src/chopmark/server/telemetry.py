"""What is told of every request: a line of the log, and counts for Prometheus.

Neither holds a secret, a body or a query; the counts have no label whose values are without end (versions, people).
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

from chopmark.base.jsons import encode
from chopmark.server.exchange import Exchange

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram
    from prometheus_client.registry import Collector

__all__ = ["LOGGER", "METRICS", "Telemetry", "log_to_stderr", "masked"]

LOGGER = logging.getLogger("chopmark.server")
METRICS = "text/plain; version=0.0.4; charset=utf-8"
"""Type of what Prometheus reads."""

# From a resolved reference to a long search.
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_FIELDS = ("request_id", "method", "path", "status", "op", "actor", "client", "duration_ms", "sent_bytes")


_TOKEN = re.compile(r"(?<=cm_)[0-9a-f]{16}_[0-9a-f]+|(?<![\w.-])eyJ[\w-]+\.[\w-]+\.[\w-]*")
"""A token of ours, or a JSON web token."""


class Telemetry:
    """Tells of every request."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

        import chopmark

        self.registry: CollectorRegistry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter("chopmark_requests", "Requests answered.", ("op", "status"), registry=self.registry)
        self._seconds = Histogram(
            "chopmark_request_duration_seconds",
            "From a request's first byte to its answer's last.",
            ("op",),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self._kinds: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        build = Counter("chopmark_build", "Always 1; its label says what runs.", ("version",), registry=self.registry)
        build.labels(chopmark.__version__).inc()

    def seen(self, exchange: Exchange) -> None:
        """Take an exchange whose answer was sent."""
        kind = (exchange.op or "none", exchange.status)
        counts = self._kinds.get(kind)
        if counts is None:  # to find them by their labels takes longer than to count
            counts = self._kinds[kind] = (self._requests.labels(*kind), self._seconds.labels(kind[0]))
        requests, seconds = counts
        requests.inc()
        seconds.observe(exchange.duration_s)
        if LOGGER.isEnabledFor(logging.INFO):
            # made here: LOGGER.info would look for the line of code that says it, which nobody is told
            record = LOGGER.makeRecord(
                LOGGER.name, logging.INFO, __file__, 0, "request", (), None, extra={"facts": _facts(exchange)}
            )
            LOGGER.handle(record)

    def exposed(self, beside: Collector | None = None) -> bytes:
        """All of it, as Prometheus reads it; and what somebody else counts."""
        from prometheus_client import CollectorRegistry, generate_latest

        own = generate_latest(self.registry)
        if beside is None:
            return own
        other = CollectorRegistry()
        other.register(beside)
        return own + generate_latest(other)


def masked(place: str) -> str:
    """A path as a log may hold it: who put a token into it did so by mistake, and would have to take it back."""
    plain = unquote(place)
    return _TOKEN.sub("***", plain) if _TOKEN.search(plain) else place


def _facts(exchange: Exchange) -> dict[str, Any]:
    values = (
        exchange.request_id,
        exchange.method,
        masked(exchange.place),
        exchange.status,
        exchange.op,
        exchange.actor,
        exchange.client,
        round(1000 * exchange.duration_s, 3),
        exchange.sent_bytes,
    )
    return dict(zip(_FIELDS, values, strict=True))


class _Lines(logging.Formatter):
    """A line for people, or JSON for programs."""

    def __init__(self, form: Literal["text", "json"]) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        facts: dict[str, Any] = getattr(record, "facts", {})
        error = self.formatException(record.exc_info) if record.exc_info else ""
        if self._form == "json":
            said = {"at": at, "level": record.levelname.lower(), "message": record.getMessage(), **facts}
            return encode(said | ({"error": error} if error else {})).decode()
        when = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"
        if not facts:
            return f"{when} {record.levelname.lower():7} {_plain(record.getMessage())}" + (
                f"\n{error}" if error else ""
            )
        who = f" {facts['actor']}" if facts["actor"] else ""
        did = f" {facts['op']}" if facts["op"] else ""
        line = f"{facts['status']} {facts['method']} {facts['path']} {facts['duration_ms']:.1f} ms{did}{who}"
        return f"{when} {_plain(line)} {facts['request_id']}"


def _plain(text: str) -> str:
    """Text without anything that a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "�" for c in text)


def log_to_stderr(form: Literal["text", "json"]) -> None:
    """Write the server's log to standard error, in one form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(form))
    for name in ("chopmark", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if name == "chopmark" else logging.WARNING)
