"""Records beside the blobs after an outage: made up for by itself, and by the next process."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import chopmark as cm
from chopmark.base.settings import load_settings
from chopmark.errors import Unavailable
from chopmark.ops.requests import CreateModel
from chopmark.wiring import LocalTransport, connect


def until(is_so: Callable[[], bool], within_s: float = 20) -> None:
    limit = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < limit
        time.sleep(0.02)


def waits(transport: LocalTransport) -> bool:
    """Whether something is not recorded."""
    with transport.catalog.reading() as tx:
        return tx.recorded.position() < tx.audit.head()[0]


def test_what_an_outage_kept_from_being_recorded_is_recorded_without_a_further_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("chopmark.wiring.RECORDED_WITHIN_S", 0.02)
    transport = connect(load_settings({"url": str(tmp_path / "registry")}, environ={}))
    tries: list[str] = []

    def away(name: str, _: bytes) -> None:
        tries.append(name)
        raise Unavailable("The store does not answer.")

    with caplog.at_level(logging.WARNING, "chopmark"), monkeypatch.context() as outage:
        outage.setattr(transport.records, "put", away)
        transport.call(CreateModel(model="fraud"))
        until(lambda: len(tries) >= 2)
        assert waits(transport)
    until(lambda: not waits(transport))
    transport.close()
    told = [each.message for each in caplog.records if "recorded beside the blobs" in each.message]
    assert len(told) == 1
    assert "does not answer" in told[0]


def test_a_server_records_what_a_process_before_it_could_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise Unavailable("The store does not answer.")

    directory = tmp_path / "registry"
    with cm.open(directory) as registry, monkeypatch.context() as outage:
        outage.setattr(registry._transport.records, "put", away)
        registry.models.create("fraud")
        registry.close()
    transport = connect(load_settings({"url": str(directory)}, environ={}))
    assert waits(transport)
    transport.record_soon()
    until(lambda: not waits(transport))
    transport.close()
