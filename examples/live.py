"""The live system, on real data and real traffic: rollouts that decide, an experiment that ends with a sentence, an alert.

A detector answers requests through a gateway while rows of river's Shuttle data come in, a few hundred a second. Its second version goes out
step by step; the third, whose encoder knows too little of the world, goes out and is rolled back by itself; two versions are compared on
users until the answer is a sentence; and the rows drift until an alert fires. Needs no network. Leaves ``demo-live`` to explore.

    python examples/live.py [DIRECTORY]
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import urllib3
from river.datasets import Shuttle
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, RobustScaler

import chopmark as cm

SEED = 7
ENDPOINT = "shuttle-api"
CALLERS = 4
PAUSE_S = 0.01
"""Of each caller between two requests: the machine has other things to do as well."""


def main() -> None:
    """Run the demo."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo-live")
    if directory.exists():
        if not (directory / "chopmark.db").exists():
            sys.exit(f"{directory} is there, and is no registry: pass another directory.")
        shutil.rmtree(directory)
    started = time.perf_counter()
    rows, truth = shuttle()
    with cm.open(directory) as registry:
        register(registry, rows)
        registry.endpoints.create(ENDPOINT, "shuttle:1", config={"sample_share": 1.0}, reason="the first that answers")
    with served(directory) as (url, token), cm.open(url, token=token, cache_dir=directory / "cache") as registry:
        wait(lambda: not registry.endpoints.live(ENDPOINT).endpoints[0].findings, 60, "the endpoint to be live")
        say(f"{url} answers requests to {ENDPOINT}. What is live, as the routers report it:")
        say(indented(registry.endpoints.live(ENDPOINT)))
        with Traffic(url, token, rows, truth) as traffic:
            go_out(registry, directory, url, token)
            go_back(registry, directory, url, token)
            compare(registry, traffic)
            drift(registry, traffic)
        say(f"\nCallers got {traffic.told()}.")
    say(f"\nDone in {time.perf_counter() - started:.0f} s. The registry stays in {directory}; try:\n")
    for command in (f"rollout events {ENDPOINT}", "experiment status shuttle-alarms", "alert list", "audit list"):
        say(f"  CHOPMARK_URL={directory} .venv/bin/chopmark {command}")


def shuttle() -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of sensor readings, and whether each is an anomaly (7.15 % are)."""
    rows = pd.DataFrame.from_records([{**x, "anomaly": y} for x, y in Shuttle()])
    rows = rows.sample(frac=1, random_state=SEED, ignore_index=True)
    return rows.drop(columns="anomaly"), rows["anomaly"].to_numpy(dtype=int)


def register(registry: cm.Registry, rows: pd.DataFrame) -> None:
    """A small forest, a larger one, one that refuses what it has not seen, and one that raises fewer alarms."""

    def forest(**options: Any) -> IsolationForest:
        return IsolationForest(**{"n_estimators": 50, "random_state": SEED, **options})

    learnt, too_few = rows.head(20_000), rows.head(60)
    first = make_pipeline(RobustScaler(), forest(n_estimators=25))
    second = make_pipeline(RobustScaler(), forest())
    third = make_pipeline(OneHotEncoder(handle_unknown="error"), forest())
    fourth = make_pipeline(RobustScaler(), forest(contamination=0.07))
    for model, data in ((first, learnt), (second, learnt), (third, too_few), (fourth, learnt)):
        dataset = cm.dataset(data, name="shuttle", split="train")
        version = registry.register("shuttle", model.fit(data), example=data.head(50), dataset=dataset)
        # skops builds no trees of scikit-learn unless somebody vouches for these very bytes
        registry.trust.grant(version, reason="trained just now")


def go_out(registry: cm.Registry, directory: Path, url: str, token: str) -> None:
    """Version 2, to a tenth of the callers, then half, then all."""
    say("\nVersion 2 goes out, a share at a time:")
    registry.rollouts.start(ENDPOINT, "shuttle:2", steps=[10, 50, 100], hold="2s", samples_min=30, reason="more trees")
    watch(directory, url, token)
    if registry.rollouts.get(ENDPOINT).rollout.state != "completed":
        sys.exit("Version 2 did not come to answer.")


def go_back(registry: cm.Registry, directory: Path, url: str, token: str) -> None:
    """Version 3, which fails where it meets what it has not seen: nobody has to notice."""
    say("\nVersion 3 goes out. It was fitted to too few rows, and nobody knows yet:")
    registry.rollouts.start(
        ENDPOINT, "shuttle:3", steps=[10, 50, 100], hold="5s", samples_min=100, reason="a new encoder"
    )
    watch(directory, url, token)
    ended = registry.rollouts.get(ENDPOINT).rollout
    if ended.state != "rolled_back":
        sys.exit("Version 3 was not rolled back.")
    say(f"  Rolled back by itself: {ended.reason}. The evidence:")
    for event in registry.rollouts.events(ENDPOINT):
        for each in event.evidence:
            if each.verdict == "fail":
                say(f"    {each.words}")
    (live,) = registry.endpoints.live(ENDPOINT).endpoints
    say(f"  {live!r}")


def compare(registry: cm.Registry, traffic: Traffic) -> None:
    """Version 4 beside version 2, on users, until one has won."""
    say(
        "\nWhich raises the better alarms, 2 or 4? Half of the users meet each, and each tells whether the answer was right:"
    )
    registry.experiments.start(
        "shuttle-alarms",
        endpoint=ENDPOINT,
        control="shuttle:2",
        treatment="shuttle:4",
        metric="right",
        minimum_effect=0.02,
        max_duration="1h",
        window="2s",
        look_every="2s",
        reason="are fewer alarms better alarms?",
    )
    wait(lambda: variants(registry) == {"control", "treatment"}, 30, "both to be live")
    limit = time.monotonic() + 60
    with traffic.judged() as judged:
        while time.monotonic() < limit:
            time.sleep(1)
            registry.experiments.record_batch("shuttle-alarms", judged())
            status = registry.experiments.status("shuttle-alarms")
            if status.is_final:
                break
    say(indented(status))
    if not status.winner:
        sys.exit("The experiment has no winner.")
    decided = registry.experiments.decide("shuttle-alarms", reason=status.sentence)
    say(f"  decided: {decided!r}")


def variants(registry: cm.Registry) -> set[str]:
    """Names of what answers, as the routers report it."""
    (live,) = registry.endpoints.live(ENDPOINT).endpoints
    return {each.served.variant for each in live.variants}


def drift(registry: cm.Registry, traffic: Traffic) -> None:
    """A sensor begins to read too high."""
    say(
        "\nSensor f1 begins to read 20 too high. A monitor watches for requests that do not look like the training data:"
    )
    monitor = registry.monitors.create(ENDPOINT, metric="drift", above=1, severity="critical", reason="the demo")
    traffic.change = lambda row: {**row, "f1": row["f1"] + 20}
    wait(lambda: bool(registry.alerts.list()), 150, "an alert")
    (alert,) = registry.alerts.list()
    say(indented(alert))
    for found in registry.outcomes.drift(ENDPOINT):
        for name in found.report.drifted:
            (column,) = (each for each in found.report.columns if each.name == name)
            say(f"  {found.variant} {found.version}: {column.sentence}")
    registry.alerts.acknowledge(alert, reason=f"{monitor.name}: the sensor is looked at")


class Traffic:
    """Callers that ask for rows of the data, one after another, each for another user, until the end.

    Parameters
    ----------
    url, token
        The gateway.
    rows, truth
        What is asked for, and what would be right.
    """

    def __init__(self, url: str, token: str, rows: pd.DataFrame, truth: np.ndarray) -> None:
        self._url = f"{url}/predict/{ENDPOINT}"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._rows = rows.to_dict("records")
        self._is_odd = truth == 1
        self._numbers = itertools.count()
        self._answers: Counter[int] = Counter()
        self._judged: list[dict[str, Any]] | None = None
        self._ends = threading.Event()
        self._callers = [threading.Thread(target=self._call, daemon=True) for _ in range(CALLERS)]
        self.change: Callable[[dict[str, Any]], dict[str, Any]] = dict

    def __enter__(self) -> Self:
        for caller in self._callers:
            caller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for caller in self._callers:
            caller.join()

    @contextmanager
    def judged(self) -> Iterator[Callable[[], list[dict[str, Any]]]]:
        """What users say of answers from now on; each time those since the last."""

        def taken() -> list[dict[str, Any]]:
            found, self._judged = self._judged or [], []
            return found

        self._judged = []
        yield taken
        self._judged = None

    def told(self) -> str:
        """How requests were answered, in words."""
        return ", ".join(f"{count:,} times the status {status}" for status, count in sorted(self._answers.items()))

    def _call(self) -> None:
        pool = urllib3.PoolManager(maxsize=1)
        while not self._ends.wait(PAUSE_S):
            number = next(self._numbers)
            at = number % len(self._rows)
            body = json.dumps({"rows": [self.change(self._rows[at])]})
            user = f"user-{number}"
            headers = {**self._headers, "x-chopmark-key": user}
            reply = pool.request("POST", self._url, body=body, headers=headers, retries=False, timeout=30)
            self._answers[reply.status] += 1
            if reply.status == HTTPStatus.OK and self._judged is not None:
                said = reply.json()
                is_right = (said["predictions"][0] == -1) == self._is_odd[at]
                self._judged.append(
                    {"unit": user, "request_id": said["request_id"], "at": datetime.now(UTC), "right": int(is_right)}
                )


@contextmanager
def served(directory: Path) -> Iterator[tuple[str, str]]:
    """``chopmark serve`` of a registry: its address, and a token."""
    log = directory / "serve.log"
    with log.open("w") as lines:
        server = subprocess.Popen(
            [sys.executable, "-m", "chopmark", "--at", str(directory), "serve", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=lines,
            text=True,
        )
    try:
        words: list[str] = []
        for line in server.stdout or ():
            words += line.split()
            if words[-1].startswith("cm_"):
                break
        else:
            sys.exit(f"The server did not start; {log} says why.")
        yield next(word for word in words if word.startswith("http")), words[-1]
    finally:
        server.terminate()
        code = server.wait(30)
    if code:
        sys.exit(f"The server ended with {code}; {log} says why.")


def watch(directory: Path, url: str, token: str) -> None:
    """``chopmark rollout watch``, as anybody would in a terminal beside it: a tree that moves, or a line for each event."""
    command = [sys.executable, "-m", "chopmark", "--at", url, "rollout", "watch", ENDPOINT]
    said = {"CHOPMARK_TOKEN": token, "CHOPMARK_CACHE_DIR": str(directory / "cache")}
    subprocess.run(command, env={**os.environ, **said}, check=False)


def wait(is_so: Callable[[], bool], within_s: float, what: str) -> None:
    """Wait for something that comes by itself."""
    limit = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > limit:
            sys.exit(f"Waited {within_s:g} s for {what}, in vain.")
        time.sleep(0.1)


def indented(value: object) -> str:
    """The value's lines, two to the right."""
    return "\n".join(f"  {line}" for line in repr(value).splitlines())


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
