"""What a page's shell finds as ``chopmark``: asks the starter for a process, hands it everything, and ends as it ends.

Usage: ``python -IS asker.py <socket> <program> <arguments …>``. A server is started as it is installed.
"""

import contextlib
import json
import os
import signal
import socket
import sys

LONG_LIVED = ("serve", "gateway", "worker")
FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def main() -> int:
    place, program, *arguments = sys.argv[1:]
    if not {*arguments}.isdisjoint(LONG_LIVED):
        os.execv(program, [program, *arguments])
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(place)
        message = json.dumps({"arguments": arguments, "environ": dict(os.environ)})
        directory = os.open(".", os.O_RDONLY)
        socket.send_fds(connection, [message.encode()], [0, 1, 2, directory])
        told = connection.makefile()
        pid = int(told.readline())
        for number in FORWARDED:
            signal.signal(number, lambda which, _frame: kill(pid, which))
        code = int(told.readline())
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


sys.exit(main())
