import datetime as dt
import hashlib
import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse

from chopmark.base.digest import to_digest
from chopmark.domain.datasets import DatasetRef
from chopmark.errors import InvalidRequest
from chopmark.formats.data import describe_dataset

ROWS = {
    "count": [1, 2, 3, 4],
    "rate": [0.5, np.nan, 1.5, -2.0],
    "name": ["a", None, "ü", "a"],
    "live": [True, False, True, True],
    "when": [dt.datetime(2024, 1, d, 1, 2, 3, 4) for d in (1, 2, 3, 4)],  # noqa: DTZ001  # a clock reading, as pandas has it
}
FRAME = pd.DataFrame(ROWS)
ARROW = pa.Table.from_pandas(FRAME, preserve_index=False)

# What this table's digest is for good: a change here means that recorded digests no longer match.
DIGEST = "sha256:87d26450bd2af0a4202e41d0d6d0852dc8da863c0a8720faf211a83cbf60332b"


def digest(data) -> str:
    return describe_dataset(data).digest


@pytest.mark.parametrize(
    "data",
    [
        FRAME,
        FRAME.astype({"name": object}),
        FRAME.astype({"name": "string[pyarrow]"}),
        FRAME.astype({"name": "string[python]"}),
        FRAME.astype({"name": "category"}),
        FRAME.astype({"count": "Int64", "live": "boolean"}),
        FRAME.astype({"when": "datetime64[ns]"}),
        FRAME.set_index(pd.Index(list("wxyz"))),
        FRAME.astype({"name": object}).to_dict("records"),
        ARROW,
        pa.concat_tables([ARROW.slice(0, 1), ARROW.slice(1)]),
        ARROW.to_pandas(types_mapper=pd.ArrowDtype),
        pl.from_pandas(FRAME),
        pl.from_pandas(FRAME).lazy(),
        pl.concat([pl.from_pandas(FRAME)[:2], pl.from_pandas(FRAME)[2:]], rechunk=False),
    ],
    ids=lambda data: type(data).__module__.partition(".")[0],
)
def test_one_content_has_one_digest_in_every_library(data) -> None:
    assert digest(data) == DIGEST


def test_another_process_takes_the_same_digest() -> None:
    program = (
        "from tests.formats.test_data import FRAME, digest\n"
        "import sys; sys.stdout.write(digest(FRAME.astype({'name': 'category'})))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    answer = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment
    )
    assert answer.stdout == DIGEST


@pytest.mark.parametrize(
    "other",
    [
        FRAME.iloc[::-1],
        FRAME.iloc[:3],
        FRAME.rename(columns={"name": "label"}),
        FRAME[["rate", "count", "name", "live", "when"]],
        FRAME.astype({"count": "int32"}),
        FRAME.assign(name=["a", "", "ü", "a"]),
        FRAME.assign(name=pd.Series(["au", None, "̈", "a"], dtype=object)),
        FRAME.assign(rate=[0.5, np.nan, 1.5, -2.0000001]),
        FRAME.assign(when=FRAME["when"].dt.tz_localize("UTC")),
        FRAME.assign(live=[1, 0, 1, 1]),
    ],
    ids=range(10),
)
def test_other_content_has_another_digest(other) -> None:
    assert digest(other) != DIGEST


def test_instants_are_equal_in_every_zone() -> None:
    berlin = pd.DataFrame({"t": pd.to_datetime(["2024-07-01T12:00"]).tz_localize("Europe/Berlin")})
    assert (
        digest(berlin)
        == digest(pd.DataFrame({"t": berlin["t"].dt.tz_convert("UTC")}))
        == digest(pl.from_pandas(berlin))
    )


def test_memory_order_bytes_order_and_nan_payloads_do_not_count() -> None:
    array = np.random.default_rng(0).normal(size=(20, 3))
    array[3, 1] = np.nan
    odd = array.copy()
    odd.view("u8")[3, 1] = 0x7FF8_0000_0000_BEEF
    assert len({digest(a) for a in (array, np.asfortranarray(array), array.astype(">f8"), odd, array.tolist())}) == 1
    assert digest(array) != digest(array.astype("f4"))
    assert digest(array.reshape(10, 6)) != digest(array)


def test_a_sparse_matrix_is_what_it_holds() -> None:
    dense = np.array([[0, 1.5, 0], [2, 0, 0]])
    coo = scipy.sparse.coo_matrix(dense)
    explicit = scipy.sparse.csr_matrix(([1.5, 2.0, 0.0], ([0, 1, 1], [1, 0, 2])), shape=(2, 3))
    before = explicit.nnz
    assert digest(coo) == digest(scipy.sparse.csc_matrix(dense)) == digest(explicit)
    assert explicit.nnz == before
    assert describe_dataset(coo).row_count == 2


def test_features_and_target_are_described_together() -> None:
    x, y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 1])
    ref = describe_dataset((x, y), name="toy", split="train")
    assert [c.name for c in ref.columns] == ["column-0", "column-1", "target"]
    assert (ref.row_count, ref.split, ref.name) == (3, "train", "toy")
    assert ref.digest != digest((x, 1 - y))
    assert digest({"x": x, "y": y}) == digest({"y": y, "x": x})
    assert [c.name for c in describe_dataset((FRAME, pd.Series(y.repeat(2)[:4]))).columns][-1] == "target"


def test_statistics_of_columns() -> None:
    columns = {c.name: c for c in describe_dataset(FRAME).columns}
    rate = columns["rate"]
    assert (rate.missing, rate.minimum, rate.maximum, rate.mean) == (1, -2.0, 1.5, 0.0)
    assert rate.standard_deviation == pytest.approx(np.std([0.5, 1.5, -2.0], ddof=1))
    assert (columns["count"].distinct, columns["live"].mean) == (4, 0.75)
    assert (columns["name"].missing, columns["name"].distinct, columns["name"].top) == (1, 2, {})
    named = describe_dataset(pd.DataFrame({"kind": ["a", "b", "a", "a", "b"]})).columns[0]
    assert named.top == {"a": 3, "b": 2}


def test_statistics_are_of_finite_values() -> None:
    (column,) = describe_dataset(np.array([1.0, np.inf, 3.0, np.nan])).columns
    assert (column.missing, column.mean, column.maximum) == (1, 2.0, 3.0)
    (empty,) = describe_dataset(np.array([np.nan])).columns
    assert (empty.mean, empty.minimum) == (None, None)


def test_names_of_people_do_not_reach_the_registry() -> None:
    frame = pd.DataFrame({"mail": [f"person-{i}@example.org" for i in range(50)]})
    assert describe_dataset(frame).columns[0].top == {}


def test_a_file_is_its_bytes(tmp_path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    ref = describe_dataset(path)
    assert (ref.name, ref.digest) == ("a.bin", to_digest(hashlib.sha256(b"content").hexdigest()))
    assert describe_dataset(str(path)) == ref


def test_a_directory_is_its_listing(tmp_path) -> None:
    for root in ("one", "two"):
        (tmp_path / root / "deep").mkdir(parents=True)
    for root, order in (("one", ("a", "deep/b")), ("two", ("deep/b", "a"))):
        for name in order:
            (tmp_path / root / name).write_text(name)
    first = digest(tmp_path / "one")
    assert first == digest(tmp_path / "two")
    (tmp_path / "two" / "deep" / "b").rename(tmp_path / "two" / "deep" / "c")
    assert first != digest(tmp_path / "two")


def test_parquet_and_csv_tell_their_schema(tmp_path) -> None:
    pq.write_table(ARROW, tmp_path / "a.parquet")
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    for name in ("a.parquet", "a.csv"):
        ref = describe_dataset(tmp_path / name)
        columns = {c.name: c for c in ref.columns}
        assert ref.row_count == 4
        assert (columns["count"].type, columns["count"].minimum, columns["count"].maximum) == ("int", 1, 4)
    (tmp_path / "b.csv").write_text('a,b\n1,2\n"3')
    assert describe_dataset(tmp_path / "b.csv").row_count is None


def test_links_vanished_and_empty_places_are_refused(tmp_path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(InvalidRequest, match="holds no file"):
        describe_dataset(tmp_path / "d")
    (tmp_path / "d" / "link").symlink_to("/etc/passwd")
    for path in (tmp_path / "d", tmp_path / "d" / "link"):
        with pytest.raises(InvalidRequest, match="symbolic link"):
            describe_dataset(path)
    with pytest.raises(InvalidRequest, match="no data"):
        describe_dataset(tmp_path / "gone.csv")


def test_places_names_and_references() -> None:
    assert describe_dataset("s3://bucket/march.parquet") == DatasetRef("march.parquet", uri="s3://bucket/march.parquet")
    assert describe_dataset("shuttle", version="2", relation="evaluated_on") == DatasetRef(
        "shuttle", version="2", relation="evaluated_on"
    )
    given = DatasetRef("x", digest="sha256:" + "0" * 64, relation="evaluated_on")
    assert describe_dataset(given, split="test") == DatasetRef(
        "x", digest=given.digest, split="test", relation="evaluated_on"
    )


@pytest.mark.parametrize("data", [object(), [[1], [1, 2]], pd.DataFrame({"a": [object()]})])
def test_what_has_no_stable_bytes_is_refused(data) -> None:
    with pytest.raises(InvalidRequest):
        describe_dataset(data)


def test_a_hundred_thousand_rows_of_fifty_columns_take_no_time() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(100_000, 50)))
    for column in range(10):
        frame[column] = rng.integers(0, 50, 100_000).astype(str)
    start = time.process_time()
    assert describe_dataset(frame).row_count == 100_000
    assert time.process_time() - start < 4  # 0.3 s on a quiet machine
