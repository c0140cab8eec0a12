"""The worker's side: loads a model and predicts what it is asked, until nobody asks any more.

Run as ``python -m chopmark.gateway.execution.child FD PARENT MEMORY_BYTES``; the channel is a socket that it inherits.
"""

from __future__ import annotations

import gc
import socket
import sys
from multiprocessing.reduction import ForkingPickler

import msgspec

from chopmark.abc.predicting import Predictor
from chopmark.errors import ChopmarkError
from chopmark.gateway.execution.confinement import Memory, end_with, limit_address_space
from chopmark.gateway.execution.frames import Frame, FrameFault, Head, receive, send, tell_begun, unpacked_inputs
from chopmark.gateway.execution.trial import tried, untried

__all__ = ["main"]

UNUSED_BYTES = 8 << 30
"""Libraries map more than they use. So much more is let pass until it is known how much that is."""

_TEXT_MAX = 2_000


def main(arguments: list[str]) -> int:
    """Serve one model.

    Parameters
    ----------
    arguments
        Descriptor of the channel, process id of the parent, bytes that may be used (0: any number).
    """
    descriptor, parent, memory_bytes = (int(a) for a in arguments)
    end_with(parent)
    channel = socket.socket(fileno=descriptor)
    if memory_bytes:
        limit_address_space(memory_bytes + UNUSED_BYTES)
    memory = Memory()
    try:
        predictor = _open(channel, memory, memory_bytes)
        if predictor is None:
            return 1
        while True:
            asked = receive(channel, None)
            tell_begun(channel)
            _answer(channel, memory, predictor, asked)
            del asked
    except FrameFault:
        return 0  # nobody asks any more


def _open(channel: socket.socket, memory: Memory, memory_bytes: int) -> Predictor | None:
    arrays = receive(channel, None).arrays()
    path, load, is_first = ForkingPickler.loads(arrays["load"].tobytes())  # of the parent, who may run what it likes
    sys.path[:] = path
    try:
        predictor: Predictor = load()
        opened = tried(predictor) if is_first else untried(predictor)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent is told
        send(channel, _failure(error, memory), {}, None)
        return None
    gc.collect()
    mapped, resident = memory.read()
    if memory_bytes:
        limit_address_space(memory_bytes + max(0, mapped - resident))
    send(channel, Head(kind="opened", facts=msgspec.to_builtins(opened), resident_bytes=resident), {}, None)
    return predictor


def _answer(channel: socket.socket, memory: Memory, predictor: Predictor, asked: Frame) -> None:
    try:
        answer = predictor.predict(unpacked_inputs(asked), asked.head.outputs)
        send(channel, Head(kind="answer", resident_bytes=memory.read()[1]), answer, None)
    except FrameFault:
        raise
    except BaseException as error:  # noqa: BLE001 - a model may raise anything, SystemExit too; it goes on
        send(channel, _failure(error, memory), {}, None)


def _failure(error: BaseException, memory: Memory) -> Head:
    resident_bytes = memory.read()[1]
    if isinstance(error, ChopmarkError):
        text, hint = error.message[:_TEXT_MAX], error.hint[:_TEXT_MAX]
        return Head(kind="error", error=error.code, text=text, hint=hint, resident_bytes=resident_bytes)
    name = f":{type(error).__name__}"[:100]
    return Head(kind="error", error=name, text=str(error)[:_TEXT_MAX], resident_bytes=resident_bytes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
