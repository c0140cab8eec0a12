"""The `openai` package, in an environment of its own, works with a gateway unchanged."""

import asyncio
from pathlib import Path

import pytest

from tests.gateway.chat.stand_in import Asked, stand_in, status, well
from tests.gateway.chat.test_chat import CONFIG
from tests.gateway.chat.test_failures import stops
from tests.gateway.chat.world import ENDPOINT, on_a_loop, world
from tests.gateway.clients.environments import client_python

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]

CALLS = Path(__file__).parent / "openai_calls.py"
FAILS = {str(code): status(code) for code in (400, 401, 429, 503)}


async def behaves(asked: Asked) -> None:
    content = asked.body["messages"][-1]["content"]
    await {**FAILS, "dies": stops("dies")}.get(content, well)(asked)


async def call(python: Path, model: str) -> tuple[int, str]:
    async with stand_in(behaves) as provider, world(CONFIG, {"openai": provider.url}, retries_max=0) as gateway:
        process = await asyncio.create_subprocess_exec(
            python, "-I", CALLS, gateway.url, model, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(120):
            said, _ = await process.communicate()
        return process.returncode or 0, said.decode()


def test_the_openai_package_works_unchanged() -> None:
    python = client_python("openai")
    code, said = asyncio.run(call(python, ENDPOINT))
    assert code == 0, said
    assert said.strip() == "well"


@on_a_loop
async def test_and_says_so_when_it_does_not() -> None:
    code, said = await call(client_python("openai"), "nobody")
    assert code == 1
    assert "NotFoundError" in said
