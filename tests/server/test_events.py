"""Events over HTTP: heard as they happen, filtered, and gone on with."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

import chopmark as cm
from chopmark.base.jsons import decode
from chopmark.domain.audit import AuditEvent
from chopmark.domain.cloud_events import CloudEvent, Wanted, cloud_event, named_model
from chopmark.errors import InvalidRequest, ListenerFailed
from chopmark.ops.requests import CreateModel, CreateProject, UpdateModel
from chopmark.remote.hearing import read_events
from tests.server.conftest import Plain

PATH = "/api/v1/events"


class Heard:
    """A hearer on a thread of its own."""

    def __init__(self, plain: Plain, query: str = "", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.stream = urllib3.request("GET", plain.url + PATH + query, headers=named, preload_content=False, timeout=30)
        assert self.stream.status == 200, self.stream.read()
        self.events: list[CloudEvent] = []
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        for last, data in read_events(self._lines()):
            event = decode(data, CloudEvent)
            assert event.id == last
            self.events.append(event)

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        try:
            for piece in self.stream.stream(4096):
                *whole, rest = (rest + piece).split(b"\n")
                yield from whole
        except urllib3.exceptions.HTTPError:
            return

    def wait_for(self, count: int) -> list[str]:
        """What was heard once it is so many."""
        limit = time.monotonic() + 60
        while len(self.events) < count and time.monotonic() < limit:
            time.sleep(0.005)
        return [f"{event.type} {event.subject}" for event in self.events]


def test_what_happens_is_heard_once_and_in_order(plain: Plain) -> None:
    hearers = [Heard(plain) for _ in range(5)]
    for n in range(20):
        plain.behind.call(CreateModel(model=f"m{n}"))
    for hearer in hearers:
        assert hearer.wait_for(20) == [f"chopmark.model.created m{n}" for n in range(20)]
    time.sleep(0.4)
    assert all(len(hearer.events) == 20 for hearer in hearers)


def test_an_event_is_a_cloud_event_with_the_event_of_the_audit_in_it(plain: Plain) -> None:
    hearer = Heard(plain)
    plain.behind.call(CreateModel(model="new"))
    hearer.wait_for(1)
    (event,) = hearer.events
    (written,) = plain.behind.events(2, 10)
    assert event.data == written
    assert (event.specversion, event.id, event.subject) == ("1.0", "3", "new")
    assert event.source.startswith("urn:chopmark:registry:")


def test_a_hearer_goes_on_where_it_broke_off(plain: Plain) -> None:
    for n in range(5):
        plain.behind.call(CreateModel(model=f"m{n}"))
    begun = Heard(plain, last_event_id="3")
    assert begun.wait_for(4) == [f"chopmark.model.created m{n}" for n in range(1, 5)]
    assert Heard(plain, "?after=6").wait_for(1) == ["chopmark.model.created m4"]
    assert Heard(plain, "?after=1").wait_for(6)[0] == "chopmark.model.created fraud"


def test_changes_of_another_server_are_heard(plain: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    hearer = Heard(plain)
    monkeypatch.setattr(plain.behind._dispatch, "_tell", lambda _: None)  # as of another process
    plain.behind.call(CreateModel(model="elsewhere"))
    assert hearer.wait_for(1) == ["chopmark.model.created elsewhere"]


def test_a_hearer_who_lags_behind_what_is_kept_misses_nothing(plain: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    from chopmark.server import events

    monkeypatch.setattr(events, "_PAGE", 3)
    keeps = Heard(plain)
    for n in range(30):
        plain.behind.call(CreateModel(model=f"m{n}"))
    keeps.wait_for(30)
    assert len(Heard(plain, "?after=1").wait_for(31)) == 31


def test_hearers_ask_for_what_they_want(plain: Plain) -> None:
    plain.behind.call(CreateProject(name="risk"))
    only_risk, only_model, only_kind = (
        Heard(plain, query) for query in ("?project=risk", "?model=risk/a", "?kind=model.up*&kind=alias.set")
    )
    plain.behind.call(CreateModel(model="a"))
    plain.behind.call(CreateModel(model="risk/a"))
    plain.behind.call(CreateModel(model="risk/b"))
    plain.behind.call(UpdateModel(model="a", owner="eve"))
    assert only_risk.wait_for(2) == ["chopmark.model.created risk/a", "chopmark.model.created risk/b"]
    assert only_model.wait_for(1) == ["chopmark.model.created risk/a"]
    assert only_kind.wait_for(1) == ["chopmark.model.updated a"]
    time.sleep(0.4)
    assert [len(each.events) for each in (only_risk, only_model, only_kind)] == [2, 1, 1]


@pytest.mark.parametrize("query", ["?after=x", "?after=-1", "?model=a%20b", "?project=%2F", "?nonsense=1"])
def test_what_cannot_be_meant_is_refused(plain: Plain, query: str) -> None:
    answer = plain.ask("GET", PATH + query)
    assert (answer.status, answer.json()["code"]) == (400, "invalid_request")


def test_reading_ends_when_nobody_hears(plain: Plain) -> None:
    hearer = Heard(plain)
    plain.behind.call(CreateModel(model="new"))
    hearer.wait_for(1)
    listeners = plain.behind._dispatch._listeners["*"]
    assert len(listeners) == 1
    hearer.stream.shutdown()
    hearer.stream.close()
    limit = time.monotonic() + 60
    while listeners and time.monotonic() < limit:
        time.sleep(0.01)
    assert not listeners
    plain.behind.call(CreateModel(model="later"))
    assert Heard(plain, "?after=3").wait_for(1) == ["chopmark.model.created later"]


class TestListeners:
    def test_a_listener_hears_what_others_do(self, plain: Plain, tmp_path: Any) -> None:
        with cm.open(plain.url, cache_dir=str(tmp_path)) as registry:
            heard: list[str] = []
            end = registry.on("model.created", lambda event: heard.append(event.target))
            plain.behind.call(CreateModel(model="new"))
            registry.models.update("new", owner="eve")
            registry.models.create("second")
            _until(lambda: len(heard) == 2)
            assert heard == ["new", "second"]
            end()
            registry.models.create("third")
            time.sleep(0.2)
            assert heard == ["new", "second"]

    def test_a_listener_hears_all_of_one_kind(self, plain: Plain, tmp_path: Any) -> None:
        with cm.open(plain.url, cache_dir=str(tmp_path)) as registry:
            heard: list[str] = []
            registry.on("model.*", lambda event: heard.append(event.event))
            registry.models.create("new")
            registry.projects.create("risk")
            registry.models.update("new", owner="eve")
            _until(lambda: len(heard) == 2)
            assert heard == ["model.created", "model.updated"]

    @pytest.mark.filterwarnings("ignore::chopmark.errors.ListenerFailed")
    def test_one_that_raises_does_not_stop_the_others(self, plain: Plain, tmp_path: Any) -> None:
        with cm.open(plain.url, cache_dir=str(tmp_path)) as registry:
            heard: list[AuditEvent] = []
            registry.on("*", lambda _: 1 / 0)  # type: ignore[arg-type]
            registry.on("*", heard.append)
            registry.models.create("new")
            registry.models.create("newer")
            _until(lambda: len(heard) == 2)
            assert [event.target for event in heard] == ["new", "newer"]
        assert issubclass(ListenerFailed, UserWarning)


def _until(done: Any) -> None:
    limit = time.monotonic() + 60
    while not done() and time.monotonic() < limit:
        time.sleep(0.005)
    assert done()


EVENT = {"seq": 1, "id": "01890a5d-ac96-774b-bcce-b302099a8057", "at": "2026-01-01T00:00:00Z", "actor": "ada"}


@pytest.mark.parametrize(
    ("event", "target", "named"),
    [
        ("version.registered", "risk/fraud:3", ("risk", "fraud")),
        ("version.promoted", "fraud:3", ("default", "fraud")),
        ("alias.set", "risk/fraud@champion", ("risk", "fraud")),
        ("model.created", "fraud", ("default", "fraud")),
        ("project.created", "risk", ("risk", "")),
        ("storage.collected", "storage", ("", "")),
    ],
)
def test_events_name_their_model(event: str, target: str, named: tuple[str, str]) -> None:
    made = decode(json.dumps({**EVENT, "event": event, "target": target}), AuditEvent)
    assert named_model(made) == named
    assert Wanted(kinds=("*",)).fits(made)
    assert Wanted(project=named[0]).fits(made)
    assert not Wanted(project="other").fits(made)
    assert Wanted(model=f"{named[0] or 'risk'}/{named[1] or 'fraud'}").fits(made) is bool(named[1])
    assert cloud_event(made, "ab").type == f"chopmark.{event}"


def test_too_many_kinds() -> None:
    with pytest.raises(InvalidRequest, match="limit"):
        Wanted(kinds=("a",) * 51).check()


def test_streams_are_read_as_the_standard_says() -> None:
    lines = [
        b": hello",
        b"retry: 5",
        b"",
        b"id: 7",
        b"event: x",
        b"data: one",
        b"data:two",
        b"",
        b"data: three",
        b"",
        b"data: cut",
    ]
    assert list(read_events(lines)) == [("7", b"one\ntwo"), ("7", b"three")]
