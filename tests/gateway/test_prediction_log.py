"""Samples in Parquet files: whole, bounded, without what may not be there, and never in the way of a request."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from msgspec import structs
from pyarrow import parquet

from chopmark.abc.predicting import Layout
from chopmark.domain.endpoints import Endpoint, EndpointConfig
from chopmark.domain.prediction_logs import parse_log_file
from chopmark.domain.signature import Field
from chopmark.formats.prediction_files import open_parquet
from chopmark.gateway.log_directory import LogDirectory
from chopmark.gateway.prediction_log import PredictionLog
from chopmark.gateway.protocols.asked import Asked
from chopmark.sdk.log_files import LogFile, Wanted, checked, log_files
from tests.gateway.world import SECRET, World, endpoint, routing, settled, whole

LOGGED = EndpointConfig(sample_share=1.0, samples_max=500, log=True)
SECRET_TEXT = "CH9300762011623852957"
TABLE = Layout(
    kind="table",
    inputs=(
        Field("iban", "string", "object", nullable=True),
        Field("amount", "float", "float64", nullable=True),
        Field("many", "int", "int64", nullable=True),
        Field("is_new", "bool", "bool", nullable=True),
        Field("scan", "bytes", "object", nullable=True),
        Field("seen_at", "datetime", "datetime64[ns]", nullable=True),
        Field("country", "category", "object", nullable=True),
        Field("more", "object", "object", nullable=True),
    ),
    outputs=(Field("output-0", "float", "float64", (-1,)),),
)


@dataclass
class Story:
    """A router whose samples are logged to a directory."""

    directory: Path
    bytes_max: int = 1 << 30
    router_id: str = "ab12"
    world: World = field(default_factory=World)
    asked: int = 0

    def __post_init__(self) -> None:
        files = LogDirectory(self.directory, self.bytes_max, self.router_id)
        self.log = PredictionLog(
            self.world.router, files, open_parquet(), router_id=self.router_id, close_s=60.0, clock=self.world.clock
        )

    async def begin(self, *endpoints: Endpoint, layout: Layout | None = None, generation: int = 1) -> None:
        await self.world.take(routing(*(endpoints or (whole(3, config=LOGGED),)), generation=generation))
        if layout is not None:
            for made in self.world.made.values():
                made.layout = layout
        await self.log.write()

    def ask(self, inputs: Any, outputs: Any, *, variant: int = 0, ref: str = "fraud-api", rows: int = 0) -> str:
        route = self.world.router.routes[ref]
        assert route.samples is not None
        self.asked += 1
        at_ms = 1_767_225_600_000 + self.asked
        request_id = route.serving[variant].ids.made(at_ms, self.asked)
        outputs = outputs if isinstance(outputs, dict) else {"output-0": outputs}
        count = rows or len(next(iter(outputs.values())))
        route.samples.take(at_ms, request_id, Asked(inputs=inputs, rows=count, id="", outputs=()), outputs)
        return request_id

    async def minute(self) -> None:
        """What was asked is taken, and a minute passes."""
        await self.log.write()
        self.world.clock.advance(timedelta(seconds=61))
        await self.log.write()

    def files(self) -> list[LogFile]:
        return list(log_files(Wanted(self.directory)))

    def table(self) -> Any:
        return pa.concat_tables([file.rows for file in self.files()], promote_options="permissive")


def told(story: Story, tell: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await tell()
        await story.log.close()
        await story.world.holding.close()

    asyncio.run(run())


def numbers(count: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(count, 2))


def paths(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file() and ".gateways" not in path.parts)


def test_rows_carry_who_answered_and_nothing_is_there_before_the_minute_ends(tmp_path: Path) -> None:
    story = Story(tmp_path / "log")

    async def tell() -> None:
        await story.begin(endpoint((3, 5_000), (4, 5_000), config=LOGGED))
        first = story.ask(numbers(2), np.array([0.5, 0.25]))
        second = story.ask(numbers(1, 1), np.array([0.75]), variant=1)
        await story.log.write()
        assert paths(tmp_path) == []
        await story.minute()
        one, other = story.files()
        assert one.rows.column_names[:10] == [
            "at",
            "request_id",
            "endpoint",
            "model",
            "version",
            "digest",
            "variant",
            "generation",
            "row",
            "rows",
        ]
        assert one.rows["request_id"].to_pylist() == [first, first]
        assert one.rows["row"].to_pylist() == [0, 1]
        assert one.rows["input.amount"].to_pylist() == numbers(2)[:, 0].tolist()
        assert one.rows["output.output-0"].to_pylist() == [0.5, 0.25]
        (row,) = other.rows.to_pylist()
        assert (row["request_id"], row["model"], row["version"], row["variant"]) == (second, "fraud", 4, "candidate")
        assert (row["endpoint"], row["digest"], row["generation"]) == ("fraud-api", f"sha256:{4:064x}", 1)
        assert other.about.columns_digest.startswith("sha256:")
        name = parse_log_file(paths(tmp_path)[0].relative_to(tmp_path / "log").parts)
        assert name is not None
        assert (name.project, name.endpoint, name.router) == ("default", "fraud-api", "ab12")
        found = checked(Wanted(tmp_path / "log"), SECRET, lambda about: "")  # noqa: ARG005
        assert (found.rows, found.faults) == (3, ())

    told(story, tell)


def test_every_type_of_column_comes_back_as_it_was(tmp_path: Path) -> None:
    story = Story(tmp_path)

    def objects(*values: Any) -> Any:
        array = np.empty(len(values), object)
        array[:] = values
        return array

    inputs = {
        "iban": objects(SECRET_TEXT, None),
        "amount": np.array([1.5, np.nan]),
        "many": np.array([7.0, np.nan]),
        "is_new": np.array([True, None], object),
        "scan": objects(b"\x00\xff", None),
        "seen_at": np.array(["2026-03-01T12:30:00.000000001", "NaT"], "datetime64[ns]"),
        "country": objects("CH", 7),
        "more": objects({"a": [1, None]}, None),
    }

    async def tell() -> None:
        await story.begin(layout=TABLE)
        answers = {
            "output-0": np.array([np.nan, 0.5]),
            "predict_proba": np.array([[0.1, 0.9], [0.2, 0.8]]),
            "label": np.array(["fraud", "fine"]),
            "why": objects(["a", 1], None),
        }
        story.ask(inputs, answers)
        story.ask(inputs, np.array([1.0, 2.0]))  # asked for less: the other columns are null
        await story.minute()
        (file,) = story.files()
        kinds = {name: str(kind) for name, kind in zip(file.rows.column_names, file.rows.schema.types, strict=True)}
        assert kinds["input.iban"] == "string"
        assert kinds["input.many"] == "int64"
        assert kinds["input.is_new"] == "bool"
        assert kinds["input.scan"] == "binary"
        assert kinds["input.seen_at"] == "timestamp[ns, tz=UTC]"
        assert kinds["output.predict_proba"].startswith("large_list<")
        row, missing, less, _ = file.rows.to_pylist()
        assert (row["input.iban"], row["input.amount"], row["input.many"]) == (SECRET_TEXT, 1.5, 7)
        assert (row["input.is_new"], row["input.scan"], row["input.country"]) == (True, b"\x00\xff", '"CH"')
        assert (row["input.more"], row["output.label"], row["output.why"]) == ('{"a":[1,null]}', "fraud", '["a",1]')
        assert row["output.predict_proba"] == [0.1, 0.9]
        assert np.isnan(row["output.output-0"])
        assert {missing[f"input.{name}"] for name in inputs if name != "country"} == {None}
        assert less["output.predict_proba"] is None

    told(story, tell)


def test_tensors_of_several_lengths_are_lists_in_one_column(tmp_path: Path) -> None:
    story = Story(tmp_path)
    layout = Layout(
        kind="tensors",
        inputs=(Field("x", "float", "float32", (-1, -1, 2)),),
        outputs=(Field("output-0", "float", "float64", (-1,)),),
    )

    async def tell() -> None:
        await story.begin(layout=layout)
        one, other = (np.arange(2 * n * 2, dtype=np.float32).reshape(2, n, 2) for n in (1, 3))
        story.ask({"x": one}, np.ones(2))
        story.ask({"x": other}, np.ones(2))
        story.ask({"x": np.zeros((1, 0, 2), np.float32)}, np.ones(1))
        await story.minute()
        assert story.table()["input.x"].to_pylist() == [*one.tolist(), *other.tolist(), []]

    told(story, tell)


def test_what_is_left_out_is_nowhere_in_the_directory_nor_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    story = Story(tmp_path)
    config = structs.replace(LOGGED, log_redact=("input.iban", "output.label"))

    def ask(number: int = 1) -> None:
        missing = np.array([None] * 1, object)
        others = dict.fromkeys([f.name for f in TABLE.inputs], missing)
        inputs = others | {
            "iban": np.array([SECRET_TEXT], object),
            "amount": np.array([1.0]),
            "many": np.array([float(number)]),
            "seen_at": np.array(["NaT"], "datetime64[ns]"),
        }
        story.ask(inputs, {"output-0": np.array([1.0]), "label": np.array([SECRET_TEXT])})

    async def tell() -> None:
        table = structs.replace(TABLE, more=(Field("label", "string", "object", (-1,)),))
        await story.begin(whole(3, config=config), layout=table)
        ask()
        await story.minute()
        (file,) = story.files()
        assert file.rows["input.iban"].to_pylist() == file.rows["output.label"].to_pylist() == [None]
        assert file.about.redacted == ("input.iban", "output.label")
        # Asked for while rows already wait: they are without it too.
        await story.begin(whole(3, config=LOGGED, generation=2), generation=2)
        ask()
        await story.log.write()
        await story.begin(whole(3, config=config, generation=3), generation=3)
        await story.minute()
        assert len(story.files()) == 2
        # A value that no column takes is not told of by what it is.
        route = story.world.router.routes["fraud-api"]
        assert route.samples is not None
        bad = np.array([{SECRET_TEXT: 1}], object)
        story.ask(dict.fromkeys((f.name for f in TABLE.inputs), bad) | {"seen_at": np.array([1 + 2j])}, np.array([1.0]))
        ask()
        await story.minute()
        assert (story.log.lost, story.log.written) == (1, 3)
        assert "input.seen_at" in story.log.note or "complex128" in story.log.note

    with caplog.at_level(logging.DEBUG, "chopmark.gateway"):
        told(story, tell)
    needle = SECRET_TEXT.encode()
    assert paths(tmp_path)
    assert all(needle not in path.read_bytes() for path in paths(tmp_path))
    for path in paths(tmp_path):  # nor compressed: no column holds it
        assert SECRET_TEXT not in str(parquet.read_table(path).to_pylist())
    assert SECRET_TEXT not in caplog.text
    assert SECRET_TEXT not in story.log.note


def test_what_a_library_says_of_a_value_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    story = Story(tmp_path)

    def refuse(*_: Any, **__: Any) -> Any:
        raise pa.ArrowInvalid(f"Could not convert {SECRET_TEXT!r}")

    async def tell() -> None:
        await story.begin()
        monkeypatch.setattr("chopmark.formats.prediction_files._elements", refuse)
        story.ask(numbers(1), np.ones(1))
        await story.minute()
        assert story.log.lost == 1
        assert "ArrowInvalid" in story.log.note

    with caplog.at_level(logging.DEBUG):
        told(story, tell)
    assert SECRET_TEXT not in caplog.text + story.log.note


def test_a_column_to_be_left_out_that_nobody_has_stops_the_log_of_that_endpoint(tmp_path: Path) -> None:
    story = Story(tmp_path)

    async def tell() -> None:
        await story.begin(
            whole(3, config=structs.replace(LOGGED, log_redact=("input.ammount",))),
            whole(4, name="other", config=structs.replace(LOGGED, log_redact=("input.amount",))),
        )
        story.ask(numbers(1), np.ones(1))
        story.ask(numbers(1), np.ones(1), ref="other")
        await story.minute()
        assert {file.about.endpoint for file in story.files()} == {"other"}
        assert "input.ammount" in story.log.note
        assert "without 1 sampled request:" in story.log.note

    told(story, tell)


def test_the_oldest_files_make_room_and_a_directory_never_holds_more(tmp_path: Path) -> None:
    story = Story(tmp_path / "log", bytes_max=40_000)

    async def tell() -> None:
        await story.begin()
        seen = []
        for number in range(12):
            story.ask(numbers(50, number), np.full(50, float(number)))
            await story.minute()
            sizes = [path.stat().st_size for path in paths(tmp_path)]
            assert sum(sizes) <= 40_000
            seen.append(len(sizes))
        assert 1 < seen[-1] < 12
        kept = [float(file.rows["output.output-0"][0].as_py()) for file in story.files()]
        assert kept == [float(number) for number in range(12 - seen[-1], 12)]
        assert story.log.lost == 0
        assert [path.name for path in (tmp_path / "log").iterdir() if path.name != ".gateways"] == ["default"]

    told(story, tell)


def test_a_file_that_fits_nowhere_is_dropped_and_told(tmp_path: Path) -> None:
    story = Story(tmp_path, bytes_max=500)

    async def tell() -> None:
        await story.begin()
        story.ask(numbers(50), np.ones(50))
        await story.minute()
        assert (story.log.lost, story.log.written) == (1, 0)
        assert "gateway_log_bytes_max" in story.log.note

    told(story, tell)


def test_gateways_share_a_directory_and_touch_only_what_is_theirs(tmp_path: Path) -> None:
    one, other = Story(tmp_path, bytes_max=40_000, router_id="aa"), Story(tmp_path, bytes_max=15_000, router_id="bb")

    async def tell() -> None:
        for story in (one, other):
            await story.begin()
        for number in range(6):
            for story in (one, other):
                story.ask(numbers(50, number), np.ones(50))
                await story.minute()
        of = [[p for p in paths(tmp_path) if p.name.endswith(f"-{story.router_id}.parquet")] for story in (one, other)]
        assert len(of[0]) > len(of[1]) > 0
        assert {p.name.split("-")[-2] for p in of[0]} == {"g1"}
        assert {p.name.split("-")[-2] for p in of[1]} == {"g2"}
        await other.log.close()
        # Who comes next sits where the one that stopped sat, and goes on with its bound: the files of the first stay.
        third = Story(tmp_path, bytes_max=15_000, router_id="cc")
        await third.begin()
        for number in range(6):
            third.ask(numbers(50, number), np.ones(50))
            await third.minute()
        names = {p.name for p in paths(tmp_path)}
        assert {p.name for p in of[0]} <= names
        assert not any(name.endswith("-bb.parquet") for name in names)
        await third.log.close()
        await third.world.holding.close()
        await other.world.holding.close()

    told(one, tell)


def test_what_a_killed_gateway_left_torn_is_removed_by_whoever_sits_there_next(tmp_path: Path) -> None:
    day = tmp_path / "default" / "fraud-api" / "2026-01-01"
    day.mkdir(parents=True)
    torn = day / ".12-30-00.000-000001-g1-aa.parquet.part"
    of_another_seat = day / ".12-30-00.000-000001-g2-bb.parquet.part"
    somebodys = day / "notes.txt"
    for path in (torn, of_another_seat, somebodys):
        path.write_bytes(b"PAR1")
    story = Story(tmp_path)

    async def tell() -> None:
        await story.begin()
        assert not torn.exists()
        assert of_another_seat.exists()
        assert somebodys.exists()

    told(story, tell)


@pytest.mark.parametrize("failing", ["write", "fsync", "rename"])
def test_a_full_disk_costs_rows_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failing: str
) -> None:
    story = Story(tmp_path / "log")

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def tell() -> None:
        await story.begin()
        story.ask(numbers(2), np.ones(2))
        with monkeypatch.context() as patched:
            if failing == "write":
                patched.setattr("chopmark.gateway.log_directory.os.fdopen", full)
            elif failing == "fsync":
                patched.setattr("chopmark.gateway.log_directory.os.fsync", full)
            else:
                patched.setattr(Path, "rename", full)
            await story.minute()
            story.ask(numbers(2), np.ones(2))
            await story.minute()
        assert paths(tmp_path) == []
        assert (story.log.lost, story.log.written) == (2, 0)
        assert "2 sampled requests" in story.log.note
        assert "No space left on device" in story.log.note
        story.ask(numbers(2), np.ones(2))
        await story.minute()
        assert (story.log.lost, story.log.written) == (2, 1)
        assert len(paths(tmp_path)) == 1

    with caplog.at_level(logging.INFO, "chopmark.gateway"):
        told(story, tell)
    said = [record.message for record in caplog.records]
    assert len([text for text in said if "No space left" in text]) == 1
    assert "The prediction log is written again." in said


def test_a_directory_that_cannot_be_made_is_told_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    story = Story(tmp_path / "log")

    async def tell() -> None:
        await story.begin()
        story.ask(numbers(1), np.ones(1))
        await story.minute()
        assert story.log.lost == 1
        (tmp_path / "log").unlink()
        story.ask(numbers(1), np.ones(1))
        await story.minute()
        assert story.log.written == 1

    told(story, tell)


def test_a_disk_that_hangs_holds_up_nobody_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story(tmp_path / "log")
    answers = threading.Event()
    fsync = os.fsync

    def hanging(descriptor: int) -> None:
        answers.wait(60)
        fsync(descriptor)

    async def tell() -> None:
        await story.begin()
        story.ask(numbers(1), np.ones(1))
        await story.log.write()
        story.world.clock.advance(timedelta(seconds=61))
        monkeypatch.setattr("chopmark.gateway.log_directory.os.fsync", hanging)
        monkeypatch.setattr("chopmark.gateway.prediction_log._LAST_S", 0.2)
        await story.log.start()
        await asyncio.sleep(0.1)
        story.ask(numbers(1), np.ones(1))  # at once, as ever
        story.world.clock.advance(timedelta(seconds=11))
        assert "does not answer" in story.log.note
        begun_s = time.monotonic()
        await story.log.close()
        assert time.monotonic() - begun_s < 5
        answers.set()

    told(story, tell)
    assert len(paths(tmp_path)) >= 1


def test_samples_that_went_before_they_were_taken_are_counted(tmp_path: Path) -> None:
    story = Story(tmp_path)

    async def tell() -> None:
        await story.begin(whole(3, config=structs.replace(LOGGED, samples_max=10)))
        for number in range(25):
            story.ask(numbers(1, number), np.ones(1))
        await story.minute()
        assert (story.log.lost, story.log.written) == (15, 10)
        assert "samples_max" in story.log.note

    told(story, tell)


def test_what_was_asked_before_a_log_was_wanted_is_not_in_it_and_what_waits_at_the_end_is(tmp_path: Path) -> None:
    story = Story(tmp_path)

    async def tell() -> None:
        await story.begin(whole(3, config=structs.replace(LOGGED, log=False)))
        story.ask(numbers(1), np.ones(1))
        await story.minute()
        await story.begin(whole(3, config=LOGGED, generation=2), generation=2)
        story.ask(numbers(1), np.full(1, 2.0))
        await story.log.write()
        story.ask(numbers(1), np.full(1, 3.0))
        await story.world.take(routing(whole(4, name="other"), generation=3))  # the endpoint is deleted
        await settled()
        await story.log.write()
        assert story.table()["output.output-0"].to_pylist() == [2.0, 3.0]

    told(story, tell)


def test_a_request_that_no_column_takes_takes_no_other_with_it(tmp_path: Path) -> None:
    story = Story(tmp_path)

    async def tell() -> None:
        await story.begin()
        story.ask(numbers(1), np.ones(1))
        story.ask(numbers(2), np.ones(1), rows=2)  # fewer answers than rows
        story.ask(numbers(1), np.array([1j]))
        story.ask(numbers(1), np.ones(1))
        await story.minute()
        assert (story.log.lost, story.log.written) == (2, 2)

    told(story, tell)


def test_long_requests_are_cut_and_say_so(tmp_path: Path) -> None:
    story = Story(tmp_path)

    async def tell() -> None:
        await story.begin()
        story.ask(numbers(250), np.ones(250))
        await story.minute()
        table = story.table()
        assert (table.num_rows, set(table["rows"].to_pylist())) == (100, {250})

    told(story, tell)
