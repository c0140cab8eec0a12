"""One contract, every place for records; and what a killed process leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chopmark.abc.records import RecordStore
from chopmark.blobs import open_store
from chopmark.blobs.records import LocalRecords, open_records
from chopmark.errors import Unavailable
from chopmark.testing.memory_records import MemoryRecords
from chopmark.testing.record_suite import RecordStoreSuite


class TestMemory(RecordStoreSuite):
    @pytest.fixture
    def records(self) -> MemoryRecords:
        return MemoryRecords()


class TestLocal(RecordStoreSuite):
    @pytest.fixture
    def records(self, tmp_path: Path) -> LocalRecords:
        return LocalRecords(tmp_path / "store")


@pytest.fixture(params=["s3_server", "azurite_server"])
def place(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The arguments that open an empty place in an object store."""
    server = request.getfixturevalue(request.param)
    if request.param == "azurite_server":
        options = {"account_name": server.account, "account_key": server.account_key}
        return {
            "url": f"az://{server.container}/{uuid4().hex}",
            "endpoint_url": server.endpoint_url,
            "options": options,
        }
    options = {name: getattr(server, name) for name in ("access_key_id", "secret_access_key", "region")}
    return {"url": f"s3://{server.bucket}/{uuid4().hex}", "endpoint_url": server.endpoint_url, "options": options}


class TestObjects(RecordStoreSuite):
    @pytest.fixture
    def records(self, place: dict[str, Any]) -> RecordStore:
        return open_records(**place)


def test_records_and_blobs_of_one_place_do_not_see_each_other(place: dict[str, Any], tmp_path: Path) -> None:
    for where in (place, {"url": tmp_path}):
        store, records = open_store(**where), open_records(**where)
        (tmp_path / "file").write_bytes(b"weights")
        digest = store.put(tmp_path / "file").digest
        records.put("r1/manifests/a.json", b"{}")
        assert [stat.digest for stat in store.list()] == [digest]
        assert list(records.names()) == ["r1/manifests/a.json"]
        store.close()


def test_what_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("a file in the way")
    with pytest.raises(Unavailable):
        LocalRecords(tmp_path).put("a", b"x")


WRITER = """
import sys
from pathlib import Path
from chopmark.blobs.records import LocalRecords
records = LocalRecords(Path(sys.argv[1]))
for i in range(10**9):
    records.put("one", bytes([65 + i % 26]) * 2_000_000)
    print(i, flush=True)
"""


def test_a_killed_writer_leaves_a_whole_record(tmp_path: Path) -> None:
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.01)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        records = LocalRecords(tmp_path)
        found = records.get("one")
        assert len(found) == 2_000_000
        assert len(set(found)) == 1
        assert list(records.names()) == ["one"]
