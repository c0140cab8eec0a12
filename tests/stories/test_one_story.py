"""One story, told through the library, over HTTP, asynchronously and by the command line: the same answers and audit rows.

Only what cannot be the same is made alike first: ids, moments, and the hashes of the chain, which are over both. Each is replaced by
its number in the order in which it is first seen, so that what is the same id in one telling is the same in another.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from chopmark.base.settings import load_settings
from chopmark.server.serving import application, served
from chopmark.wiring import connect
from tests.stories.story import FILES, Step, steps
from tests.stories.tellers import AsyncTeller, ProgramTeller, SyncTeller, Teller, values_of

WAYS = ("library", "async", "command line", "http", "async over http", "command line over http")

_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?![0-9a-f])")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")


class Alike:
    """Makes what cannot be the same alike."""

    def __init__(self) -> None:
        self._numbers: dict[str, str] = {}

    def __call__(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self(each, name) for name, each in sorted(value.items())}
        if isinstance(value, list):
            return [self(each, key) for each in value]
        if not isinstance(value, str):
            return value
        if key in ("hash", "previous", "head", "first", "cursor") and value:
            return self._numbered(key if key == "cursor" else "hash", value)
        text = _MOMENT.sub("a moment", value)
        return _ID.sub(lambda found: self._numbered("id", found[0].replace("-", "")), text)

    def _numbered(self, what: str, text: str) -> str:
        return self._numbers.setdefault(text, f"{what} {len(self._numbers)}")


@contextmanager
def told(way: str, directory: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[tuple[Teller, Path]]:
    """A teller on an empty registry, and the registry's directory."""
    place = directory / "registry"
    settings = {"actor": "ada", "cache_dir": str(directory / "cache")}
    if not way.endswith("http"):
        yield from closed(a_teller(way, str(place), capsys, settings), place)
        return
    resolved = load_settings({"url": str(place), "actor": "ada", "serve_auth": "none"}, environ={})
    transport = connect(resolved)
    try:
        with served(application(transport, resolved.settings)) as url:
            yield from closed(a_teller(way, url, capsys, settings), place)
    finally:
        transport.close()


def a_teller(way: str, place: str, capsys: pytest.CaptureFixture[str], settings: dict[str, Any]) -> Teller:
    if way.startswith("command line"):
        return ProgramTeller(place, capsys)
    if way.startswith("async"):
        return AsyncTeller(place, **settings)
    return SyncTeller(cm.open(place, **settings))


def closed(teller: Teller, place: Path) -> Iterator[tuple[Teller, Path]]:
    try:
        yield teller, place
    finally:
        teller.close()


class Telling:
    """What came of a telling: an answer a step, and the audit as it is stored."""

    def __init__(self, way: str, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        alike, directory = Alike(), directory / way.replace(" ", "-")
        directory.mkdir()
        for name, text in FILES.items():
            (directory / name).write_text(text)
        self.answers: list[tuple[Step, Any]] = []
        with told(way, directory, capsys) as (teller, place):
            for step in steps(directory, directory / "out"):
                self.answers.append((step, alike(teller.do(step))))
        with cm.open(place, actor="auditor") as registry:
            self.events = [alike(event) for event in values_of(registry.audit.list(limit=1000))["items"]]
            self.findings = [f for f in registry.storage.check().findings if f.code != "blobs_orphaned"]  # of refusals


@pytest.fixture(scope="module")
def tellings() -> dict[str, Telling]:
    """Those that were made so far: the library's is what all others are held against."""
    return {}


@pytest.fixture
def telling(
    tellings: dict[str, Telling],
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """Tell it, once a way."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def tell(way: str) -> Telling:
        if way not in tellings:
            tellings[way] = Telling(way, tmp_path_factory.mktemp("story"), capsys)
        return tellings[way]

    return tell


def test_the_story_is_a_story(telling: Any) -> None:
    """What is compared below says something: most steps answer, some refuse, and each kind of refusal is among them."""
    library = telling("library")
    refusals = [answer for _, answer in library.answers if "exit_code" in answer]
    assert {answer["code"] for answer in refusals} >= {"not_found", "conflict", "gate_refused", "invalid_request"}
    assert len(library.answers) - len(refusals) >= 30
    assert {event["actor"] for event in library.events} == {"ada"}
    told_of = {event["event"] for event in library.events}
    assert told_of >= {
        *("project.created", "model.created", "version.registered", "alias.set", "version.promoted"),
        *("version.updated", "version.evaluated", "version.deprecated", "version.deleted", "version.restored"),
    }


@pytest.mark.parametrize("way", WAYS[1:])
def test_every_way_tells_the_same(way: str, telling: Any) -> None:
    library, other = telling("library"), telling(way)
    for (step, ours), (_, theirs) in zip(library.answers, other.answers, strict=True):
        assert theirs == ours, step
    assert other.events == library.events
    assert not other.findings


def test_the_asynchronous_registry_of_a_server(tmp_path: Path) -> None:
    """Opened by an address: loads, pages, events and many calls at once."""
    resolved = load_settings({"url": str(tmp_path / "registry"), "actor": "ada", "serve_auth": "none"}, environ={})
    transport = connect(resolved)

    async def story(url: str) -> None:
        async with await cm.AsyncRegistry.open(url, cache_dir=str(tmp_path / "cache")) as registry:
            assert registry.location == url
            heard: list[str] = []
            end = registry.on("version.registered", lambda event: heard.append(event.target))
            made = await asyncio.gather(*(registry.register(f"m{n}", {"t": n}) for n in range(8)))
            assert await asyncio.gather(*(registry.load(v) for v in made)) == [{"t": n} for n in range(8)]
            assert [v.model async for v in registry.versions.each("order by name")] == [f"m{n}" for n in range(8)]
            for _ in range(200):
                if len(heard) == len(made):
                    break
                await asyncio.sleep(0.05)
            assert sorted(heard) == [v.ref for v in made]
            end()

    try:
        with served(application(transport, resolved.settings)) as url:
            asyncio.run(story(url))
    finally:
        transport.close()
