"""Requests that are meant to harm: each is refused as the client's mistake, and nobody beside it notices."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from chopmark.domain.endpoints import EndpointConfig
from chopmark.gateway.app import Gateway
from faults.gateway_clients import COLUMNS, Asking, numbered_model, rows
from faults.serving_processes import Installation, Running, until
from tests.gateway.world import World, routing, whole
from tests.server.raw import Raw, Reply, connected

BODY_BYTES_MAX = 4 << 20
IDLE_S = 2.0
NAN = b'{"rows": [[NaN, 1.0, 2.0]]}'
INFER, PREDICT, INVOKE = "/v2/models/api/infer", "/predict/api", "/endpoints/api/invocations"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One process with an endpoint, to be poisoned by all tests."""
    installation = Installation(Path(tmp_path_factory.mktemp("poison")), serve_idle_s=IDLE_S, serve_head_s=IDLE_S)
    with installation.client() as registry:
        registry.register("fraud", numbered_model(1), example=rows(20))
    made = installation.serve("--workers", "0")
    with installation.client(made.url) as registry:
        registry.endpoints.create("api", "fraud:1", config={"body_bytes_max": BODY_BYTES_MAX})
    until(lambda: post(made, PREDICT, b'{"rows": [[1, 2, 3]]}').status == 200, 60)
    yield made
    installation.close()


def post(server: Running, path: str, body: bytes, **headers: str) -> Reply:
    with closing(connected(server.url)) as raw:
        send(raw, path, body, **headers)
        return raw.reply()


def send(raw: Raw, path: str, body: bytes, **headers: str) -> None:
    said = {"host": "here", "content-length": str(len(body)), **{k.replace("_", "-"): v for k, v in headers.items()}}
    head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
    try:
        raw.send(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
    except OSError:  # it was refused before all of it was sent
        return


def v2(**tensor: Any) -> bytes:
    said = {"name": "x", "shape": [1, COLUMNS], "datatype": "FP64", "data": [1.0] * COLUMNS}
    return json.dumps({"inputs": [said | tensor]}).encode()


def binary(rest: bytes, **tensor: Any) -> tuple[bytes, dict[str, str]]:
    said = {"name": "x", "shape": [1, COLUMNS], "datatype": "FP64", "parameters": {"binary_data_size": 24}} | tensor
    head = json.dumps({"inputs": [said]}).encode()
    return head + rest, {"inference_header_content_length": str(len(head))}


ROWS = {
    "wrong width": b'{"rows": [[1.0, 2.0]]}',
    "ragged": b'{"rows": [[1.0, 2.0, 3.0], [1.0]]}',
    "NaN": NAN,
    "infinity": b'{"rows": [[1e999, 1.0, 2.0]]}',
    "null rows": b'{"rows": null}',
    "strings": b'{"rows": [["a", "b", "c"]]}',
    "objects": b'{"rows": [[{}, {}, {}]]}',
    "empty": b'{"rows": []}',
    "empty rows": b'{"rows": [[], []]}',
    "no body": b"",
    "no JSON": b"{",
    "lone bytes": b"\xff\xfe\x00",
    "lone surrogate": b'{"rows": [["\\ud800", 1, 2]]}',
    "deep": b'{"rows": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "long number": b'{"rows": [[' + b"9" * 100_000 + b", 1, 2]]}",
    "huge name": b'{"rows": [{"' + b"a" * 1_000_000 + b'": 1}]}',
    "many names": json.dumps({"rows": [{f"n{i}": 1 for i in range(50_000)}]}).encode(),
}
TENSORS = {
    "wrong shape": v2(shape=[1, 4]),
    "negative shape": v2(shape=[-1, COLUMNS]),
    "huge shape": v2(shape=[1 << 62, 1 << 62]),
    "huge and empty shape": v2(shape=[1 << 40, 0], data=[]),
    "boolean shape": v2(shape=[True, COLUMNS]),
    "many dimensions": v2(shape=[1] * 100),
    "wrong type": v2(datatype="FP65"),
    "strings": v2(data=["a"] * COLUMNS),
    "bytes": v2(datatype="BYTES", data=["a"] * COLUMNS),
    "no data": json.dumps({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP64"}]}).encode(),
    "twice": json.dumps({"inputs": json.loads(v2())["inputs"] * 2}).encode(),
    "unknown output": json.dumps(json.loads(v2()) | {"outputs": [{"name": "y" * 100_000}]}).encode(),
    "empty batch": v2(shape=[0, COLUMNS], data=[]),
}
BINARIES = {
    "too few bytes": binary(b"\0" * 23),
    "too many bytes": binary(b"\0" * 25),
    "a size beyond the body": binary(b"\0" * 24, parameters={"binary_data_size": 1 << 60}),
    "a negative size": binary(b"\0" * 24, parameters={"binary_data_size": -24}),
    "a size that is none": binary(b"\0" * 24, parameters={"binary_data_size": "24"}),
    "another size": binary(b"\0" * 24, parameters={"binary_data_size": 16}),
    "bytes of a huge length": binary(
        b"\xff\xff\xff\xff" * 6, datatype="BYTES", shape=[6], parameters={"binary_data_size": 24}
    ),
    "more bytes than fit": binary(b"\0" * 24, datatype="BYTES", shape=[1 << 50], parameters={"binary_data_size": 24}),
    "a header beyond the body": (binary(b"\0" * 24)[0], {"inference_header_content_length": "999999999"}),
    "a negative header": (binary(b"\0" * 24)[0], {"inference_header_content_length": "-1"}),
    "a header that is none": (binary(b"\0" * 24)[0], {"inference_header_content_length": "٣"}),
}


@pytest.fixture(scope="module")
def everything() -> list[tuple[str, str, bytes, dict[str, str]]]:
    """Path, name, body and headers of each; made when they are asked for, since packing half a gigabyte takes its time."""
    packed = {
        "no gzip": (b"no gzip", "gzip"),
        "cut gzip": (gzip.compress(NAN * 1_000)[:-20], "gzip"),
        "gzip twice": (gzip.compress(gzip.compress(NAN)), "gzip"),
        "two gzips": (gzip.compress(b'{"rows": [[1,2,3]]}') + gzip.compress(b" "), "gzip"),
        "unknown": (b"{}", "br"),
        "several": (gzip.compress(gzip.compress(NAN)), "gzip, gzip"),
        "a bomb": (zlib.compressobj(9, zlib.DEFLATED, 31).compress(b"") + gzip.compress(b" " * (512 << 20), 9), "gzip"),
    }
    return [
        *((PREDICT, name, body, {}) for name, body in ROWS.items()),
        *((INVOKE, name, body.replace(b'"rows"', b'"instances"'), {}) for name, body in ROWS.items()),
        *((INFER, name, body, {}) for name, body in (ROWS | TENSORS).items()),
        *((INFER, name, body, headers) for name, (body, headers) in BINARIES.items()),
        *(
            (path, name, body, {"content_encoding": how})
            for path in (PREDICT, INFER)
            for name, (body, how) in packed.items()
        ),
    ]


ANSWERED = {"NaN", "empty batch"}
"""What a protocol, or the model, may well answer; what matters is that nothing breaks."""


def test_every_mistake_of_a_client_is_a_4xx_and_harms_no_neighbour(
    server: Running, everything: list[tuple[str, str, bytes, dict[str, str]]]
) -> None:
    before = server.memory_bytes()
    found = {}
    with Asking(server.url, "api", connections=2, pause_s=0.02) as asking:
        until(lambda: len(asking.told) > 20, 30)
        for _ in range(3):
            for path, name, body, headers in everything:
                reply = post(server, path, body, **headers)
                if not (400 <= reply.status < 500 or (reply.status == 200 and name in ANSWERED)):
                    found[path, name] = (reply.status, reply.body[:300])
                elif reply.status != 200:
                    told = json.loads(reply.body)
                    assert told["message" if path == INVOKE else "error"], (path, name)
                    assert len(reply.body) < 4_000, f"{path} {name}: its own poison is sent back"
    assert found == {}
    assert [fault for each in asking.told if (fault := each.fault())] == []
    waits_s = sorted(each.ended_s - each.begun_s for each in asking.told)
    assert waits_s[-1] < 1.0, f"a neighbour waited {waits_s[-1]:.2f} s"
    assert server.memory_bytes() - before < 150 << 20
    assert "Traceback" not in server.said()


def test_large_bodies_are_refused_before_they_are_read(server: Running) -> None:
    before = server.memory_bytes("VmHWM")
    with ExitStack() as stack:
        declared = [stack.enter_context(closing(connected(server.url))) for _ in range(20)]
        for raw in declared:
            raw.send(f"POST {PREDICT} HTTP/1.1\r\nhost: here\r\ncontent-length: {100 << 20}\r\n\r\n".encode())
        assert {raw.reply().status for raw in declared} == {413}
        raw = stack.enter_context(closing(connected(server.url)))
        raw.send(f"POST {PREDICT} HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        try:
            for _ in range(100):
                raw.send(piece)
        except OSError:
            pass
        assert raw.reply().status in (413, 0)
    assert server.memory_bytes("VmHWM") - before < 60 << 20
    assert post(server, PREDICT, b'{"rows": [[1, 2, 3]]}').status == 200


def test_who_is_slow_or_silent_is_given_up_and_others_are_answered(server: Running) -> None:
    begun_s = time.monotonic()
    with ExitStack() as stack, Asking(server.url, "api", connections=2, pause_s=0.02) as asking:
        bodies = [stack.enter_context(closing(connected(server.url))) for _ in range(30)]
        for raw in bodies:
            raw.send(f'POST {PREDICT} HTTP/1.1\r\nhost: here\r\ncontent-length: 60\r\n\r\n{{"rows": [['.encode())
        heads = [stack.enter_context(closing(connected(server.url))) for _ in range(30)]
        for raw in heads:
            raw.send(b"POST /predict/api HT")
        assert {raw.reply().status for raw in bodies} == {400}
        assert {raw.reply().status for raw in heads} == {408}
        assert time.monotonic() - begun_s < IDLE_S + 8
    assert [fault for each in asking.told if (fault := each.fault())] == []


def test_what_is_no_request_ends_its_connection_only(server: Running) -> None:
    good = b'{"rows": [[1, 2, 3]]}'
    head = f"POST {PREDICT} HTTP/1.1\r\nhost: here\r\n".encode()
    for said, statuses in (
        (head + b"content-length: 5\r\n\r\n" + good, {400}),  # it lies: what is beyond is no request
        (head + b"content-length: -1\r\n\r\n" + good, {400}),
        (head + b"content-length: 21\r\ncontent-length: 22\r\n\r\n" + good, {400}),
        (head + b"content-length: 21\r\ntransfer-encoding: chunked\r\n\r\n" + good, {400}),
        (head + b"transfer-encoding: chunked\r\n\r\nzz\r\n", {400}),
        (head + b"x: " + b"a" * (1 << 20) + b"\r\n\r\n", {400, 431, 0}),
        (head + b"".join(b"x%d: 1\r\n" % n for n in range(50_000)) + b"\r\n", {400, 431, 0}),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", {400, 0}),
    ):
        with closing(connected(server.url)) as raw:
            with suppress(OSError):
                raw.send(said)
            assert raw.reply().status in statuses, said[:100]
    assert post(server, PREDICT, good).status == 200
    assert "Traceback" not in server.said()


def test_a_thousand_idle_connections_and_some_that_read_nothing(server: Running) -> None:
    before = server.memory_bytes()
    large = json.dumps({"rows": [[1.0] * COLUMNS] * 20_000}).encode()
    with ExitStack() as stack:
        for _ in range(1_000):
            raw = stack.enter_context(closing(connected(server.url)))
            send(raw, PREDICT, b'{"rows": [[1, 2, 3]]}')
        deaf = [stack.enter_context(closing(connected(server.url, receive_bytes=4_096))) for _ in range(10)]
        for raw in deaf:
            for _ in range(20):
                raw.socket.settimeout(0.2)
                try:
                    raw.send(
                        f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(large)}\r\n\r\n".encode() + large
                    )
                except OSError:
                    break
        with Asking(server.url, "api", connections=2) as asking:
            until(lambda: len(asking.told) > 200, 30)
        assert [fault for each in asking.told if (fault := each.fault())] == []
        assert server.memory_bytes() - before < 200 << 20


def test_a_request_that_is_slow_to_come_is_dealt_by_the_table_of_when_it_is_there() -> None:
    """Else it would be answered by what was rolled back meanwhile, or not at all once that is let go of."""

    async def tell() -> None:
        world = World()
        config = EndpointConfig(kept_loaded_s=0)
        gateway = Gateway(world.router, asks_callers=False, clock=world.clock)
        statuses: list[tuple[int, bytes | None]] = []
        for after in (routing(whole(4, 2, config=config), generation=2), routing(generation=3)):
            await world.take(routing(whole(3, config=config), epoch=f"e{len(statuses)}"))
            comes = asyncio.Event()
            sent: list[Any] = []

            async def receive(comes: asyncio.Event = comes) -> dict[str, Any]:
                await comes.wait()
                return {"type": "http.request", "body": b'{"rows": [[1.0, 2.0]]}', "more_body": False}

            async def keep(message: Any, sent: list[Any] = sent) -> None:
                sent.append(message)

            scope = {"type": "http", "method": "POST", "path": "/predict/fraud-api", "headers": []}
            asking = asyncio.create_task(gateway(scope, receive, keep))
            await asyncio.sleep(0)
            taken = routing(*after.endpoints, generation=after.mark.generation, epoch=f"e{len(statuses)}")
            await world.take(taken)
            comes.set()
            await asking
            statuses.append((sent[0]["status"], dict(sent[0]["headers"]).get(b"x-chopmark-version")))
        assert statuses == [(200, b"4"), (404, None)]
        await world.holding.close()

    asyncio.run(tell())
