"""`chopmark`, but for one promise that it breaks: which one stands in ``CHOPMARK_TEST_BREAKS``. For the tests of the faults."""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any

from msgspec import structs

from chopmark.cli.program import run
from chopmark.ops.requests import RegisterVersion
from chopmark.server.blobs import BlobRoutes
from chopmark.wiring import LocalTransport

BREAKS = "CHOPMARK_TEST_BREAKS"
LATE_S = 1.0


def acknowledge_early() -> None:
    """Answer a registration before it is stored."""
    act = LocalTransport.act

    def early(self: LocalTransport, request: Any, actor: Any, **options: Any) -> Any:
        if not isinstance(request, RegisterVersion) or options.get("dry_run"):
            return act(self, request, actor, **options)
        answer = act(self, request, actor, **{**options, "dry_run": True})

        def later() -> None:
            time.sleep(LATE_S)
            act(self, request, actor, **options)

        threading.Thread(target=later, daemon=True).start()
        return answer

    LocalTransport.act = early  # type: ignore[method-assign]


def forget_bytes() -> None:
    """Answer that bytes are stored, and store none."""

    async def put(_: BlobRoutes, exchange: Any, places: dict[str, str]) -> None:
        from chopmark.abc.blobs import BlobStat
        from chopmark.server.answers import json_answer

        body = await exchange.body(1 << 30)
        stat = BlobStat(
            digest=places["digest"], size_bytes=len(body), stored_bytes=len(body), modified_at=datetime.now(UTC)
        )
        await exchange.send(json_answer(stat))

    BlobRoutes.put = put  # type: ignore[method-assign,assignment]


def do_twice() -> None:
    """Know no call again."""
    act = LocalTransport.act

    def forgetful(self: LocalTransport, request: Any, actor: Any, **options: Any) -> Any:
        if not isinstance(request, RegisterVersion) or options.get("dry_run"):
            return act(self, request, actor, **options)
        request = structs.replace(request, allow_twin=True)
        act(self, request, actor)
        return act(self, request, actor)

    LocalTransport.act = forgetful  # type: ignore[method-assign]


if __name__ == "__main__":
    {"early": acknowledge_early, "bytes": forget_bytes, "twice": do_twice}[os.environ[BREAKS]]()
    sys.exit(run(sys.argv[1:]))
