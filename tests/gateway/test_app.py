"""The gateway as a client sees it, with versions that are fakes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import pytest

from chopmark.domain.endpoints import EndpointCaller, EndpointConfig
from chopmark.domain.request_ids import read_request_id
from chopmark.domain.tokens import secret_hash, written
from chopmark.errors import ModelFailed, ModelTimeout, QueueFull
from chopmark.gateway.app import Gateway
from chopmark.gateway.protocols.asked import Asked
from chopmark.gateway.router import Route
from tests.gateway.world import SECRET, World, endpoint, pinned, routing, settled, whole

INFER = "/v2/models/fraud-api/infer"
V2 = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1.0, 2.0]}]}
ROWS = {"rows": [[1.0, 2.0]]}
TOKEN_ID, TOKEN_SECRET = "00112233445566ff", bytes(range(32))
TOKEN = f"Bearer {written(TOKEN_ID, TOKEN_SECRET)}"


class Told(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


class Client:
    """Asks a gateway as ASGI has it."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def __call__(self, path: str, body: Any = None, method: str = "POST", **headers: str) -> Told:
        sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": given}
        messages: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": sent, "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        await self.gateway(scope, receive, send)
        start, *rest = messages
        content = b"".join(m["body"] for m in rest)
        answered = {name.decode(): value.decode() for name, value in start["headers"]}
        is_json = answered.get("content-type") == "application/json" and content
        return Told(start["status"], answered, json.loads(content) if is_json else content)


def story(tell: Callable[[World, Client], Awaitable[None]], *, asks_callers: bool = False, mirror: Any = None) -> None:
    async def told() -> None:
        world = World()
        gateway = Gateway(world.router, asks_callers=asks_callers, mirror=mirror, release="1.2.3", clock=world.clock)
        await tell(world, Client(gateway))
        await world.holding.close()

    asyncio.run(told())


def test_every_protocol_is_answered_and_says_who_answered() -> None:
    async def tell(world: World, ask: Client) -> None:
        await world.take(routing(whole(3)))
        for path, body in (
            (INFER, V2),
            ("/v2/models/default/fraud-api/infer", V2),
            ("/v2/models/fraud-api/versions/3/infer", V2),
            ("/predict/fraud-api", ROWS),
            ("/invocations", {"instances": [[1.0, 2.0]]}),
            ("/endpoints/fraud-api/invocations", {"instances": [[1.0, 2.0]]}),
        ):
            told = await ask(path, body)
            assert (told.status, told.headers["x-chopmark-version"]) == (200, "3"), (path, told)
            assert told.headers["x-chopmark-digest"] == pinned(3).digest
            said = read_request_id(told.headers["x-chopmark-request-id"], SECRET)
            assert (said.version_id, said.variant, said.generation) == (pinned(3).id, "stable", 1)
        assert world.router.routes["fraud-api"].serving[0].tally.taken().requests == 6

    story(tell)


def test_ids_are_given_back_and_no_two_requests_have_one() -> None:
    async def tell(world: World, ask: Client) -> None:
        await world.take(routing(whole(3)))
        one, other = await ask(INFER, V2 | {"id": "mine"}), await ask(INFER, V2)
        assert (one.body["id"], one.body["model_name"], one.body["model_version"]) == ("mine", "fraud-api", "3")
        assert one.headers["x-chopmark-request-id"] != other.headers["x-chopmark-request-id"]

    story(tell)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (INFER, b"{", 400),
        (INFER, b"", 400),
        (INFER, b"[" * 5_000, 400),
        (INFER, V2 | {"inputs": []}, 400),
        (INFER, {"inputs": [V2["inputs"][0] | {"shape": [1, 3]}]}, 400),
        (INFER, b" " * 20_001, 413),
        ("/predict/fraud-api", {"rows": []}, 400),
        ("/predict/nobody", ROWS, 404),
        ("/v2/models/nobody/infer", V2, 404),
        ("/v2/models/fraud-api/versions/9/infer", V2, 404),
        ("/v2/nothing", b"", 404),
        ("/v1/nothing", b"", 404),
    ],
)
def test_mistakes_of_clients_are_theirs(path: str, body: Any, status: int) -> None:
    async def tell(world: World, ask: Client) -> None:
        await world.take(routing(whole(3, config=EndpointConfig(body_bytes_max=20_000))))
        told = await ask(path, body)
        assert (told.status, bool(told.body["error"])) == (status, True), told

    story(tell)


def test_failures_of_a_model_are_told_counted_and_concern_their_own_request_only() -> None:
    async def tell(world: World, ask: Client) -> None:
        await world.take(routing(whole(3)))
        statuses = []
        for fault in (ModelFailed("no"), ModelTimeout("late"), QueueFull("full"), RuntimeError("a secret"), None):
            world.made[3].fault = fault
            told = await ask(INFER, V2)
            statuses.append(told.status)
            assert "a secret" not in str(told.body)
            assert told.headers["x-chopmark-version"] == "3"
        assert statuses == [500, 504, 503, 500, 200]
        await ask(INFER, b"{")
        counts = world.router.routes["fraud-api"].serving[0].tally.taken()
        assert (counts.requests, counts.errors) == (6, {"model": 2, "timeout": 1, "refused": 1, "unreadable": 1})
        assert world.router.routes["fraud-api"].serving[0].held.in_flight == 0

    story(tell)


def test_a_unit_always_meets_its_variant_by_header_field_or_token() -> None:
    async def tell(world: World, ask: Client) -> None:
        config = EndpointConfig(key_field="user.id")
        await world.take(routing(endpoint((3, 5_000), (4, 5_000), config=config)))
        by_header = [(await ask(INFER, V2, x_chopmark_key=f"u{i}")).headers["x-chopmark-variant"] for i in range(40)]
        again = [(await ask(INFER, V2, x_chopmark_key=f"u{i}")).headers["x-chopmark-variant"] for i in range(40)]
        by_field = [(await ask(INFER, V2 | {"user": {"id": f"u{i}"}})).headers["x-chopmark-variant"] for i in range(40)]
        assert by_header == again == by_field
        assert set(by_header) == {"stable", "candidate"}
        both = await ask(INFER, V2 | {"user": {"id": "u1"}}, x_chopmark_key="u0")
        assert both.headers["x-chopmark-variant"] == by_header[0]  # the header goes first

    story(tell)


def test_the_share_without_a_key_is_counted_and_dealt_by_chance() -> None:
    async def tell(world: World, ask: Client) -> None:
        await world.take(routing(endpoint((3, 5_000), (4, 5_000))))
        met = [(await ask(INFER, V2)).headers["x-chopmark-variant"] for _ in range(100)]
        assert 20 < met.count("candidate") < 80
        await ask(INFER, V2, x_chopmark_key="ada")
        counts = [s.tally.taken() for s in world.router.routes["fraud-api"].serving]
        assert (sum(c.requests for c in counts), sum(c.without_key for c in counts)) == (101, 100)

    story(tell)


def _caller(**more: Any) -> EndpointCaller:
    said = {"token": TOKEN_ID, "secret_hash": secret_hash(TOKEN_SECRET), "name": "shop", "invoke": ("default",)}
    return EndpointCaller(**(said | more))


async def _known(world: World, ask: Client, *endpoints: Any, callers: Sequence[EndpointCaller]) -> None:
    await world.take(routing(*endpoints, callers=callers))
    ask.gateway.know_callers()


def test_without_a_token_nothing_is_told_but_that_it_lives() -> None:
    async def tell(world: World, ask: Client) -> None:
        await _known(world, ask, whole(3), callers=[_caller()])
        assert (await ask(INFER, V2)).status == 401
        assert (await ask("/v2/models/fraud-api", method="GET")).status == 401
        assert (await ask("/v2/repository/index")).body == []
        for path in ("/v2/models/nobody", "/v2/models/nobody/ready"):  # what is there is not told either
            assert (await ask(path, method="GET")).status == 401
        assert (await ask("/predict/nobody", ROWS)).status == 401
        assert (await ask("/v1/chat/completions", {"model": "nobody", "messages": [{"role": "user"}]})).status == 401
        assert (await ask("/v1/models/fraud-api", method="GET")).status == 401
        assert (await ask("/v2/health/live", method="GET")).status == 200
        assert (await ask(INFER, V2, authorization=TOKEN)).status == 200
        assert (await ask("/v2/models/fraud-api", method="GET", authorization=TOKEN)).status == 200
        assert [line["name"] for line in (await ask("/v2/repository/index", authorization=TOKEN)).body] == ["fraud-api"]

    story(tell, asks_callers=True)


@pytest.mark.parametrize(("kind", "met"), [("person", 1), ("service", 2)])
def test_a_person_meets_one_variant_and_behind_a_service_each_request_is_dealt(kind: str, met: int) -> None:
    async def tell(world: World, ask: Client) -> None:
        await _known(world, ask, endpoint((3, 5_000), (4, 5_000)), callers=[_caller(kind=kind)])
        answers = [await ask(INFER, V2, authorization=TOKEN) for _ in range(40)]
        assert len({told.headers["x-chopmark-variant"] for told in answers}) == met
        keyed = [await ask(INFER, V2, authorization=TOKEN, x_chopmark_key="ada") for _ in range(40)]
        assert len({told.headers["x-chopmark-variant"] for told in keyed}) == 1

    story(tell, asks_callers=True)


def test_a_path_that_names_no_endpoint_means_the_only_one_there_is_and_not_the_only_one_that_is_up() -> None:
    async def tell(world: World, ask: Client) -> None:
        await world.take(routing(whole(3)))
        assert (await ask("/invocations", {"instances": [[1.0, 2.0]]})).status == 200
        world.faults[4] = ModelFailed("no")
        await world.take(routing(whole(3), whole(4, name="odd-api"), generation=2))
        assert (await ask("/invocations", {"instances": [[1.0, 2.0]]})).status == 404

    story(tell)


def test_an_endpoint_of_another_project_is_not_there() -> None:
    async def tell(world: World, ask: Client) -> None:
        await _known(world, ask, whole(3), callers=[_caller(invoke=("risk",))])
        told, nobody = (
            await ask(INFER, V2, authorization=TOKEN),
            await ask("/v2/models/nobody/infer", V2, authorization=TOKEN),
        )
        assert told.status == nobody.status == 404
        assert told.body["error"].replace("fraud-api", "X") == nobody.body["error"].replace("nobody", "X")

    story(tell, asks_callers=True)


def test_an_endpoint_of_another_project_that_is_being_loaded_is_not_there_either() -> None:
    async def tell(world: World, ask: Client) -> None:
        let = asyncio.Event()

        async def wait(_: int) -> None:
            await let.wait()

        world.before_load = wait
        await _known(world, ask, whole(3), callers=[_caller(invoke=("risk",))])
        assert (await ask(INFER, V2, authorization=TOKEN)).status == 404
        asked = {"model": "fraud-api", "messages": [{"role": "user", "content": "?"}]}
        assert (await ask("/v1/chat/completions", asked, authorization=TOKEN)).status == 404
        let.set()
        await settled()
        assert (await ask("/v1/chat/completions", asked, authorization=TOKEN)).status == 404

    story(tell, asks_callers=True)


def test_an_open_endpoint_asks_nobody() -> None:
    async def tell(world: World, ask: Client) -> None:
        await _known(world, ask, whole(3, config=EndpointConfig(access="anybody")), callers=[])
        assert (await ask(INFER, V2)).status == 200

    story(tell, asks_callers=True)


def test_the_variant_is_chosen_by_who_may_deploy_only() -> None:
    async def tell(world: World, ask: Client) -> None:
        split = endpoint((3, 10_000), (4, 0))
        await _known(world, ask, split, callers=[_caller()])
        refused = await ask(INFER, V2, authorization=TOKEN, x_chopmark_variant="candidate")
        assert refused.status == 403
        by_number = await ask("/v2/models/fraud-api/versions/4/infer", V2, authorization=TOKEN)
        assert by_number.status == 403
        await _known(world, ask, split, callers=[_caller(deploy=("default",))])
        chosen = await ask(INFER, V2, authorization=TOKEN, x_chopmark_variant="candidate")
        assert (chosen.status, chosen.headers["x-chopmark-version"]) == (200, "4")
        by_number = await ask("/v2/models/fraud-api/versions/4/infer", V2, authorization=TOKEN)
        assert by_number.headers["x-chopmark-variant"] == "candidate"
        assert (await ask(INFER, V2, authorization=TOKEN, x_chopmark_variant="nobody")).status == 404

    story(tell, asks_callers=True)


def test_while_an_endpoint_is_loaded_for_the_first_time_it_says_so() -> None:
    async def tell(world: World, ask: Client) -> None:
        let = asyncio.Event()

        async def wait(_: int) -> None:
            await let.wait()

        assert (await ask(INFER, V2)).status == 503  # no routing yet
        world.before_load = wait
        await world.take(routing(whole(3)))
        told = await ask(INFER, V2)
        assert (told.status, told.headers["retry-after"]) == (503, "1")
        assert (await ask("/v2/health/ready", method="GET")).status == 503
        assert (await ask("/v2/models/fraud-api/ready", method="GET")).status == 503
        let.set()
        await settled()
        assert (await ask(INFER, V2)).status == 200
        assert (await ask("/v2/health/ready", method="GET")).body == {"ready": True}
        assert (await ask("/v2/models/fraud-api/versions/3/ready", method="GET")).status == 200
        assert (await ask("/v2/models/fraud-api/versions/9/ready", method="GET")).status == 404

    story(tell)


def test_requests_that_began_before_a_swap_end_by_the_table_they_began_with() -> None:
    async def tell(world: World, ask: Client) -> None:
        await world.take(routing(whole(3, config=EndpointConfig(kept_loaded_s=0))))
        slow = world.made[3]
        slow.now_rows_max, slow.gate = 0, asyncio.Event()
        waiting = [asyncio.create_task(ask(INFER, V2)) for _ in range(5)]
        await settled()
        await world.take(routing(whole(4, 2, config=EndpointConfig(kept_loaded_s=0)), generation=2))
        world.router.settle()
        assert (await ask(INFER, V2)).headers["x-chopmark-version"] == "4"
        assert not slow.closed
        slow.gate.set()
        assert {(t.status, t.headers["x-chopmark-version"]) for t in await asyncio.gather(*waiting)} == {(200, "3")}
        world.seconds += 1
        for _ in range(2):
            world.router.settle()
            await settled()
        assert slow.closed

    story(tell)


def test_copies_go_to_the_mirror_once_there_are_shadows() -> None:
    copies: list[tuple[str, int]] = []

    def mirror(route: Route, asked: Asked, answer: Any, request_bytes: int) -> None:  # noqa: ARG001
        copies.append((route.endpoint.ref, asked.rows))

    async def tell(world: World, ask: Client) -> None:
        await world.take(routing(whole(3)))
        await ask(INFER, V2)
        await world.take(routing(whole(3, 2, shadows=[(9, 10_000)]), generation=2))
        world.router.settle()
        await ask(INFER, V2)
        assert copies == [("fraud-api", 1)]

    story(tell, mirror=mirror)


def test_a_question_by_head_has_no_body() -> None:
    async def tell(world: World, ask: Client) -> None:
        await world.take(routing(whole(3)))
        told = await ask("/v2/models/fraud-api", method="HEAD")
        assert (told.status, told.body) == (200, b"")

    story(tell)


def test_with_two_endpoints_the_path_without_a_name_means_neither() -> None:
    async def tell(world: World, ask: Client) -> None:
        await world.take(routing(whole(3), whole(4, name="other-api")))
        told = await ask("/invocations", {"instances": [[1.0, 2.0]]})
        assert told.status == 404
        assert "/endpoints/" in told.body["hint"]

    story(tell)


def test_samples_are_kept_as_many_as_fit_for_who_may_deploy() -> None:
    async def tell(world: World, ask: Client) -> None:
        config = EndpointConfig(sample_share=0.5, samples_max=4)
        await _known(world, ask, whole(3, config=config), whole(4, name="other-api"), callers=[_caller()])
        for i in range(20):
            await ask(INFER, {"inputs": [V2["inputs"][0] | {"data": [float(i), 0.0]}]}, authorization=TOKEN)
        path = "/endpoints/fraud-api/samples"
        assert (await ask(path, method="GET", authorization=TOKEN)).status == 403
        await _known(world, ask, whole(3, config=config), callers=[_caller(deploy=("default",))])
        told = (await ask(path, method="GET", authorization=TOKEN)).body
        assert (len(told["samples"]), told["gone"]) == (4, 6)
        last = told["samples"][-1]
        assert (last["rows"], last["outputs"]) == (1, {"output-0": [3.0]})
        assert last["inputs"][0][0] >= 15
        assert read_request_id(last["request_id"], SECRET).variant == "stable"
        none = await ask("/endpoints/other-api/samples", method="GET", authorization=TOKEN)
        assert none.status == 404

    story(tell, asks_callers=True)


def test_the_protocols_are_described() -> None:
    async def tell(world: World, ask: Client) -> None:
        await world.take(routing(whole(3)))
        told = await ask("/v2/openapi.json", method="GET")
        assert (told.status, told.body["openapi"]) == (200, "3.1.0")
        assert "fraud-api" in str(told.body)

    story(tell)


def test_a_large_request_is_read_and_answered_beside_the_others() -> None:
    async def tell(world: World, ask: Client) -> None:
        await world.take(routing(whole(3)))
        rows = 20_000
        large = asyncio.create_task(ask("/predict/fraud-api", {"rows": [[float(i), 1.5] for i in range(rows)]}))
        answered = 0
        while not large.done():
            assert (await ask(INFER, V2)).status == 200
            answered += 1
            await asyncio.sleep(0)
        told = await large
        assert (told.status, len(told.body["predictions"])) == (200, rows)
        assert answered > 5

    story(tell)


def tensor(**changed: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1.0, 2.0], **changed}]}


PREDICT, INVOKE = "/predict/fraud-api", "/endpoints/fraud-api/invocations"


@pytest.mark.parametrize(
    ("path", "body", "whose"),
    [
        (INFER, b"{", "unreadable"),
        (INFER, b'{"inputs": 3}', "unreadable"),
        (INFER, tensor(datatype="FP65"), "unreadable"),
        (INFER, tensor(shape=[1, 3]), "unreadable"),
        (INFER, tensor(data=["a", "b"]), "unreadable"),
        (INFER, tensor(shape=[1, 3], data=[1.0, 2.0, 3.0]), "client"),
        (INFER, tensor(datatype="BYTES", data=["a", "b"]), "client"),
        (INFER, {**tensor(), "outputs": [{"name": "none"}]}, "client"),
        (PREDICT, b"[[1, 2", "unreadable"),
        (PREDICT, {"rows": [[1, 2]], "row": [1, 2]}, "unreadable"),
        (PREDICT, [[1.0, 2.0, 3.0]], "client"),
        (PREDICT, [["a", 2.0]], "client"),
        (INVOKE, {"instances": [[1, 2]], "inputs": [[1, 2]]}, "unreadable"),
        (INVOKE, {"instances": [[1.0]]}, "client"),
    ],
)
def test_what_no_version_could_answer_counts_against_none(path: str, body: Any, whose: str) -> None:
    """Another version may take three columns, or texts; none takes half a document."""

    async def tell(world: World, ask: Client) -> None:
        await world.take(routing(whole(3)))
        assert (await ask(path, body)).status == 400
        assert world.router.routes["fraud-api"].serving[0].tally.taken().errors == {whose: 1}

    story(tell)
