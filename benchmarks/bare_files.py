"""The barest file server on the stack that ours stands on: what comes is hashed and written, what is asked for read and hashed.

python -m benchmarks.bare_files PORT DIRECTORY
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import uvicorn

PIECE_BYTES = 1 << 20


class Files:
    """An ASGI application over the files of a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Take or give a file."""
        if scope["type"] != "http":
            return
        path = self._directory / scope["path"].rpartition("/")[2]
        if scope["method"] == "PUT":
            await self._take(path, receive)
            await _begin(send, 0)
            await send({"type": "http.response.body", "body": b""})
        elif path.is_file():
            await self._give(path, send)
        else:
            await _begin(send, 0)
            await send({"type": "http.response.body", "body": b""})

    async def _take(self, path: Path, receive: Any) -> None:
        digest, more = hashlib.sha256(), True
        with path.open("wb") as file:
            while more:
                message = await receive()
                digest.update(message["body"])
                file.write(message["body"])
                more = message.get("more_body", False)
            file.flush()
            os.fsync(file.fileno())

    async def _give(self, path: Path, send: Any) -> None:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            await _begin(send, os.fstat(file.fileno()).st_size)
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _begin(send: Any, size_bytes: int) -> None:
    headers = [(b"content-length", str(size_bytes).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


if __name__ == "__main__":
    uvicorn.run(
        Files(Path(sys.argv[2])), port=int(sys.argv[1]), access_log=False, log_config=None, lifespan="off", ws="none"
    )
