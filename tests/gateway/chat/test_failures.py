"""Providers that fail, stall, die or lie, and clients that go away."""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from chopmark.domain.llm import LlmConfig
from tests.gateway.chat.stand_in import Asked, chunk, completion, hangs, stand_in, status, well
from tests.gateway.chat.world import KEY, is_openai_error, on_a_loop, world

CONFIG = LlmConfig(provider="openai", model="gpt-x", cost_per_1k_input_tokens=1.0, cost_per_1k_output_tokens=2.0)
WITH_FALLBACK = msgspec.structs.replace(CONFIG, fallback="gpt-mini")

both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def by_model(**behaviours: Callable[[Asked], Awaitable[None]]) -> Callable[[Asked], Awaitable[None]]:
    """Each model behaves in its own way."""

    async def answer(asked: Asked) -> None:
        await behaviours[asked.body["model"].replace("-", "_")](asked)

    return answer


@both_ways
@pytest.mark.parametrize("code", [429, 502, 503, 504])
@on_a_loop
async def test_too_much_to_do_and_then_well(code: int, stream: bool) -> None:
    async with stand_in(status(code), well) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        got = await gateway.ask(stream=stream)
        outcome = await gateway.outcome()
    assert got.status == 200
    assert len(provider.asked) == 2
    assert outcome.status_class == "answered"
    assert not outcome.fell_back


@on_a_loop
async def test_asks_again_only_so_often_and_waits_longer_each_time() -> None:
    began = time.monotonic()
    async with stand_in(status(503)) as provider, world(CONFIG, {"openai": provider.url}, retries_max=2) as gateway:
        got = await gateway.ask()
    is_openai_error(got, 503)
    assert int(got.headers["retry-after"]) >= 1
    assert len(provider.asked) == 3
    assert time.monotonic() - began >= 0.125 + 0.25  # half of 0.25 and 0.5, at the least jitter
    assert gateway.outcomes[0].status_class == "refused"


@on_a_loop
async def test_what_the_provider_says_of_when_is_heeded() -> None:
    began = time.monotonic()
    async with (
        stand_in(status(429, retry_after="1"), well) as provider,
        world(CONFIG, {"openai": provider.url}) as gateway,
    ):
        assert (await gateway.ask()).status == 200
    assert time.monotonic() - began >= 1.1


@on_a_loop
async def test_nobody_waits_for_a_minute() -> None:
    async with stand_in(status(429, retry_after="60")) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        got = await gateway.ask()
    error = is_openai_error(got, 429)
    assert error["type"] == "rate_limit_error"
    assert got.headers["retry-after"] == "60"
    assert len(provider.asked) == 1


@both_ways
@pytest.mark.parametrize("code", [500, 502, 401, 403, 429, 301])
@on_a_loop
async def test_the_fallback_answers_in_its_stead(code: int, stream: bool) -> None:
    behaves = by_model(gpt_x=status(code, location="http://127.0.0.1:1/"), gpt_mini=well)
    async with stand_in(behaves) as provider, world(WITH_FALLBACK, {"openai": provider.url}, retries_max=0) as gateway:
        got = await gateway.ask(stream=stream)
        outcome = await gateway.outcome()
    assert got.status == 200
    assert [a.body["model"] for a in provider.asked] == ["gpt-x", "gpt-mini"]
    assert outcome.fell_back
    assert outcome.status_class == "answered"
    assert outcome.cost_usd is None  # the prices are the other model's


@on_a_loop
async def test_the_fallback_may_be_another_configuration_elsewhere() -> None:
    config = msgspec.structs.replace(CONFIG, fallback="small@champion", system_prompt="Long.", temperature=0.1)
    small = LlmConfig(provider="vllm", model="llama", system_prompt="Short.", cost_per_1k_output_tokens=4.0)
    async with (
        stand_in(status(500)) as first,
        stand_in(well) as second,
        world(config, {"openai": first.url, "vllm": second.url}, configs={"small@champion": small}) as gateway,
    ):
        got = await gateway.ask()
    assert got.status == 200
    (asked,) = second.asked
    assert asked.body["messages"][0] == {"role": "system", "content": "Short."}
    assert "temperature" not in asked.body
    assert gateway.outcomes[0].fell_back
    assert gateway.outcomes[0].cost_usd == pytest.approx(2.0)
    assert gateway.chat.words == "upstream, openai gpt-x, then vllm llama"


@pytest.mark.parametrize("code", [400, 404, 413, 422])
@on_a_loop
async def test_a_client_s_mistake_is_told_in_the_provider_s_words_and_asked_of_nobody_else(code: int) -> None:
    said = {
        "error": {"message": f"bad thing, {KEY}", "type": "invalid_request_error", "param": "messages", "code": "x"}
    }
    async with stand_in(status(code, said)) as provider, world(WITH_FALLBACK, {"openai": provider.url}) as gateway:
        got = await gateway.ask(stream=True)
        outcome = await gateway.outcome()
    error = is_openai_error(got, code)
    assert error == {"message": "bad thing, …", "type": "invalid_request_error", "param": "messages", "code": "x"}
    assert len(provider.asked) == 1
    assert outcome.status_class == "client"
    assert outcome.cost_usd is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"object": "error", "message": "as vLLM had it", "code": 400}, "as vLLM had it"),
        ({"detail": [{"loc": ["body"], "msg": "m"}]}, '[{"loc":["body"],"msg":"m"}]'),
        ({"error": "just words"}, "just words"),
        (b"<html>", "openai refused the request (400)."),
        ([], "openai refused the request (400)."),
    ],
)
@on_a_loop
async def test_errors_of_any_form_become_openai_s(body: object, message: str) -> None:
    async with stand_in(status(400, body)) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        assert is_openai_error(await gateway.ask(), 400)["message"] == message


@pytest.mark.parametrize("code", [401, 403])
@on_a_loop
async def test_a_wrong_key_is_our_fault_and_not_shown(code: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = {"error": {"message": f"Incorrect API key provided: {KEY}"}}
    async with stand_in(status(code, said)) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        got = await gateway.ask()
    assert is_openai_error(got, 502)["code"] == "upstream_denied"
    assert "does not let the gateway in" in caplog.text
    assert KEY not in caplog.text


@both_ways
@on_a_loop
async def test_nobody_listens(stream: bool) -> None:
    async with stand_in(well) as provider:
        url = provider.url
    async with world(CONFIG, {"openai": url}) as gateway:
        got = await gateway.ask(stream=stream)
    error = is_openai_error(got, 503)
    assert error["message"] == "openai cannot be reached: connection refused."
    assert "127.0.0.1" not in got.body.decode()
    assert gateway.outcomes[0].status_class == "refused"


@on_a_loop
async def test_who_is_not_up_yet_is_asked_again() -> None:
    async with stand_in(well) as provider:
        port = provider.port

    async def late() -> None:
        await asyncio.sleep(0.1)
        async with stand_in(well, port=port):
            await answered.wait()

    answered = asyncio.Event()
    async with world(CONFIG, {"openai": f"http://127.0.0.1:{port}/v1"}, retries_max=5) as gateway:
        starting = asyncio.create_task(late())
        got = await gateway.ask()
        answered.set()
        await starting
    assert got.status == 200


@on_a_loop
async def test_redirects_are_not_followed_and_the_key_goes_nowhere_else() -> None:
    async with stand_in(well) as elsewhere:
        location = f"{elsewhere.url}/chat/completions"
        for code in (301, 302, 307, 308):
            async with (
                stand_in(status(code, location=location)) as provider,
                world(CONFIG, {"openai": provider.url}) as gateway,
            ):
                is_openai_error(await gateway.ask(), 502)
    assert elsewhere.connections == 0


@on_a_loop
async def test_a_host_that_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(socket, "gethostbyname", unknown)
    async with world(CONFIG, {"openai": "http://nowhere.invalid/v1"}, retries_max=0) as gateway:
        got = await gateway.ask()
    assert is_openai_error(got, 503)["message"] == "openai cannot be reached: its host is not found."


@on_a_loop
async def test_a_slow_first_byte_of_a_stream() -> None:
    async def head_only(asked: Asked) -> None:
        await asked.begin()
        await asked.part(b": wait a little\n\n")
        await asked.until_closed()

    for behaves in (hangs, head_only):
        async with (
            stand_in(behaves) as provider,
            world(CONFIG, {"openai": provider.url}, first_piece_s=1.0) as gateway,
        ):
            got = await gateway.ask(stream=True)
        assert is_openai_error(got, 504)["code"] == "upstream_timeout"
        assert gateway.outcomes[0].status_class == "timeout"
        assert len(provider.asked) == 1  # it may be worked on still
        assert provider.asked[0].closed_after_s is not None


@on_a_loop
async def test_an_answer_in_one_piece_may_take_its_time() -> None:
    async def thinks(asked: Asked) -> None:
        await asyncio.sleep(0.5)
        await asked.answer(completion())

    async with (
        stand_in(thinks) as provider,
        world(CONFIG, {"openai": provider.url}, first_piece_s=0.1, between_pieces_s=0.1) as gateway,
    ):
        assert (await gateway.ask()).status == 200


@both_ways
@on_a_loop
async def test_the_whole_answer_has_a_limit_and_the_fallback_its_own(stream: bool) -> None:
    config = msgspec.structs.replace(WITH_FALLBACK, timeout_s=1.0)
    behaves = by_model(gpt_x=hangs, gpt_mini=well)
    async with stand_in(behaves) as provider, world(config, {"openai": provider.url}) as gateway:
        got = await gateway.ask(stream=stream)
        assert (await gateway.outcome()).fell_back
    assert got.status == 200
    assert provider.asked[0].closed_after_s is not None


@on_a_loop
async def test_without_a_fallback_the_limit_is_an_error() -> None:
    config = msgspec.structs.replace(CONFIG, timeout_s=0.3)
    async with stand_in(hangs) as provider, world(config, {"openai": provider.url}) as gateway:
        got = await gateway.ask()
    assert is_openai_error(got, 504)["message"] == "openai did not answer within 0.3 s."


def stops(how: str) -> Callable[[Asked], Awaitable[None]]:
    async def behave(asked: Asked) -> None:
        await asked.begin()
        for text in ("one ", "two "):
            await asked.event(chunk(text))
        await asyncio.sleep(0.05)
        match how:
            case "stalls":
                await asked.until_closed()
            case "dies":
                asked.abort()
            case "ends":
                await asked.end()
            case "ends in an event":
                await asked.part(b'data: {"choices"')
                await asked.end()
            case "no JSON":
                await asked.event("{nonsense")
            case "error":
                await asked.part(
                    b'data: {"choices":[{"delta":{"content":"three"}}]}\n\ndata: {"error":{"message":"full"}}\n\n'
                )
            case _:  # too long
                await asked.part(b"data: " + b"x" * 70_000)

    return behave


@pytest.mark.parametrize("how", ["stalls", "dies", "ends", "ends in an event", "no JSON", "error", "too long"])
@on_a_loop
async def test_what_breaks_in_the_middle_of_a_stream_ends_it_with_an_error(how: str) -> None:
    limits: dict[str, Any] = {"between_pieces_s": 1.0, "answer_bytes_max": 65_536}
    behaves = by_model(gpt_x=stops(how), gpt_mini=well)
    async with stand_in(behaves) as provider, world(WITH_FALLBACK, {"openai": provider.url}, **limits) as gateway:
        got = await gateway.ask(stream=True)
        outcome = await gateway.outcome()
    assert got.status == 200
    assert got.text.startswith("one two ")
    assert got.text.endswith("three") == (how == "error")
    assert set(got.events[-1]["error"]) == {"message", "type", "code", "param"}
    assert "[DONE]" not in got.events
    assert len(provider.asked) == 1  # the client has half an answer: nobody else can go on with it
    assert outcome.status_class == ("timeout" if how == "stalls" else "model")
    assert outcome.is_estimated
    assert outcome.output_tokens >= 2
    assert outcome.cost_usd is not None
    assert outcome.response_bytes == len(got.body)


async def broken_json(asked: Asked) -> None:
    await asked.answer(b'{"choices": [')


async def no_object(asked: Asked) -> None:
    await asked.answer([1])


async def no_choices(asked: Asked) -> None:
    await asked.answer({"ok": True})


async def error_inside(asked: Asked) -> None:
    await asked.answer({"error": {"message": "overloaded", "code": 503}})


async def huge(asked: Asked) -> None:
    await asked.answer(completion("x" * 70_000))


async def huge_without_length(asked: Asked) -> None:
    await asked.begin()
    while True:
        await asked.part(b"x" * 10_000)


async def half(asked: Asked) -> None:
    await asked.head(200, {"content-type": "application/json", "content-length": "1000"})
    await asked.raw(b'{"choices"')
    asked.abort()


async def dies(asked: Asked) -> None:
    asked.abort()


async def no_http(asked: Asked) -> None:
    await asked.raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    asked.abort()


async def packed(asked: Asked) -> None:
    await asked.answer(b"\x1f\x8b", 200, {"content-encoding": "gzip"})


SAID: dict[Callable[[Asked], Awaitable[None]], str] = {
    broken_json: "answered something that is no JSON",
    no_object: "answered something else than a completion",
    no_choices: "answered something else than a completion",
    error_inside: "ended its answer with an error: overloaded",
    huge: "answered more than 65,536 bytes.",
    huge_without_length: "answered more than 65,536 bytes.",
    half: "broke off its answer",
    dies: "closed the connection without an answer",
    no_http: "answered something that is no HTTP",
    packed: "answered in an encoding that was not asked for",
}
BROKEN = list(SAID)


@both_ways
@pytest.mark.parametrize("behaves", BROKEN)
@on_a_loop
async def test_answers_that_are_none(behaves: Callable[[Asked], Awaitable[None]], stream: bool) -> None:
    async with (
        stand_in(behaves) as provider,
        world(CONFIG, {"openai": provider.url}, answer_bytes_max=65_536) as gateway,
    ):
        got = await gateway.ask(stream=stream)
        assert (await gateway.outcome()).status_class == "model"
    error = is_openai_error(got, 502)
    if not stream:
        assert error["message"].startswith(f"openai {SAID[behaves]}")
    assert len(provider.asked) == 1


@pytest.mark.parametrize("behaves", BROKEN)
@on_a_loop
async def test_and_the_fallback_answers_for_those(behaves: Callable[[Asked], Awaitable[None]]) -> None:
    async with (
        stand_in(by_model(gpt_x=behaves, gpt_mini=well)) as provider,
        world(WITH_FALLBACK, {"openai": provider.url}, answer_bytes_max=65_536) as gateway,
    ):
        assert (await gateway.ask()).json["choices"][0]["message"]["content"] == "Hello"
        assert (await gateway.outcome()).fell_back


@on_a_loop
async def test_comments_without_end_before_the_first_word() -> None:
    async def murmurs(asked: Asked) -> None:
        await asked.begin()
        while True:
            await asked.part(b": " + b"x" * 1_000 + b"\n\n")

    async with (
        stand_in(murmurs) as provider,
        world(CONFIG, {"openai": provider.url}, answer_bytes_max=65_536) as gateway,
    ):
        got = await gateway.ask(stream=True)
    assert "longer than it may be" in is_openai_error(got, 502)["message"]


@on_a_loop
async def test_a_provider_that_does_not_stream() -> None:
    async def whole(asked: Asked) -> None:
        await asked.answer(completion())

    async with stand_in(whole) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        got = await gateway.ask(stream=True)
    assert is_openai_error(got, 502)["message"] == "openai did not answer with a stream."


@on_a_loop
async def test_a_connection_that_was_closed_while_it_was_idle_is_made_anew() -> None:
    async def last(asked: Asked) -> None:
        if len(provider.asked) == 2:
            asked.abort()
        else:
            await asked.answer(completion())

    async with stand_in(last) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        assert (await gateway.ask()).status == 200
        assert (await gateway.ask()).status == 200
    assert [a.body["model"] for a in provider.asked] == ["gpt-x"] * 3


@on_a_loop
async def test_a_model_s_name_cannot_end_a_header() -> None:
    async def forged(asked: Asked) -> None:
        await asked.answer(completion(model="x\r\nset-cookie: a=b\u20ac"))

    async with stand_in(forged) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        got = await gateway.ask()
    assert got.headers["x-chopmark-served-model"] == "x??set-cookie: a=b?"
    assert "set-cookie" not in got.headers
