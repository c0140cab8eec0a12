"""Clients that go away, versions that are let go of, and how many may ask at once."""

import asyncio
import json
import time

import msgspec
import pytest

from chopmark.domain.llm import LlmConfig
from chopmark.gateway.chat import chat as chat_module
from chopmark.gateway.chat import read
from chopmark.gateway.chat import upstream as upstream_module
from chopmark.gateway.chat.answered import Headers, Problem
from chopmark.gateway.chat.outgoing import ClientGone, Outgoing
from tests.gateway.chat.stand_in import Asked, chunk, completion, hangs, stand_in, well
from tests.gateway.chat.world import World, is_openai_error, on_a_loop, world

CONFIG = LlmConfig(provider="openai", model="gpt-x", cost_per_1k_input_tokens=1.0, cost_per_1k_output_tokens=2.0)

both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


async def _leave(gateway: World, *, stream: bool, after_bytes: int) -> None:
    """Ask over a bare connection, read so many bytes, and go."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    body = (
        b'{"model":"assistant","messages":[{"role":"user","content":"Hi"}],"stream":%s}' % str(stream).lower().encode()
    )
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    if after_bytes:
        await reader.readexactly(after_bytes)
    else:
        await asyncio.sleep(0.2)
    writer.close()


@on_a_loop
async def test_the_provider_is_left_at_once_when_the_client_goes_in_the_middle_of_a_stream() -> None:
    async def endless(asked: Asked) -> None:
        await asked.begin()
        await asked.event(chunk("x" * 400))
        await asked.until_closed()

    async with stand_in(endless) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        await _leave(gateway, stream=True, after_bytes=500)
        outcome = await gateway.outcome()
        await asyncio.sleep(0.1)
        (asked,) = provider.asked
        assert asked.closed_after_s is not None
        assert asked.closed_after_s < 1.0
        assert gateway.chat.waiting == 0
    assert outcome.status_class == "gone"
    assert outcome.status == 200
    assert outcome.is_estimated
    assert outcome.output_tokens == 100  # what came until then has its price
    assert outcome.cost_usd is not None


@both_ways
@on_a_loop
async def test_the_provider_is_left_at_once_when_the_client_goes_before_the_answer(stream: bool) -> None:
    async with stand_in(hangs) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        await _leave(gateway, stream=stream, after_bytes=0)
        outcome = await gateway.outcome()
        await asyncio.sleep(0.1)
        assert provider.asked[0].closed_after_s is not None
    assert outcome.status_class == "gone"
    assert outcome.status == 0


@on_a_loop
async def test_only_so_many_at_once_and_so_many_waiting() -> None:
    goes_on = asyncio.Event()

    async def waits(asked: Asked) -> None:
        await goes_on.wait()
        await asked.answer(completion())

    async with stand_in(waits) as provider, world(CONFIG, {"openai": provider.url}, at_once=2, queue_max=3) as gateway:
        asks = [asyncio.create_task(gateway.ask()) for _ in range(5)]
        async with asyncio.timeout(60):
            while gateway.chat.waiting < 5 or len(provider.asked) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert gateway.chat.in_flight == 2
        refused = await gateway.ask()
        goes_on.set()
        got = await asyncio.gather(*asks)
    error = is_openai_error(refused, 503)
    assert error["code"] == "queue_full"
    assert refused.headers["retry-after"] == "1"
    assert [g.status for g in got] == [200] * 5
    assert provider.most_open == 2
    assert gateway.outcomes[0].status_class == "refused"


@on_a_loop
async def test_who_waits_for_a_turn_waits_no_longer_than_for_an_answer() -> None:
    config = msgspec.structs.replace(
        CONFIG, timeout_s=1.0, fallback="gpt-mini"
    )  # who has the turn may take twice as long
    async with stand_in(hangs) as provider, world(config, {"openai": provider.url}, at_once=1) as gateway:
        first = asyncio.create_task(gateway.ask())
        async with asyncio.timeout(60):
            while not provider.asked:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        later = await asyncio.gather(*(gateway.ask() for _ in range(2)))
        assert not first.done()
        assert (await first).status == 504
    for got in later:
        assert "no time left" in is_openai_error(got, 504)["message"]
    assert [o.status_class for o in gateway.outcomes] == ["timeout"] * 3
    assert gateway.chat.waiting == gateway.chat.in_flight == 0


@on_a_loop
async def test_a_version_that_is_let_go_of_ends_what_it_has_begun() -> None:
    async def waits(asked: Asked) -> None:
        await asyncio.sleep(0.4)
        await asked.answer(completion())

    async with stand_in(waits) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        ask = asyncio.create_task(gateway.ask())
        await asyncio.sleep(0.2)
        closing = asyncio.create_task(gateway.chat.close(5.0))
        await asyncio.sleep(0.05)
        late = await gateway.ask()
        await closing
        assert (await ask).status == 200
    assert is_openai_error(late, 503)["code"] == "unavailable"


@both_ways
@on_a_loop
async def test_and_breaks_off_what_takes_too_long(stream: bool) -> None:
    async def endless(asked: Asked) -> None:
        if asked.body.get("stream"):
            await asked.begin()
            await asked.event(chunk("half"))
        await asked.until_closed()

    async with stand_in(endless) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        ask = asyncio.create_task(gateway.ask(stream=stream))
        await asyncio.sleep(0.3)
        await gateway.chat.close(0.1)
        got = await ask
        assert (await gateway.outcome()).status_class == "refused"
    if stream:
        assert got.text == "half"
        assert got.events[-1]["error"]["code"] == "unavailable"
    else:
        is_openai_error(got, 503)
    assert provider.asked[0].closed_after_s is not None


@on_a_loop
async def test_a_fault_of_our_own_is_logged_and_answered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*_: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(chat_module, "sent_for", breaks)
    async with stand_in(well) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        got = await gateway.ask()
    assert is_openai_error(got, 500)["code"] == "model_failed"
    assert "ZeroDivisionError" in caplog.text
    assert gateway.chat.waiting == gateway.chat.in_flight == 0


@on_a_loop
async def test_a_provider_that_is_down_does_not_hold_up_the_others() -> None:
    async with (
        stand_in(hangs) as dead,
        stand_in(well) as alive,
        world(CONFIG, {"openai": dead.url}, at_once=1) as first,
        world(CONFIG, {"openai": alive.url}) as second,
    ):
        stuck = [asyncio.create_task(first.ask()) for _ in range(5)]
        await asyncio.sleep(0.2)
        began = time.monotonic()
        assert (await second.ask()).status == 200
        assert time.monotonic() - began < 1.0
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


async def lingers(asked: Asked) -> None:
    await asked.begin()
    await asked.event(chunk("all", finish="stop"))
    await asked.event("[DONE]")
    await asked.until_closed()


@on_a_loop
async def test_the_time_may_be_over_after_an_answer_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "_REST_S", 5.0)
    config = msgspec.structs.replace(CONFIG, timeout_s=1.0)
    async with stand_in(lingers) as provider, world(config, {"openai": provider.url}) as gateway:
        got = await gateway.ask(stream=True)
        outcome = await gateway.outcome()
    assert got.events[-1] == "[DONE]"
    assert (outcome.status_class, outcome.response_bytes) == ("answered", len(got.body))


@on_a_loop
async def test_a_version_may_be_let_go_of_after_an_answer_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "_REST_S", 5.0)
    async with stand_in(lingers) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        got = await gateway.ask(stream=True)
        await gateway.chat.close(0.1)
        outcome = await gateway.outcome()
    assert got.events[-1] == "[DONE]"
    assert (outcome.status_class, outcome.response_bytes) == ("answered", len(got.body))


@on_a_loop
async def test_a_long_answer_that_is_taken_slowly_is_followed_by_no_error() -> None:
    async def large(asked: Asked) -> None:
        await asked.answer(completion("x" * 30_000_000))

    config = msgspec.structs.replace(CONFIG, timeout_s=1.5)
    async with (
        stand_in(large) as provider,
        world(config, {"openai": provider.url}, answer_bytes_max=40_000_000) as gateway,
        gateway.asked() as answer,
    ):
        outcome = await gateway.outcome()
        assert gateway.chat.waiting == 0
        got = await answer.read()  # all of it was on its way before the time was over
    assert len(json.loads(got)["choices"][0]["message"]["content"]) == 30_000_000
    assert (outcome.status_class, outcome.status) == ("answered", 200)


class Stuck:
    """A reply that takes a head and nothing more."""

    async def start(self, status: int, content_type: bytes, headers: Headers) -> None:
        self.started = (status, content_type, headers)

    async def piece(self, piece: bytes) -> None:  # noqa: ARG002
        await asyncio.Event().wait()

    async def end(self) -> None:
        raise AssertionError

    async def gone(self) -> None:
        await asyncio.Event().wait()


@on_a_loop
async def test_no_error_is_put_behind_half_of_an_answer_in_one_piece() -> None:
    out = Outgoing(Stuck())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await out.whole(b"{}", "m")
    with pytest.raises(ClientGone):
        await out.problem(Problem(504, "late", "upstream_timeout"))


@on_a_loop
async def test_a_server_that_raises_for_a_client_that_is_gone_is_understood() -> None:
    class Broken(Stuck):
        async def piece(self, piece: bytes) -> None:  # noqa: ARG002
            raise BrokenPipeError

    async with stand_in(well) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        for stream in (b"true", b"false"):
            body = b'{"model":"assistant","messages":[{"role":"user"}],"stream":%s}' % stream
            outcome = await gateway.chat.complete(read(body), Broken())
            assert outcome.status_class == "gone"
        assert gateway.chat.waiting == 0


@on_a_loop
async def test_a_client_that_takes_nothing_keeps_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(asked: Asked) -> None:
        await asked.begin()
        while True:
            await asked.event(chunk("x" * 65_536))

    monkeypatch.setattr(chat_module, "_TELLING_S", 0.3)
    config = msgspec.structs.replace(CONFIG, timeout_s=1.0)
    async with (
        stand_in(endless) as provider,
        world(config, {"openai": provider.url}) as gateway,
        gateway.asked(stream=True),
    ):
        outcome = await gateway.outcome()
        assert gateway.chat.waiting == gateway.chat.in_flight == 0
    assert outcome.status_class == "gone"
    assert outcome.output_tokens > 10_000
