"""A gateway with one endpoint of a language model on a socket of this machine, and clients that ask it."""

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, NamedTuple

import aiohttp
import uvicorn

from chopmark.domain.llm import LlmConfig
from chopmark.errors import ChopmarkError, NotFound
from chopmark.gateway.chat import ChatLimits, ChatOutcome, Provider, SentReply, open_chat, read, refused
from chopmark.gateway.chat.chat import Chat

ENDPOINT = "assistant"
KEY = "sk-very-secret-0123456789"
HEAD = ((b"x-chopmark-model", b"assistant-config"),)

ASK = {"model": ENDPOINT, "messages": [{"role": "user", "content": "Hi"}]}


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test of coroutines."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


class Got(NamedTuple):
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """Data of its events."""
        data = [e.removeprefix("data: ") for e in self.body.decode().split("\n\n") if e.startswith("data: ")]
        return [d if d == "[DONE]" else json.loads(d) for d in data]

    @property
    def text(self) -> str:
        """What the model wrote, of a stream."""
        events = [e for e in self.events if e != "[DONE]" and "choices" in e]
        return "".join(c["delta"].get("content") or "" for e in events for c in e["choices"])


def is_openai_error(got: Got, code: int) -> dict[str, Any]:
    """The error, once it has the form that OpenAI's clients read."""
    assert got.status == code
    assert got.headers["content-type"] == "application/json"
    error: dict[str, Any] = got.json["error"]
    assert set(error) == {"message", "type", "code", "param"}
    assert error["message"]
    assert error["type"]
    assert KEY not in got.body.decode()
    return error


class World:
    """The gateway."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.outcomes: list[ChatOutcome] = []
        self.raised: list[BaseException] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """As a gateway does it, without dealing and counting."""
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        reply = SentReply(receive, send, HEAD)
        try:
            request = read(body)
            if request.model != ENDPOINT:
                raise NotFound(f"There is no endpoint {request.model} that you may call.")
        except ChopmarkError as error:
            status, answered = refused(error)
            await reply.start(status, answered.content_type, answered.headers)
            await reply.piece(answered.body)
            await reply.end()
            return
        try:
            self.outcomes.append(await self.chat.complete(request, reply))
        except BaseException as error:
            self.raised.append(error)
            raise

    @contextlib.asynccontextmanager
    async def asked(self, body: object = None, **more: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask, and read as one likes."""
        data = body if isinstance(body, bytes) else json.dumps({**ASK, **more} if body is None else body)
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/chat/completions", data=data) as answer,
        ):
            yield answer

    async def ask(self, body: object = None, **more: Any) -> Got:
        """Ask, and read all."""
        async with self.asked(body, **more) as answer:
            return Got(answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.read())

    async def outcome(self, number: int = 1) -> ChatOutcome:
        """The last request's, once those of so many are known."""
        async with asyncio.timeout(60):
            while len(self.outcomes) < number:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self.outcomes[-1]


@contextlib.asynccontextmanager
async def world(
    config: LlmConfig,
    urls: Mapping[str, str],
    *,
    configs: Mapping[str, LlmConfig] | None = None,
    key: str = KEY,
    **limits: Any,
) -> AsyncIterator[World]:
    """A gateway that answers by a configuration.

    Parameters
    ----------
    urls
        Where each provider is.
    configs
        What references mean.
    """
    providers = {name: Provider(name, url, key) for name, url in urls.items()}
    chat = await open_chat(config, providers, (configs or {}).__getitem__, ChatLimits(**limits))
    served = World(chat)
    settings = uvicorn.Config(
        served.app, port=0, interface="asgi3", log_level="critical", lifespan="off", ws="none", access_log=False
    )
    settings.load()
    state = uvicorn.server.ServerState()
    loop = asyncio.get_running_loop()
    # Without uvicorn's own loop, which takes a fifth of a second to end.
    protocol: Any = settings.http_protocol_class
    server = await loop.create_server(functools.partial(protocol, settings, state, {}), "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        await chat.close(1.0)
    if served.raised:
        raise served.raised[0]
