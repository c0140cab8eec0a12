"""A server that does not answer: what was loaded from it once is loaded again, and nothing else is made up."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.base.settings import load_settings
from chopmark.domain.access import PERMISSIONS
from chopmark.errors import Denied, NotFound, OfflineAnswer, Unavailable
from chopmark.ops.access import CreateToken, SetMember
from chopmark.ops.requests import GetVersion
from chopmark.remote import known
from chopmark.remote.known import KnownAnswers
from chopmark.server.serving import application, served
from chopmark.testing.registry import memory_transport

GONE = "does not answer"


class World:
    """A registry in memory with a server before it that can be stopped, and clients with one cache."""

    def __init__(self, directory: Path, stack: ExitStack, auth: str = "none") -> None:
        self.clock = FakeClock()
        self.cache = directory / "cache"
        resolved = load_settings({"actor": "ada", "serve_auth": auth, "serve_token_cache_s": 0}, environ={})
        self.behind = memory_transport(resolved.settings, clock=self.clock)
        stack.callback(self.behind.close)
        self._server = stack.enter_context(ExitStack())
        self._stack = stack
        self.url = self._server.enter_context(served(application(self.behind, resolved.settings)))

    def client(self, **settings: Any) -> cm.Registry:
        """A client, as one that has just been started."""
        given: dict[str, Any] = {
            "clock": self.clock,
            "cache_dir": str(self.cache),
            "connect_timeout_s": 2,
            "retry_for_s": 0,
        }
        given |= settings
        return self._stack.enter_context(cm.open(self.url, **given))

    def stop(self) -> None:
        self._server.close()

    def token(self, name: str, role: str) -> str:
        self.behind.call(SetMember(project="*", member=name, role=role, reason="a test"))
        scopes = tuple(sorted(PERMISSIONS)) if role == "admin" else ("read",)
        made = self.behind.call(CreateToken(name=name, owner=name, kind="service", scopes=scopes, reason="a test"))
        secret: str = made.secret
        return secret

    def kept(self) -> list[Path]:
        return sorted((self.cache / "known").rglob("*.json"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, stack)


@contextmanager
def told(*words: str) -> Iterator[None]:
    """Exactly the warnings in whose texts these words are, one after the other."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    said = [str(each.message) for each in caught if each.category is OfflineAnswer]
    assert len(said) == len(words), said
    for text, word in zip(said, words, strict=True):
        assert GONE in text
        assert word in text


def filled(world: World) -> cm.Registry:
    registry = world.client()
    registry.register("fraud", {"threshold": 0.7})
    registry.register("fraud", {"threshold": 0.8}, bump="minor")
    registry.alias("fraud@champion", "fraud:1")
    registry.promote("fraud:1", "staging", reason="good")
    return registry


def test_what_was_loaded_is_loaded_again(world: World) -> None:
    with filled(world) as registry:
        version = registry.get("fraud@champion")
        assert registry.load("fraud@champion") == {"threshold": 0.7}
    world.stop()
    with world.client() as registry:
        exact = ["fraud:1", f"fraud:{version.semver}", f"fraud@{version.digest}", f"fraud@{version.digest[:20]}"]
        for ref in ["fraud@champion", *exact]:
            with told(f"What it said of {ref}"):
                assert registry.load(ref) == {"threshold": 0.7}
        with told("fraud:1"):
            assert registry.get("fraud:1") == version


def test_what_was_not_loaded_is_not_made_up(world: World) -> None:
    with filled(world) as registry:
        assert registry.load("fraud@champion") == {"threshold": 0.7}
        registry.get("fraud:2")  # known, and its bytes are not
    world.stop()
    with world.client() as registry:
        for ref in ("fraud", "fraud#staging", "fraud:^0.1", "fraud:3", "other"):
            with told(), pytest.raises(Unavailable, match=GONE):
                registry.load(ref)
        with told("fraud:2"), pytest.raises(Unavailable, match=GONE):
            registry.load("fraud:2")
        with told(), pytest.raises(Unavailable, match=GONE):
            registry.search("fraud")
        with told(), pytest.raises(Unavailable, match=GONE):
            registry.promote("fraud:1", "production", reason="no")


def test_what_moves_counts_for_a_time_only(world: World) -> None:
    with filled(world) as registry:
        registry.load("fraud@champion")
        registry.load("fraud#staging")
    world.stop()
    world.clock.advance(timedelta(hours=2))
    with world.client(offline_hours=2) as registry:
        with told("fraud@champion"):
            registry.load("fraud@champion")
        world.clock.advance(timedelta(seconds=1))
        for ref in ("fraud@champion", "fraud#staging"):
            with told(), pytest.raises(Unavailable, match=GONE):
                registry.load(ref)
        world.clock.advance(timedelta(days=300))
        with told("fraud:1"):
            assert registry.load("fraud:1") == {"threshold": 0.7}
    world.clock.advance(timedelta(days=-302))
    with world.client() as registry, told(), pytest.raises(Unavailable, match=GONE):
        registry.load("fraud@champion")  # said in what is the future now: how old it is nobody knows


def test_trust_that_may_be_taken_back_counts_for_a_time_only(world: World) -> None:
    with world.client() as registry:
        registry.register("code", {"set": {1, 2}}, format="pickle")
        registry.trust.grant("code", reason="mine")
        assert registry.load("code:1") == {"set": {1, 2}}
    world.stop()
    with world.client() as registry:
        with told("code:1", "code:1"):
            assert registry.load("code:1") == {"set": {1, 2}}
        world.clock.advance(timedelta(hours=25))
        with told("code:1"), pytest.raises(Unavailable, match=GONE):
            registry.load("code:1")


def test_what_was_deleted_is_forgotten(world: World) -> None:
    with filled(world) as registry, world.client(cache_dir=str(world.cache.with_name("elsewhere"))) as other:
        for ref in ("fraud@champion", "fraud:1", "fraud:2"):
            registry.load(ref)
        other.versions.delete("fraud:1", reason="bad", force=True)
        with pytest.raises(NotFound):
            registry.get("fraud@champion")  # its alias is gone with it: what it was is known no more, under any name
    world.stop()
    with world.client() as registry:
        for ref in ("fraud@champion", "fraud:1"):
            with told(), pytest.raises(Unavailable, match=GONE):
                registry.get(ref)
        with told("fraud:2"):
            assert registry.load("fraud:2") == {"threshold": 0.8}


def test_what_this_client_deletes_is_forgotten(world: World) -> None:
    with filled(world) as registry:
        registry.load("fraud:2")
        registry.versions.delete("fraud:2")
        assert registry.versions.get("fraud:2", deleted=True).deleted_at is not None
    world.stop()
    with world.client() as registry, told(), pytest.raises(Unavailable, match=GONE):
        registry.get("fraud:2")


def test_what_was_denied_is_forgotten_and_nobody_is_told_what_another_was(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World(tmp_path, stack, auth="tokens")
        ada, eve, bob = (
            world.token(name, role) for name, role in (("ada", "admin"), ("eve", "viewer"), ("bob", "viewer"))
        )
        with world.client(token=ada) as registry:
            registry.register("fraud", {"threshold": 0.7})
        for token in (eve, bob):
            with world.client(token=token) as registry:
                registry.load("fraud:1")
        with world.client(token=ada) as admin:
            (theirs,) = admin.access.tokens(owner="eve")
            admin.access.revoke(theirs, reason="a thief has it")
        with world.client(token=eve) as registry, pytest.raises(Denied):
            registry.get("fraud:1")
        world.stop()
        for token in (eve, "cm_" + "A" * 50):
            with world.client(token=token) as registry, told(), pytest.raises(Unavailable, match=GONE):
                registry.get("fraud:1")
        with world.client(token=bob) as registry, told("fraud:1"):
            assert registry.load("fraud:1") == {"threshold": 0.7}


def test_an_answer_that_was_changed_on_the_disk_is_none(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World(tmp_path, stack, auth="tokens")
        ada = world.token("ada", "admin")
        with world.client(token=ada) as registry:
            registry.register("fraud", {"threshold": 0.7})
            registry.load("fraud:1")
        world.stop()
        for file in world.kept():
            assert file.stat().st_mode & 0o077 == 0
            assert ada.encode() not in file.read_bytes()
            file.write_bytes(file.read_bytes().replace(b'"development"', b'"production"'))
        with world.client(token=ada) as registry, told(), pytest.raises(Unavailable, match=GONE):
            registry.get("fraud:1")


def test_it_can_be_turned_off(world: World) -> None:
    with filled(world), world.client(offline_hours=0, cache_dir=str(world.cache.with_name("off"))) as registry:
        registry.load("fraud:1")
    assert not world.cache.with_name("off").joinpath("known").exists()
    world.stop()
    with world.client(offline_hours=0) as registry, told(), pytest.raises(Unavailable, match=GONE):
        registry.get("fraud:1")


def test_it_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "ANSWERS_MAX", 100)
    monkeypatch.setattr(known, "_SWEPT_AFTER", 10)
    with filled(world) as registry:
        version = registry.get("fraud:1")
    answers = KnownAnswers(world.cache, world.url, "", clock=world.clock, moving_for=timedelta(hours=1))
    for n in range(300):
        answers.remember(GetVersion(ref=f"m{n}:1"), msgspec.structs.replace(version, model=f"m{n}"))
    assert 100 <= len(world.kept()) < 100 + 10
    monkeypatch.setattr(known, "BYTES_MAX", 50_000)
    for n in range(300, 310):
        answers.remember(GetVersion(ref=f"m{n}:1"), msgspec.structs.replace(version, model=f"m{n}"))
    assert 40_000 < sum(file.stat().st_size for file in world.kept()) <= 50_000 + 10 * 2_500
    assert answers.find(GetVersion(ref="m309:1")) is not None
    assert answers.find(GetVersion(ref="m299:1")) is not None
    assert answers.find(GetVersion(ref="m100:1")) is None


def test_a_server_that_is_away_is_waited_for_once_a_load(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once a call: where nothing answers at all, an attempt lasts as long as the setting says."""
    with filled(world) as registry:
        registry.load("fraud@champion")
    world.stop()
    with world.client() as registry:
        asked: list[Any] = []

        def unreachable(*arguments: Any, **_: Any) -> None:
            asked.append(arguments)
            raise Unavailable(f"It {GONE}.")

        monkeypatch.setattr(registry._transport._caller, "call", unreachable)
        for _ in range(3):
            with told("fraud@champion"):
                assert registry.load("fraud@champion") == {"threshold": 0.7}
        assert len(asked) == 1


def test_when_it_answers_again_its_answers_count(world: World) -> None:
    with filled(world) as registry:
        registry.load("fraud@champion")
        remembering = registry._transport._remembering
        remembering._away, remembering._away_until_s = Unavailable(GONE), time.monotonic() - 1
        registry.alias("fraud@champion", "fraud:2")
        with told():
            assert registry.load("fraud@champion") == {"threshold": 0.8}
