"""A provider of language models on a socket of this machine, which does what a test tells it to."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from queue import SimpleQueue
from typing import Any

MODEL = "stand-in-2026-11-01"


class Asked:
    """A request that came, and the means to answer it in whatever way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, body: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = first.split(" ")
        self.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
        self.body: dict[str, Any] = json.loads(body)
        self._reader = reader
        self._writer = writer
        self.closed_after_s: float | None = None

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        lines = [f"HTTP/1.1 {status} So", *(f"{k}: {v}" for k, v in (headers or {}).items())]
        await self.raw("\r\n".join([*lines, "", ""]).encode())

    async def answer(self, value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        length = {"content-type": "application/json", "content-length": str(len(body))}
        await self.head(status, {**length, **(headers or {})})
        await self.raw(body)

    async def begin(self, **headers: str) -> None:
        await self.head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked", **headers})

    async def part(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def event(self, value: object) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        await self.part(f"data: {text}\n\n".encode())

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")

    async def stream(self, texts: list[str], *, usage: bool = True) -> None:
        await self.begin()
        for text in texts:
            await self.event(chunk(text))
        await self.event(chunk("", finish="stop"))
        if usage and self.body.get("stream_options", {}).get("include_usage"):
            await self.event({**chunk(), "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": len(texts)}})
        await self.event("[DONE]")
        await self.end()

    async def until_closed(self, within_s: float = 5.0) -> None:
        """Wait for the other side to close."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(within_s):
                while await self._reader.read(1 << 16):
                    pass
        self.closed_after_s = loop.time() - began_s

    def abort(self) -> None:
        """Reset the connection."""
        self._writer.transport.abort()


Behaviour = Callable[[Asked], Awaitable[None]]


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": choices, **more}


def completion(text: str = "Hello", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500},
        **more,
    }


class StandIn:
    """Answers by ``behaviour``, or by one after the other of ``script`` and the last of it for ever."""

    def __init__(self, *script: Behaviour) -> None:
        self.script = list(script)
        self.asked: list[Asked] = []
        self.connections = 0
        self.most_open = 0
        self._open = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._exchange(reader, writer):
                pass
        self._open -= 1
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length"))
        asked = Asked(reader, writer, head[:-4], await reader.readexactly(length))
        self.asked.append(asked)
        await self.script[min(len(self.asked), len(self.script)) - 1](asked)
        return not writer.is_closing() and asked.closed_after_s is None


@contextlib.asynccontextmanager
async def stand_in(*script: Behaviour, port: int = 0) -> AsyncIterator[StandIn]:
    """A provider that listens."""
    provider = StandIn(*script)
    server = await asyncio.start_server(provider._connected, "127.0.0.1", port)
    provider.port = server.sockets[0].getsockname()[1]
    try:
        yield provider
    finally:
        server.close()
        await server.wait_closed()


async def well(asked: Asked) -> None:
    """What a provider should do."""
    if asked.body.get("stream"):
        await asked.stream(["Hel", "lo", " wörld"])
    else:
        await asked.answer(completion())


async def hangs(asked: Asked) -> None:
    """Never answers."""
    await asked.until_closed()


def status(code: int, body: object = None, **headers: str) -> Behaviour:
    """Answers with an error."""

    async def answer(asked: Asked) -> None:
        value = body if body is not None else {"error": {"message": f"no {code}", "type": "t", "code": "c"}}
        await asked.answer(value, code, {k.replace("_", "-"): v for k, v in headers.items()})

    return answer


@contextlib.contextmanager
def stand_in_beside(*script: Behaviour) -> Iterator[StandIn]:
    """A provider on a loop and thread of its own, for tests that are no coroutines."""
    found: SimpleQueue[StandIn] = SimpleQueue()
    stop = asyncio.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async with stand_in(*script) as provider:
            found.put(provider)
            await stop.wait()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        yield found.get(timeout=60)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.close()
