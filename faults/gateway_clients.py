"""Clients of a gateway that look at every answer, and models by whose answers one sees which version it was."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import numpy as np
from sklearn.linear_model import LinearRegression

__all__ = ["COLUMNS", "Asking", "Told", "numbered_model", "rows", "told_by"]

COLUMNS = 3
_TIMEOUT_S = 30.0
_PAUSE_S = 0.05


def rows(count: int) -> np.ndarray:
    """Rows of numbers, the same each time."""
    return np.random.default_rng(0).normal(size=(count, COLUMNS))


def numbered_model(number: int) -> LinearRegression:
    """A model that answers one number, whatever it is asked."""
    data = rows(20)
    model = LinearRegression().fit(data, data.sum(axis=1))
    model.coef_, model.intercept_ = np.zeros(COLUMNS), float(number)
    return model


class Told(NamedTuple):
    """What came of one request.

    Attributes
    ----------
    key
        For whom it asked.
    status
        Of the answer; 0 when the connection was refused, -1 when it ended without an answer.
    version, variant, generation, predicted
        Who answered, by the headers, and what the model said.
    begun_s, ended_s
        When, by `time.monotonic`.
    text
        Of an answer that is no prediction; of a connection, what went wrong.
    """

    key: str
    status: int
    version: int = 0
    variant: str = ""
    generation: int = 0
    predicted: float = 0.0
    begun_s: float = 0.0
    ended_s: float = 0.0
    text: str = ""

    def fault(self) -> str:
        """What is wrong with an answer by itself; empty when nothing is."""
        if self.status == 200 and self.predicted != self.version:
            return f"{self.key}: headers say version {self.version}, and {self.predicted:g} was answered"
        return "" if self.status == 200 else f"{self.key}: {self.status} {self.text[:200]}"


def told_by(connection: http.client.HTTPConnection, endpoint: str, key: str, token: str = "") -> Told:
    """One request for a prediction."""
    body = json.dumps({"rows": rows(1).tolist()}).encode()
    headers = {"x-chopmark-key": key, "content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    begun_s = time.monotonic()
    is_sent = False
    try:
        if connection.sock is None:
            connection.connect()
        is_sent = True
        connection.request("POST", f"/predict/{endpoint}", body, headers)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        status = -1 if is_sent else 0
        return Told(key, status, begun_s=begun_s, ended_s=time.monotonic(), text=repr(error))
    ended_s = time.monotonic()
    if answer.status != 200:
        return Told(key, answer.status, begun_s=begun_s, ended_s=ended_s, text=content.decode(errors="replace"))
    return Told(
        key,
        answer.status,
        int(answer.headers["x-chopmark-version"]),
        answer.headers["x-chopmark-variant"],
        int(answer.headers["x-chopmark-generation"]),
        round(float(json.loads(content)["predictions"][0]), 6),
        begun_s,
        ended_s,
    )


class Asking:
    """Connections that ask an endpoint without a pause, each over and over for its own few keys.

    Parameters
    ----------
    url, endpoint, token
        What is asked.
    connections
        How many at once.
    pause_s
        Between two requests of one connection.
    seen
        Is given what came of each request, by many threads; else it is kept in ``told``.
    """

    def __init__(
        self,
        url: str,
        endpoint: str,
        *,
        connections: int,
        token: str = "",
        pause_s: float = 0.0,
        keys: int = 10,
        seen: Callable[[Told], None] | None = None,
    ) -> None:
        self.told: list[Told] = []
        self._url, self._endpoint, self._token = url, endpoint, token
        self._pause_s, self._keys = pause_s, keys
        self._seen = seen or self.told.append
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,), daemon=True) for n in range(connections)]

    def __enter__(self) -> Self:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End with the requests that are under way."""
        self.end()

    def end(self) -> None:
        """End with the requests that are under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_TIMEOUT_S)

    def _ask(self, which: int) -> None:
        parts = urlsplit(self._url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=_TIMEOUT_S)
        n = 0
        while not self._stop.is_set():
            told = told_by(connection, self._endpoint, f"{which}-{n % self._keys}", self._token)
            self._seen(told)
            n += 1
            if told.status == 0:
                self._stop.wait(_PAUSE_S)
            elif self._pause_s:
                self._stop.wait(self._pause_s)
        connection.close()
