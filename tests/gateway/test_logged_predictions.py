"""A log of predictions from real models and real gateways: read, checked, answered again."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import chopmark as cm
from faults.serving_processes import Installation
from tests.cli.running import Program
from tests.gateway.conftest import Served, rows, serving, until

SECRET_TEXT = "CH9300762011623852957"
LOGGED = {"sample_share": 1.0, "samples_max": 5_000, "log": True}


def people(count: int) -> pd.DataFrame:
    random = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "country": random.choice(["CH", "DE", "FR"], count),
            "age": np.where(random.uniform(size=count) < 0.2, np.nan, random.normal(40, 9, count).round()),
            "iban": [SECRET_TEXT] * count,
        }
    )


def text_model(data: pd.DataFrame, strength: float) -> Any:
    columns = ColumnTransformer(
        [("country", OneHotEncoder(handle_unknown="ignore"), ["country"]), ("age", SimpleImputer(), ["age"])]
    )
    truth = np.where((data["country"] == "CH") ^ (data["age"].fillna(40) > 45), "fraud", "fine")
    return make_pipeline(columns, LogisticRegression(C=strength)).fit(data, truth)


@pytest.fixture(scope="module")
def logged(filled_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A registry's directory, and the log of what two of its endpoints answered; never to be changed."""
    beside = tmp_path_factory.mktemp("logged")
    directory, log = beside / "registry", beside / "log"
    shutil.copytree(filled_directory, directory)
    data = people(300)
    with cm.open(directory, actor="ada") as registry:
        for strength in (1.0, 0.001):
            registry.register("text", text_model(data, strength), example=data)
        registry.register("text", text_model(data, 1.0), example=data[["country", "age"]])  # does not need the iban
        registry.endpoints.create("fraud-api", {"fraud:1": 50, "fraud:2": 50}, config=LOGGED)
        registry.endpoints.create("text-api", "text:1", config=LOGGED | {"log_redact": ["input.iban"]})
    said = data.astype(object).where(data.notna(), None).to_dict("records")
    with serving(directory, beside, gateway_log_dir=str(log), gateway_log_close_s=1) as gateway:
        gateway.until_ready()
        for part in range(0, 300, 10):
            for key in ("a", "b", "c"):
                ask(gateway, "fraud-api", rows(300)[part : part + 10].tolist(), key=f"{key}-{part}")
            ask(gateway, "text-api", said[part : part + 10])
        with pytest.raises(cm.errors.InvalidRequest, match="nothing in the log"):
            gateway.registry.predictions.read(log, "odd-api")
    return directory, log


def ask(gateway: Served, endpoint: str, asked: list[Any], key: str = "k") -> None:
    told = gateway.ask(f"/predict/{endpoint}", {"rows": asked}, x_chopmark_key=key)
    assert told.status == 200, told.data


@pytest.fixture
def registry(logged: tuple[Path, Path]) -> Iterator[cm.Registry]:
    with cm.open(logged[0], actor="ada") as opened:
        yield opened


@pytest.fixture
def copied(logged: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(logged[1], tmp_path / "log"))


def test_all_that_was_asked_is_in_the_log_as_it_was_asked(registry: cm.Registry, logged: tuple[Path, Path]) -> None:
    table = registry.predictions.read(logged[1], "text-api")
    assert table.num_rows == 300
    data = people(300)
    assert table["input.country"].to_pylist() == data["country"].tolist()
    ages = table["input.age"].to_pylist()
    assert [v is None for v in ages] == data["age"].isna().tolist()
    assert [v for v in ages if v is not None] == data["age"].dropna().tolist()
    assert table["input.iban"].null_count == 300
    assert table["output.output-0"].to_pylist() == registry.load("text:1").predict(data).tolist()
    assert set(table["row"].to_pylist()) == set(range(10))
    assert sum(b.num_rows for b in registry.predictions.batches(logged[1], "text-api")) == 300
    with pytest.raises(cm.errors.InvalidRequest, match="do not go together"):  # classes of one are texts
        registry.predictions.read(logged[1])
    assert sum(b.num_rows for b in registry.predictions.batches(logged[1])) == 300 + 900
    one = registry.predictions.read(logged[1], "fraud-api", version="fraud:1")
    other = registry.predictions.read(logged[1], "fraud-api", version="fraud:2")
    assert one.num_rows + other.num_rows == 900
    assert set(one["variant"].to_pylist()) == {"stable"}


def test_a_time_is_from_then_on_and_before_then(registry: cm.Registry, logged: tuple[Path, Path]) -> None:
    times = registry.predictions.read(logged[1], "text-api")["at"].to_pylist()
    middle = sorted(times)[150]
    earlier = registry.predictions.read(logged[1], "text-api", until=middle).num_rows
    later = registry.predictions.read(logged[1], "text-api", since=middle).num_rows
    assert (earlier + later, later) == (300, sum(at >= middle for at in times))
    with pytest.raises(cm.errors.InvalidRequest, match="nothing in the log"):
        registry.predictions.read(logged[1], since=datetime.now(UTC) + timedelta(days=3))
    with pytest.raises(cm.errors.InvalidRequest, match="zone"):
        registry.predictions.read(logged[1], since=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(cm.errors.InvalidRequest, match="no directory"):
        registry.predictions.read(logged[1] / "nowhere")


def test_the_same_version_answers_the_same_and_another_otherwise(
    registry: cm.Registry, logged: tuple[Path, Path]
) -> None:
    replay = registry.predictions.replay
    same = replay(logged[1], "fraud:1", "fraud-api", answered_by="fraud:1")
    assert (same.agreement, same.differing, same.outputs) == (1.0, (), ("output-0",))
    assert same.shift_max_abs == 0
    text = replay(logged[1], "text:3", "text-api", rows_max=42)
    assert (text.rows, text.agreeing, text.shift_mean) == (42, 42, None)
    other = replay(logged[1], "fraud:2", "fraud-api", answered_by="fraud:1")
    table = registry.predictions.read(logged[1], "fraud-api", version="fraud:1")
    data = np.column_stack([table[f"input.x{i}"].to_numpy() for i in range(10)])
    now, then = registry.load("fraud:2").predict(data), table["output.output-0"].to_numpy()
    assert 0 < int((now != then).sum()) == other.rows - other.agreeing
    assert other.shift_mean == pytest.approx((now - then).mean())
    first = int(np.flatnonzero(now != then)[0])
    found = other.differing[0]
    assert (found.request_id, found.row) == (table["request_id"][first].as_py(), table["row"][first].as_py())
    assert (found.logged, found.now) == ({"output-0": then[first]}, {"output-0": now[first]})
    assert found.answered_by == "fraud:1"


def test_what_a_version_needs_and_the_log_is_without_is_refused(
    registry: cm.Registry, logged: tuple[Path, Path]
) -> None:
    with pytest.raises(cm.errors.InvalidRequest, match=r"needs input\.x0"):
        registry.predictions.replay(logged[1], "fraud:1", "text-api")
    with pytest.raises(cm.errors.InvalidRequest, match="no rows"):
        registry.predictions.replay(logged[1], "fraud:1", "odd-api")
    with pytest.raises(cm.errors.Conflict, match=r"needs input\.iban.*log_redact"):
        registry.predictions.replay(logged[1], "text:1", "text-api")


def changed(path: Path, name: str, place: int, value: Any) -> None:
    """The file with one value another."""
    table = parquet.read_table(path)
    values = table[name].to_pylist()
    values[place] = value
    at = table.column_names.index(name)
    table = table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
    parquet.write_table(table, path, compression="zstd")


def test_a_planted_answer_is_the_one_row_that_differs(registry: cm.Registry, copied: Path) -> None:
    path = min(copied.glob("default/text-api/*/*.parquet"))
    before = parquet.read_table(path)["output.output-0"][3].as_py()
    changed(path, "output.output-0", 3, "planted")
    found = registry.predictions.replay(copied, "text:3", "text-api")
    (row,) = found.differing
    assert (found.rows, found.agreeing) == (300, 299)
    assert (row.logged, row.now) == ({"output-0": "planted"}, {"output-0": before})


def test_a_row_that_is_not_what_its_request_id_says_is_told(
    registry: cm.Registry, logged: tuple[Path, Path], copied: Path
) -> None:
    sound = registry.predictions.verify(logged[1])
    assert (sound.rows, sound.is_sound) == (1200, True)
    assert registry.predictions.read(logged[1], "fraud-api", verify=True).num_rows == 900
    path = min(copied.glob("default/fraud-api/*/*.parquet"))
    table = parquet.read_table(path)
    changed(path, "variant", 0, "winner")
    changed(path, "at", 1, table["at"][1].as_py() + timedelta(milliseconds=1))
    changed(path, "request_id", 2, table["request_id"][2].as_py()[:-2] + "AA")
    changed(path, "generation", 3, 99)
    changed(path, "digest", 4, "sha256:" + "0" * 64)
    changed(path, "row", 6, table["row"][5].as_py())
    found = registry.predictions.verify(copied)
    assert (found.rows, found.faulty_rows, found.faulty_files) == (1200, 6, 0)
    assert [fault.why.partition(" of another ")[2] for fault in found.faults[:2]] == ["variant", "time"]
    whys = " ".join(fault.why for fault in found.faults)
    assert "no gateway of this registry" in whys
    assert "generation" in whys
    assert "twice" in whys
    assert "otherwise than its file" in whys
    with pytest.raises(cm.errors.IntegrityFailure, match="not what gateways wrote"):
        registry.predictions.read(copied, "fraud-api", verify=True)


def test_a_file_that_lies_about_its_version_or_is_damaged_is_told(registry: cm.Registry, copied: Path) -> None:
    first, second = (min(copied.glob(f"default/{name}/*/*.parquet")) for name in ("fraud-api", "text-api"))
    table = parquet.read_table(first)
    said = table.schema.metadata[b"chopmark.prediction_log"]
    other = said.replace(b'"model":"fraud"', b'"model":"fraub"')
    assert other != said
    parquet.write_table(table.replace_schema_metadata({b"chopmark.prediction_log": other}), first)
    data = second.read_bytes()
    second.write_bytes(data[: len(data) // 2])
    third = max(copied.glob("default/fraud-api/*/*.parquet"))
    table = parquet.read_table(third)
    renamed = table.rename_columns([name.replace("x3", "z3") for name in table.column_names])
    parquet.write_table(renamed.replace_schema_metadata(table.schema.metadata), third)
    found = registry.predictions.verify(copied)
    assert found.faulty_files == 3
    assert sum("other columns than it was written with" in fault.why for fault in found.faults) == 1, found.faults
    assert "the registry has no fraub:" in found.faults[0].why
    with pytest.raises(cm.errors.IntegrityFailure, match=r"cannot be read|other columns"):
        registry.predictions.read(copied)


def test_only_who_may_route_can_tell_whether_a_log_is_genuine(logged: tuple[Path, Path], tmp_path: Path) -> None:
    directory, log = logged
    place = Path(shutil.copytree(directory, tmp_path / "registry"))
    with cm.open(place, actor="ada") as registry:
        secrets = {}
        for who, role in (("eve", "maintainer"), ("root", "admin")):
            registry.access.set_member(who, role, project="*")
            secrets[who] = registry.access.create_token(who, owner=who, kind="service", scopes=["read", "route"]).secret
    with serving(place, tmp_path, serve_auth="tokens") as gateway:

        def opened(who: str) -> cm.Registry:
            return cm.open(gateway.url, token=secrets[who], cache_dir=str(tmp_path / who))

        with opened("eve") as eve:
            assert eve.predictions.read(log, "text-api").num_rows == 300
            with pytest.raises(cm.errors.Denied):
                eve.predictions.verify(log)
        with opened("root") as root:
            assert root.predictions.verify(log).is_sound


def test_the_asynchronous_registry_reads_it_too(logged: tuple[Path, Path]) -> None:
    async def read() -> int:
        async with await cm.AsyncRegistry.open(logged[0]) as registry:
            return sum([b.num_rows async for b in registry.predictions.batches(logged[1], "text-api")])

    assert asyncio.run(read()) == 300


def test_from_the_terminal(logged: tuple[Path, Path], copied: Path, tmp_path: Path, capsys: Any) -> None:
    program = Program(tmp_path, capsys)
    shutil.copytree(logged[0], program.place)
    read = program.ok("predictions", "read", copied, "text-api", "--limit", "2")
    assert len(read.out.splitlines()) == 2
    assert '"input.iban":null' in read.out
    assert "first 2 rows" in read.err
    assert len(program.ok("predictions", "read", copied, "text-api", "--limit", "300", "--json").json) == 300
    program.ok("predictions", "read", copied, "fraud-api", "--verify", "--to", tmp_path / "all.parquet")
    assert parquet.read_table(tmp_path / "all.parquet").num_rows == 900
    assert "1,200 rows" in program.ok("predictions", "verify", copied).err
    told = program.ok("predictions", "replay", copied, "text:3", "--endpoint", "text-api", "--check")
    assert "300 (100 %)" in told.out
    other = program("predictions", "replay", copied, "fraud:2", "--endpoint", "fraud-api", "--check")
    assert other.code == 1
    assert "ANSWERED BY" in other.out
    path = min(copied.glob("default/fraud-api/*/*.parquet"))
    changed(path, "variant", 0, "winner")
    wrong = program("predictions", "verify", copied)
    assert "; 1 faulty row, 0 faulty files" in wrong.err
    assert wrong.code == 1
    assert "of another variant" in wrong.out


def test_an_endpoint_that_cannot_mean_it_is_refused(registry: cm.Registry) -> None:
    create = registry.dry_run().endpoints.create
    with pytest.raises(cm.errors.InvalidRequest, match="keeps none"):
        create("new", "fraud:1", config={"log": True})
    with pytest.raises(cm.errors.InvalidRequest, match="no column of a log"):
        create("new", "fraud:1", config=LOGGED | {"log_redact": ["iban"]})
    with pytest.raises(cm.errors.InvalidRequest, match="twice"):
        create("new", "fraud:1", config=LOGGED | {"log_redact": ["input.x", "input.x"]})
    with pytest.raises(cm.errors.InvalidRequest, match=r"input\.ibann"):
        create("new", "text:1", config=LOGGED | {"log_redact": ["input.ibann"]})
    with pytest.raises(cm.errors.InvalidRequest, match=r"input\.ibann"):
        registry.dry_run().endpoints.update("text-api", config={"log_redact": ["input.ibann"]})


def test_without_pyarrow_a_gateway_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "pyarrow.py").write_text("raise ImportError('not here')\n")
    environ = {k: v for k, v in os.environ.items() if not k.startswith("CHOPMARK_")} | {
        "PYTHONPATH": str(tmp_path / "hidden"),
        "HOME": str(tmp_path),
        "CHOPMARK_GATEWAY_LOG_DIR": str(tmp_path / "log"),
        "CHOPMARK_SERVE_AUTH": "none",
    }
    for command in (["serve", "--port", "0"], ["gateway", "--port", "0"]):
        ran = subprocess.run(
            [sys.executable, "-m", "chopmark", *command],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 1
        assert "chopmark[arrow]" in ran.stderr
        assert ran.stdout == ""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path, gateway_poll_s=0.1, serve_stop_s=5, gateway_log_close_s=1)
    yield made
    made.close()


def test_a_kill_leaves_whole_files_and_two_gateways_share_a_directory(
    installation: Installation, filled_directory: Path, tmp_path: Path
) -> None:
    shutil.copytree(filled_directory, tmp_path / "registry")
    log = tmp_path / "log"
    server = installation.serve("--workers", "0", gateway_log_dir=log)
    with installation.client(server.url) as registry:
        registry.endpoints.create("odd-api", "fraud:1", config=LOGGED | {"log_redact": ["input.x3"]})
    gateway = installation.gateway(server.url, gateway_log_dir=log)
    directory = {url: Served(url, registry, log) for url in (server.url, gateway.url)}
    for each in directory.values():
        each.until_ready()
    told: list[str] = []

    def asked(url: str, count: int) -> None:
        for number in range(count):
            answer = directory[url].ask("/predict/odd-api", {"rows": rows(1, number).tolist()})
            assert answer.status == 200
            told.append(answer.headers["x-chopmark-request-id"])

    def in_files() -> set[str]:
        with installation.client() as here:
            found = here.predictions.verify(log)
            assert found.is_sound
            return set(here.predictions.read(log)["request_id"].to_pylist()) if found.rows else set()

    for url in directory:
        asked(url, 50)
    until(lambda: set(told) <= in_files())
    assert {path.name.split("-")[-2] for path in log.rglob("*.parquet")} == {"g1", "g2"}
    before = {path: path.read_bytes() for path in log.rglob("*.parquet")}
    asked(gateway.url, 20)  # at most these are lost
    gateway.kill()
    torn = next(iter(before)).with_name(next(p.name for p in before if "-g2-" in p.name))
    (torn.with_name(f".{torn.name}.part")).write_bytes(b"PAR1")
    assert {path: path.read_bytes() for path in before} == before
    assert set(told[:100]) <= in_files()
    again = installation.gateway(server.url, gateway_log_dir=log)
    directory[again.url] = Served(again.url, registry, log)
    directory[again.url].until_ready()
    until(lambda: not list(log.rglob("*.part")))
    asked(again.url, 30)
    assert again.stop(30) < 30  # what waits is written at the end
    assert server.stop(30) < 30
    assert set(told[-30:]) <= in_files()
    with installation.client() as here:
        assert here.predictions.read(log)["input.x3"].null_count == here.predictions.read(log).num_rows
        with pytest.raises(cm.errors.Conflict):
            here.predictions.replay(log, "fraud:1")
    assert {path: path.read_bytes() for path in before} == before
