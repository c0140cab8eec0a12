"""OpenTelemetry: a span a request, a child of the caller's; nothing of it where nobody asks for it; nothing secret in it."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import chopmark as cm
from chopmark.base.settings import load_settings
from chopmark.errors import Unsupported
from chopmark.ops.requests import CreateModel
from chopmark.ops.table import OPS
from chopmark.server.app import App
from chopmark.server.callers import callers_of
from chopmark.server.openapi_streams import STREAM_PATHS
from chopmark.server.serving import application, served
from chopmark.server.tracing import Tracing, route_of, tracing_of
from chopmark.testing.registry import memory_transport
from tests.server.conftest import Plain

API = "/api/v1"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TOKEN = "cm_0123456789abcdef_" + "5ec4e7" * 10 + "abcd"


class Traced(Plain):
    """A server whose spans are kept."""

    exporter: InMemorySpanExporter

    def spans(self, count: int = 1) -> list[ReadableSpan]:
        """So many, as soon as they are there: they are written when their answers are on their way already."""
        limit = time.monotonic() + 60
        while len(found := self.exporter.get_finished_spans()) < count and time.monotonic() < limit:
            time.sleep(0.005)
        return list(found)


@pytest.fixture
def traced() -> Iterator[Traced]:
    settings = load_settings({"actor": "ada", "serve_auth": "none"}, environ={}).settings
    behind = memory_transport(settings)
    behind.call(CreateModel(model="fraud"))
    exporter = InMemorySpanExporter()
    tracing = Tracing(exporter, at_once=True)
    app = App(behind, behind.store, callers_of(behind, settings), settings, events=behind, parts={}, tracing=tracing)
    with served(app) as url:
        plain = Traced(url, behind)
        plain.exporter = exporter
        yield plain
    behind.close()


def test_a_span_says_what_the_conventions_ask_for(traced: Traced) -> None:
    answer = traced.ask("GET", f"{API}/models/fraud?deleted=false", x_request_id="r-1")
    assert answer.status == 200
    (span,) = traced.spans()
    assert (span.name, span.kind, span.parent) == ("GET /api/v1/models/{model}", SpanKind.SERVER, None)
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/api/v1/models/{model}",
        "url.path": "/api/v1/models/fraud",
        "url.scheme": "http",
        "chopmark.op": "model.get",
        "chopmark.request_id": "r-1",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.start_time is not None
    assert span.end_time is not None
    assert 0 < span.end_time - span.start_time < 10e9
    assert span.resource.attributes["service.name"] == "chopmark"


def test_it_is_a_child_of_the_callers(traced: Traced) -> None:
    traced.ask("GET", f"{API}/models/fraud", traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="a=1")
    (span,) = traced.spans()
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert span.context.trace_state.get("a") == "1"


def test_who_does_not_want_to_be_traced_is_not(traced: Traced) -> None:
    traced.ask("GET", f"{API}/models/fraud", traceparent=f"00-{TRACE}-{PARENT}-00")
    traced.ask("GET", f"{API}/whoami")
    assert [span.name for span in traced.spans()] == ["GET /api/v1/whoami"]


def test_nonsense_from_the_caller_begins_a_trace(traced: Traced) -> None:
    for said in ("x", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "\u00fc" * 10, "00-" + "f" * 500):
        assert traced.ask("GET", f"{API}/models/fraud", traceparent=said).status == 200
    assert [span.parent for span in traced.spans(4)] == [None] * 4


def test_refusals_and_faults(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    traced.ask("GET", f"{API}/models/none")
    traced.ask("GET", f"{API}/nothing")

    def fault(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret of the server")

    monkeypatch.setattr(type(traced.behind), "act", fault)
    traced.ask("PATCH", f"{API}/models/fraud", b"{}")
    missing, nowhere, broken = traced.spans(3)
    assert (missing.name, missing.status.status_code) == ("GET /api/v1/models/{model}", StatusCode.UNSET)
    assert (nowhere.name, "http.route" in (nowhere.attributes or {})) == ("GET", False)
    assert (broken.status.status_code, (broken.attributes or {})["error.type"]) == (StatusCode.ERROR, "500")
    assert "secret" not in broken.to_json()


def test_nothing_secret_is_in_it(traced: Traced) -> None:
    traced.ask("GET", f"{API}/models/{TOKEN}?token={TOKEN}", authorization=f"Bearer {TOKEN}", x_request_id="r")
    traced.ask("POST", f"{API}/models", b'{"model": "x", "description": "body"}', x_request_id="r")
    said = "".join(span.name + repr(dict(span.attributes or {})) for span in traced.spans(2))
    assert TOKEN[20:] not in said
    assert "body" not in said
    assert "ada" not in said


def test_probes_leave_none(traced: Traced) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/docs"):
        traced.ask("GET", path)
    traced.ask("GET", f"{API}/whoami")
    assert [span.name for span in traced.spans()] == ["GET /api/v1/whoami"]


def test_every_op_has_a_route() -> None:
    streams = [operation["operationId"] for methods in STREAM_PATHS.values() for operation in methods.values()]
    assert all(route_of(name).startswith(API) for name in [*OPS, *streams])
    assert route_of("") == ""


def test_a_program_that_traces_is_the_parent(traced: Traced, tmp_path: Path) -> None:
    mine = TracerProvider().get_tracer("test")
    with cm.open(traced.url, cache_dir=str(tmp_path)) as registry:
        registry.models.get("fraud")
        with mine.start_as_current_span("deploy") as span:
            registry.models.get("fraud")
            context = span.get_span_context()
    before, during = traced.spans(2)
    assert before.parent is None
    assert during.parent is not None
    assert (during.context.trace_id, during.parent.span_id) == (context.trace_id, context.span_id)


class Collector(BaseHTTPRequestHandler):
    """Takes spans as a collector does."""

    taken: list[ExportTraceServiceRequest]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).taken.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_spans_reach_a_collector_before_the_server_ends() -> None:
    Collector.taken = []
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{collector.server_address[1]}/v1/traces"
    settings = load_settings({"serve_auth": "none", "serve_trace_endpoint": endpoint}, environ={}).settings
    behind = memory_transport(settings)
    with served(application(behind, settings)) as url:
        assert urllib3.request("GET", f"{url}{API}/whoami").status == 200
    behind.close()
    collector.shutdown()
    collector.server_close()
    names = [s.name for t in Collector.taken for r in t.resource_spans for each in r.scope_spans for s in each.spans]
    assert names == ["GET /api/v1/whoami"]


@pytest.mark.slow
def test_a_collector_that_is_not_there_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    settings = load_settings(
        {"serve_auth": "none", "serve_trace_endpoint": "http://127.0.0.1:9/v1/traces"}, environ={}
    ).settings
    behind = memory_transport(settings)
    with served(application(behind, settings)) as url:
        assert urllib3.request("GET", f"{url}{API}/whoami").status == 200
    behind.close()
    assert "chopmark" not in {record.name for record in caplog.records if record.levelname == "ERROR"}


def test_it_is_asked_for_by_a_setting_and_its_absence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracing_of(load_settings({}, environ={}).settings) is None
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    settings = load_settings({"serve_trace_endpoint": "http://127.0.0.1:9"}, environ={}).settings
    with pytest.raises(Unsupported, match=r"chopmark\[otel\]"):
        tracing_of(settings)


def test_nothing_of_it_is_imported_where_nobody_asks() -> None:
    program = """
import sys, tempfile, urllib3
import chopmark as cm
from chopmark.base.settings import load_settings
from chopmark.server.serving import application, served
from chopmark.testing.registry import memory_transport
settings = load_settings({"actor": "ada", "serve_auth": "none"}, environ={}).settings
behind = memory_transport(settings)
with served(application(behind, settings)) as url, cm.open(url, cache_dir=tempfile.mkdtemp()) as registry:
    registry.projects.list()
print(sorted(name for name in sys.modules if name.startswith("opentelemetry")))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
