"""A worker that is killed between sending something and noting it: it is sent again, with the same id, and nothing is lost."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import chopmark as cm
from tests.receivers import Receiver, receiving
from tests.workers.couriers import QUICK, Post, wait_for

ROOT = Path(__file__).parents[2]
EVENTS = 10


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def test_what_was_sent_and_not_noted_is_sent_again(
    receiver: Receiver, tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    directory = tmp_path / "registry"
    url = request.getfixturevalue("postgres_catalog_url") if database == "postgres" else ""

    def start(how: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.workers.dying_couriers", str(directory), url, how]
        return subprocess.Popen(command, cwd=ROOT)

    with cm.open(directory, actor="ada", database_url=url or None, **QUICK) as registry:
        post = Post(registry, receiver)
        made = post.webhook(events=["version.*"])
        for _ in range(EVENTS):
            post.happen()
        dying = start("dies")
        assert dying.wait(60) == -signal.SIGKILL
        assert len(receiver.heard) == 3
        assert post.states(made) == ["delivered"] * 2 + ["queued"] * (EVENTS - 2)
        heir = start("lives")
        try:
            wait_for(lambda: post.states(made) == ["delivered"] * EVENTS, 90)
        finally:
            heir.send_signal(signal.SIGTERM)
            assert heir.wait(30) == 0
        ids = receiver.ids()
        wanted = [delivery.id for delivery in post.deliveries(made)]
        assert ids == [*wanted[:3], *wanted[2:]], "the third came twice, with the same id; all others once, in order"
        twice = [heard for heard in receiver.heard if heard.id == wanted[2]]
        assert twice[0].body == twice[1].body
