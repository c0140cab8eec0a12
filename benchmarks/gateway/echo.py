"""The barest server on the stack that ours stands on: the body of a request is its answer.

    python -m benchmarks.gateway.echo PORT [plain|ours]

``ours``: connections are those of our own server, which bound how long a head may take and how many there are; ``plain``: uvicorn's.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn

from chopmark.server.connections import Limits, protocol_of


async def echo(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
    """Answer a request with its body."""
    body = (await receive()).get("body", b"")
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve."""
    kind: Any = "httptools"
    if sys.argv[2:] == ["ours"]:
        kind = protocol_of(Limits(connections_max=1_000, head_s=10.0, idle_s=30.0))
    uvicorn.run(
        echo,
        port=int(sys.argv[1]),
        http=kind,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=65,
    )


if __name__ == "__main__":
    main()
