"""What the `openai` package does with a gateway, unchanged: run by its own Python, with the gateway's address and model as arguments."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import openai

url, model = sys.argv[1:3]
MESSAGES: Any = [{"role": "user", "content": "Hi"}]


def asked(content: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}]}


def whole(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=model, messages=MESSAGES, temperature=0.5)
    assert answer.choices[0].message.content == "Hello", answer
    assert answer.model == "stand-in-2026-11-01", answer
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (1_000, 500), answer
    raw = client.chat.completions.with_raw_response.create(model=model, messages=MESSAGES)
    assert raw.headers["x-chopmark-served-model"] == "stand-in-2026-11-01", raw.headers


def streamed(client: openai.OpenAI) -> None:
    pieces = list(client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    assert "".join(p.choices[0].delta.content or "" for p in pieces) == "Hello wörld", pieces
    assert all(p.usage is None for p in pieces), pieces
    options: Any = {"include_usage": True}
    pieces = list(client.chat.completions.create(model=model, messages=MESSAGES, stream=True, stream_options=options))
    assert pieces[-1].usage is not None
    assert pieces[-1].usage.completion_tokens == 3, pieces[-1]
    with client.chat.completions.stream(model=model, messages=MESSAGES) as stream:
        assert stream.get_final_completion().choices[0].message.content == "Hello wörld"


def raised(call: Callable[[], Any]) -> openai.APIError:
    try:
        call()
    except openai.APIError as error:
        return error
    raise AssertionError("nothing was raised")


def errors(client: openai.OpenAI) -> None:
    for content, kind in (
        ("400", openai.BadRequestError),
        ("429", openai.RateLimitError),
        ("401", openai.InternalServerError),
        ("503", openai.InternalServerError),
    ):
        error = raised(partial(client.chat.completions.create, **asked(content)))
        assert type(error) is kind, error
        assert error.type, error
    error = raised(lambda: client.chat.completions.create(model="nobody", messages=MESSAGES))
    assert isinstance(error, openai.NotFoundError), error
    assert error.code == "not_found", error


def broken_off(client: openai.OpenAI) -> None:
    found: list[str | None] = []

    def read() -> None:
        stream = client.chat.completions.create(**asked("dies"), stream=True)
        found.extend(piece.choices[0].delta.content for piece in stream)

    assert raised(read).code == "upstream_broken"
    assert found == ["one ", "two "], found


async def at_once() -> None:
    async with openai.AsyncOpenAI(base_url=url, api_key="unused", max_retries=0) as client:

        async def ask() -> str:
            stream = await client.chat.completions.create(model=model, messages=MESSAGES, stream=True)
            return "".join([piece.choices[0].delta.content or "" async for piece in stream])

        assert set(await asyncio.gather(*(ask() for _ in range(20)))) == {"Hello wörld"}


with openai.OpenAI(base_url=url, api_key="unused", max_retries=0) as client:
    whole(client)
    streamed(client)
    errors(client)
    broken_off(client)
asyncio.run(at_once())
sys.stdout.write("well\n")
