"""Answers as any client of HTTP sees them."""

import gzip
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from chopmark.base.digest import digest_of
from chopmark.base.settings import load_settings
from chopmark.errors import Unavailable
from chopmark.ops.requests import CreateModel, GetModel
from chopmark.server.serving import application, served
from chopmark.wiring import LocalTransport, connect
from tests.server.conftest import Plain, served_registry

API = "/api/v1"


def a_version(plain: Plain, model: str = "fraud", content: bytes = b"hello" * 5_000) -> dict[str, Any]:
    """Store a blob and register a version of it, by plain HTTP."""
    digest = digest_of(content)
    assert plain.ask("PUT", f"{API}/blobs/{digest}", content).status == 200
    manifest = {
        "kind": "artifact",
        "format": "raw",
        "files": [{"path": "model/x.bin", "role": "weights", "size_bytes": len(content), "digest": digest}],
    }
    answer = plain.ask("POST", f"{API}/versions", json.dumps({"model": model, "manifest": manifest}).encode())
    assert answer.status == 201, answer.data
    assert answer.headers["location"] == f"{API}/versions/{model}:1"
    found: dict[str, Any] = answer.json()["version"]
    return found


def test_a_model_is_made_read_and_made_once(plain: Plain) -> None:
    made = plain.ask("POST", f"{API}/models", b'{"model": "risk/new"}')
    assert made.status == 404  # no such project
    assert made.headers["content-type"] == "application/problem+json"
    made = plain.ask("POST", f"{API}/models", b'{"model": "new"}')
    assert (made.status, made.headers["location"]) == (201, f"{API}/models/new")
    assert plain.ask("GET", f"{API}/models/new").json() == made.json()
    again = plain.ask("POST", f"{API}/models", b'{"model": "new"}')
    problem = again.json()
    assert (again.status, problem["code"], problem["status"]) == (409, "conflict", 409)
    assert problem["request_id"] == again.headers["x-request-id"]


def test_a_repeated_call_answers_the_first_result(plain: Plain) -> None:
    first = plain.ask("POST", f"{API}/models", b'{"model": "new"}', idempotency_key="k")
    second = plain.ask("POST", f"{API}/models", b'{"model": "new"}', idempotency_key="k")
    assert (first.status, second.status) == (201, 201)
    assert first.data == second.data
    other = plain.ask("POST", f"{API}/models", b'{"model": "other"}', idempotency_key="k")
    assert other.status == 409
    assert "another request" in other.json()["detail"]


def test_a_dry_run_changes_nothing(plain: Plain) -> None:
    assert plain.ask("POST", f"{API}/models?dry_run=true", b'{"model": "new"}').status == 201
    assert plain.ask("GET", f"{API}/models/new").status == 404
    assert plain.ask("POST", f"{API}/models?dry_run=perhaps", b'{"model": "new"}').status == 400


def test_what_did_not_change_is_not_sent_again(plain: Plain) -> None:
    first = plain.ask("GET", f"{API}/models/fraud")
    tag = first.headers["etag"]
    again = plain.ask("GET", f"{API}/models/fraud", if_none_match=f'"other", {tag}')
    assert (again.status, again.data, again.headers["etag"]) == (304, b"", tag)
    plain.ask("PATCH", f"{API}/models/fraud", b'{"owner": "eve"}')
    assert plain.ask("GET", f"{API}/models/fraud", if_none_match=tag).status == 200


def test_only_what_the_caller_saw_is_changed(plain: Plain) -> None:
    tag = plain.ask("GET", f"{API}/models/fraud").headers["etag"]
    assert plain.ask("PATCH", f"{API}/models/fraud", b'{"owner": "eve"}', if_match=tag).status == 200
    late = plain.ask("PATCH", f"{API}/models/fraud", b'{"owner": "bob"}', if_match=tag)
    assert (late.status, late.json()["code"]) == (412, "precondition_failed")
    assert plain.ask("GET", f"{API}/models/fraud").json()["owner"] == "eve"
    assert plain.ask("PATCH", f"{API}/models/fraud", b'{"owner": "bob"}', if_match="*").status == 200
    no_such = plain.ask("POST", f"{API}/models", b'{"model": "new"}', if_match=tag)
    assert (no_such.status, no_such.json()["code"]) == (400, "invalid_request")
    project = plain.ask("GET", f"{API}/projects/default").headers["etag"]
    assert plain.ask("PATCH", f"{API}/projects/default", b'{"description": "x"}', if_match=project).status == 200
    assert plain.ask("PATCH", f"{API}/projects/default", b'{"description": "y"}', if_match=project).status == 412


def test_of_many_who_saw_the_same_one_changes_it(plain: Plain) -> None:
    tag = plain.ask("GET", f"{API}/models/fraud").headers["etag"]
    statuses: list[int] = []

    def change(owner: int) -> None:
        body = json.dumps({"owner": f"owner-{owner}"}).encode()
        statuses.append(plain.ask("PATCH", f"{API}/models/fraud", body, if_match=tag).status)

    members = [threading.Thread(target=change, args=(n,)) for n in range(6)]
    for member in members:
        member.start()
    for member in members:
        member.join()
    assert sorted(statuses) == [200, *[412] * 5]


def test_pages_follow_one_another_by_their_links(plain: Plain) -> None:
    for n in range(5):
        plain.ask("POST", f"{API}/models", json.dumps({"model": f"m{n}"}).encode())
    path, names = f"{API}/models?limit=2&contains=m", []
    while path:
        page = plain.ask("GET", path)
        names += [each["name"] for each in page.json()["items"]]
        link = page.headers.get("link", "")
        path = link.removeprefix("<").partition(">")[0]
    assert names == [f"m{n}" for n in range(5)]


def test_bodies_are_packed_where_it_pays(plain: Plain) -> None:
    plain.ask("PATCH", f"{API}/models/fraud", json.dumps({"card": "word " * 1_000}).encode())
    whole = plain.ask("GET", f"{API}/models/fraud")
    assert "content-encoding" not in whole.headers
    for accept, encoding, unpack in (
        ("gzip", "gzip", gzip.decompress),
        ("gzip, zstd", "zstd", zstd.decompress),
        ("zstd;q=0, *", "gzip", gzip.decompress),
    ):
        packed = _raw(plain, f"{API}/models/fraud", accept)
        assert packed.headers["content-encoding"] == encoding
        assert len(packed.raw) < len(whole.data) / 10
        assert unpack(packed.raw) == whole.data
    packed_request = gzip.compress(b'{"model": "packed"}')
    assert plain.ask("POST", f"{API}/models", packed_request, content_encoding="gzip").status == 201
    assert plain.ask("POST", f"{API}/models", packed_request[:-3], content_encoding="gzip").status == 400
    assert plain.ask("POST", f"{API}/models", b"{}", content_encoding="br").status == 415


class _Raw:
    def __init__(self, headers: Any, raw: bytes) -> None:
        self.headers = headers
        self.raw = raw


def _raw(plain: Plain, path: str, accept: str) -> _Raw:
    import http.client
    from urllib.parse import urlsplit

    connection = http.client.HTTPConnection(urlsplit(plain.url).netloc, timeout=60)
    connection.request("GET", path, headers={"accept-encoding": accept})
    answer = connection.getresponse()
    found = _Raw({k.lower(): v for k, v in answer.getheaders()}, answer.read())
    connection.close()
    return found


def test_a_bomb_does_not_go_off(plain: Plain) -> None:
    bomb = zstd.compress(b"0" * (200 << 20))
    assert len(bomb) < 100_000
    answer = plain.ask("POST", f"{API}/models", bomb, content_encoding="zstd")
    assert (answer.status, answer.json()["code"]) == (413, "too_large")
    assert "unpacks to more" in answer.json()["detail"]


def test_limits_are_kept(limited: Plain) -> None:
    large = limited.ask("POST", f"{API}/models", b"x" * 3_000)
    assert (large.status, large.json()["code"]) == (413, "too_large")
    chunked = limited.ask("POST", f"{API}/models", iter([b"x" * 1_500] * 3), transfer_encoding="chunked")  # type: ignore[arg-type]
    assert chunked.status == 413
    assert limited.ask("GET", f"{API}/models/fraud").status == 200


def test_a_slow_op_is_answered_and_does_not_block_the_others_for_ever(
    limited: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    act = limited.behind.act

    def slow(request: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(request, GetModel) and request.model == "slow":
            time.sleep(1.0)
        return act(request, *args, **kwargs)

    monkeypatch.setattr(limited.behind, "act", slow)
    begun = time.perf_counter()
    answers: list[Any] = []
    members = [
        threading.Thread(target=lambda: answers.append(limited.ask("GET", f"{API}/models/slow"))) for _ in range(6)
    ]
    for member in members:
        member.start()
    for member in members:
        member.join()
    assert time.perf_counter() - begun < 5
    assert {answer.status for answer in answers} <= {503, 504}
    assert {answer.status for answer in answers} >= {503}
    assert all(answer.headers["retry-after"] for answer in answers)
    # those who were told that it timed out wait no longer, but the thread has their work before it
    assert limited.ask("GET", f"{API}/models/fraud").status == 503
    limit = time.monotonic() + 60
    while limited.ask("GET", f"{API}/models/fraud").status != 200:
        assert time.monotonic() < limit


def test_a_few_rows_at_hand_are_read_while_all_threads_are_busy(tmp_path: Path) -> None:
    given = {"url": str(tmp_path / "registry"), "actor": "ada", "serve_auth": "none", "serve_threads": 1}
    resolved = load_settings(given, environ={})
    transport = connect(resolved)
    transport.call(CreateModel(model="fraud"))
    held = threading.Event()
    with served(application(transport, resolved.settings)) as url:
        plain = Plain(url, transport)
        seen = plain.ask("GET", f"{API}/models/fraud")

        def hold(_: object) -> None:
            held.wait(60)

        transport.on("model.created", hold)
        busy = threading.Thread(target=plain.ask, args=("POST", f"{API}/models", b'{"model": "churn"}'))
        busy.start()
        try:
            limit = time.monotonic() + 60
            while plain.ask("GET", f"{API}/models/churn").status != 200:
                assert time.monotonic() < limit
            assert busy.is_alive()
            again = plain.ask("GET", f"{API}/models/fraud")
            assert (again.data, again.headers["etag"]) == (seen.data, seen.headers["etag"])
            assert plain.ask("GET", f"{API}/models/fraud", if_none_match=seen.headers["etag"]).status == 304
            missing = plain.ask("GET", f"{API}/models/missing")
            assert (missing.status, missing.json()["code"]) == (404, "not_found")
        finally:
            held.set()
            busy.join()
    transport.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api/v1", 404),
        ("GET", f"{API}/nonsense", 404),
        ("GET", f"{API}/models/fraud/", 404),
        ("POST", f"{API}/models/fraud", 405),
        ("PURGE", f"{API}/models", 405),
        ("GET", f"{API}/models/%ff", 400),
        ("GET", f"{API}/models?limit=%ff", 400),
        ("GET", f"{API}/models?limit=0", 400),
        ("GET", f"{API}/models?limit=100000", 400),
        ("GET", f"{API}/models?cursor=abc", 400),
        ("GET", f"{API}/versions?where=%3D", 400),
        ("OPTIONS", f"{API}/models", 204),
        ("HEAD", f"{API}/models/fraud", 200),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
    ],
)
def test_statuses(plain: Plain, method: str, path: str, status: int) -> None:
    answer = plain.ask(method, path)
    assert answer.status == status, answer.data
    if status >= 400:
        problem = answer.json()
        assert problem["status"] == status
        assert problem["detail"]
    if status == 405:
        assert "GET" in answer.headers["allow"]


def test_a_body_of_another_kind_is_refused(plain: Plain) -> None:
    answer = plain.ask("POST", f"{API}/models", b"<model/>", content_type="application/xml")
    assert answer.status == 415
    assert "application/json" in answer.json()["hint"]


def test_request_ids_are_the_clients_where_they_are_usable(plain: Plain) -> None:
    assert plain.ask("GET", "/healthz", x_request_id="trace-1").headers["x-request-id"] == "trace-1"
    odd = plain.ask("GET", "/healthz", x_request_id="a b" * 100).headers["x-request-id"]
    assert len(odd) == 32


def test_readiness_tells_that_the_database_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: LocalTransport) -> None:
        raise Unavailable("The database does not answer.")

    monkeypatch.setattr(LocalTransport, "check", gone)
    for plain in served_registry():
        answer = plain.ask("GET", "/readyz")
        assert (answer.status, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"]
        assert plain.ask("GET", "/healthz").status == 200


class TestBytes:
    def test_a_file_is_had_by_its_reference_and_path(self, plain: Plain) -> None:
        version = a_version(plain)
        answer = plain.ask("GET", f"{API}/versions/fraud:1/files/model/x.bin")
        assert answer.data == b"hello" * 5_000
        assert answer.headers["content-length"] == "25000"
        assert answer.headers["etag"].strip('"') == digest_of(answer.data)
        assert "x.bin" in answer.headers["content-disposition"]
        missing = plain.ask("GET", f"{API}/versions/fraud:1/files/model/y.bin")
        assert missing.status == 404
        assert "model/x.bin" in missing.json()["hint"]
        assert version["number"] == 1

    def test_a_reference_is_resolved_for_a_shell(self, plain: Plain) -> None:
        a_version(plain)
        found = plain.ask("GET", f"{API}/resolve?ref=fraud").json()
        assert (found["number"], found["asked"]) == (1, "fraud")
        (file,) = found["files"]
        assert plain.ask("GET", file["href"]).data == b"hello" * 5_000
        assert plain.ask("GET", f"{API}/resolve?ref=nothing").status == 404
        assert plain.ask("GET", f"{API}/resolve").status == 400

    @pytest.mark.parametrize(
        ("asked", "status", "span"),
        [
            ("bytes=0-9", 206, slice(0, 10)),
            ("bytes=24990-", 206, slice(24_990, None)),
            ("bytes=-7", 206, slice(-7, None)),
            ("bytes=24990-99999", 206, slice(24_990, None)),
            ("bytes=-99999", 206, slice(None)),
            ("bytes=25000-", 416, None),
            ("bytes=-0", 416, None),
            ("bytes=9-0", 200, slice(None)),
            ("bytes=0-1,4-5", 200, slice(None)),
            ("lines=0-1", 200, slice(None)),
            ("bytes=-", 200, slice(None)),
            ("bytes=a-b", 200, slice(None)),
        ],
    )
    def test_ranges(self, plain: Plain, asked: str, status: int, span: slice | None) -> None:
        content = bytes(range(250)) * 100
        a_version(plain, content=content)
        answer = plain.ask("GET", f"{API}/blobs/{digest_of(content)}", range=asked)
        assert answer.status == status
        if span is None:
            assert answer.headers["content-range"] == "bytes */25000"
        else:
            assert answer.data == content[span]

    def test_a_range_of_something_else_is_answered_whole(self, plain: Plain) -> None:
        a_version(plain)
        path = f"{API}/blobs/{digest_of(b'hello' * 5_000)}"
        assert plain.ask("GET", path, range="bytes=0-1", if_range='"other"').status == 200
        tag = plain.ask("HEAD", path).headers["etag"]
        assert plain.ask("GET", path, range="bytes=0-1", if_range=tag).status == 206
        assert plain.ask("GET", path, if_none_match=tag).status == 304

    def test_bytes_under_a_digest_that_is_not_theirs_are_refused(self, plain: Plain) -> None:
        wrong = digest_of(b"other")
        answer = plain.ask("PUT", f"{API}/blobs/{wrong}", b"these")
        assert answer.json()["code"] == "integrity_failure"
        assert plain.ask("GET", f"{API}/blobs/{wrong}/stat").status == 404
        assert plain.ask("PUT", f"{API}/blobs/nonsense", b"these").status == 400

    def test_a_blob_of_nothing(self, plain: Plain) -> None:
        digest = digest_of(b"")
        assert plain.ask("PUT", f"{API}/blobs/{digest}", b"").status == 200
        answer = plain.ask("GET", f"{API}/blobs/{digest}")
        assert (answer.status, answer.data) == (200, b"")


def test_the_description_names_every_path(plain: Plain) -> None:
    document = plain.ask("GET", "/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    operations = {each["operationId"] for path in document["paths"].values() for each in path.values()}
    from chopmark.ops.table import OPS

    streams = {
        "version.resolve",
        "version.file",
        "blob.get",
        "blob.put",
        "blob.stat",
        "blob.missing",
        "blob.assemble",
        "blob.address",
        "blob.arrived",
        "event.hear",
    }
    assert operations == set(OPS) | streams
