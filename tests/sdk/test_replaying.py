"""Logged inputs come back as the arrays that they were, whatever their types, and answers are held against those that were given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

import chopmark as cm
from chopmark.abc.predicting import Layout
from chopmark.abc.prediction_logs import LogRequest
from chopmark.domain.prediction_logs import LogAbout, LogFileName, LogReplay, StoredLog, to_go
from chopmark.domain.signature import Field
from chopmark.formats.prediction_files import open_parquet
from chopmark.sdk.log_files import Wanted, log_files
from chopmark.sdk.replaying import replayed
from chopmark.testing.registry import memory_registry

ABOUT = LogAbout(
    endpoint="fraud-api",
    endpoint_id=UUID(int=1),
    model="fraud",
    version=3,
    version_id=UUID(int=3),
    digest="sha256:ab",
    router="ab12",
)
VERSION = memory_registry().register("fraud", {"threshold": 0.7})


@dataclass
class Told:
    """A model that answers what a function says, and notes what it was asked."""

    layout: Layout
    answer: Callable[[Any, int], dict[str, Any]]
    words: str = "told"

    def __post_init__(self) -> None:
        self.asked: list[Any] = []

    def sample(self, rows: int) -> Any:
        raise NotImplementedError

    def predict(self, inputs: Any, outputs: Sequence[str] = ()) -> dict[str, Any]:
        self.asked.append(inputs)
        first = next(iter(inputs.values())) if isinstance(inputs, dict) else inputs
        found = self.answer(inputs, len(first))
        return {name: found[name] for name in outputs}

    def close(self) -> None:
        pass


def layout(kind: Any, *fields: Field, dtype: str = "", outputs: Sequence[str] = ("output-0",)) -> Layout:
    given = tuple(Field(name, "float", "float64", (-1,)) for name in outputs)
    return Layout(kind=kind, inputs=fields, dtype=dtype, outputs=given)


def written(directory: Path, made: Layout, *requests: tuple[Any, dict[str, Any]], redact: tuple[str, ...] = ()) -> None:
    form = open_parquet()
    logged = []
    for number, (inputs, outputs) in enumerate(requests):
        count = len(next(iter(outputs.values())))
        logged.append(LogRequest(1_700_000_000_000 + number, f"r{number}", "stable", 7, inputs, outputs, count, count))
    batch = form.batch(ABOUT, logged, made)
    for number, data in enumerate(form.files(structs.replace(ABOUT, redacted=redact), [batch])):
        name = LogFileName("default", "fraud-api", datetime(2026, 3, 1), number, 1, "ab12")  # noqa: DTZ001
        path = directory.joinpath(*name.parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def again(directory: Path, model: Told, rows_max: int | None = None) -> LogReplay:
    return replayed(VERSION, model, log_files(Wanted(directory)), rows_max)


def same(one: Any, other: Any) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.kind in "fM":
        return bool(((one == other) | ((one != one) & (other != other))).all())  # noqa: PLR0124
    return one.tolist() == other.tolist()


def objects(*values: Any) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array


@pytest.mark.parametrize(
    ("field", "array"),
    [
        (Field("x", "bool", "bool"), np.array([True, False])),
        (Field("x", "bool", "bool", nullable=True), np.array([True, None], object)),
        (Field("x", "int", "int8"), np.array([-128, 127], np.int8)),
        (Field("x", "int", "uint64"), np.array([0, 2**64 - 1], np.uint64)),
        (Field("x", "int", "int64", nullable=True), np.array([7.0, np.nan])),
        (Field("x", "float", "float16"), np.array([1.5, np.nan], np.float16)),
        (Field("x", "float", "float32", nullable=True), np.array([0.1, np.nan], np.float32)),
        (Field("x", "float", "float64"), np.array([5e-324, -0.0])),
        (Field("x", "string", "object", nullable=True), objects("0123", None)),
        (Field("x", "category", "object", nullable=True), objects("CH", 7)),
        (Field("x", "category", "object", nullable=True), objects("CH", None)),
        (Field("x", "bytes", "object", nullable=True), objects(b"\x00\xff", None)),
        (
            Field("x", "datetime", "datetime64[ns]", nullable=True),
            np.array(["2026-03-01T00:00:00.000000001", "NaT"], "M8[ns]"),
        ),
        (Field("x", "object", "object", nullable=True), objects({"a": [1]}, None)),
    ],
    ids=lambda value: f"{value.type}-{value.dtype}-{value.nullable}" if isinstance(value, Field) else "",
)
def test_a_column_comes_back_as_it_was(tmp_path: Path, field: Field, array: Any) -> None:
    made = layout("table", field)
    written(tmp_path, made, ({"x": array}, {"output-0": np.ones(2)}), ({"x": array}, {"output-0": np.ones(2)}))
    model = Told(made, lambda _, rows: {"output-0": np.ones(rows)})
    assert again(tmp_path, model).agreement == 1.0
    (asked,) = model.asked
    assert same(asked["x"], np.concatenate([array, array]))


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3)), min_size=1, max_size=6),
    st.sampled_from(["float32", "float64", "int16"]),
)
@settings(max_examples=60, deadline=None)
def test_tensors_of_any_lengths_come_back_as_they_were(tmp_path_factory: Any, shapes: Any, dtype: str) -> None:
    directory = tmp_path_factory.mktemp("log")
    kind = "int" if dtype == "int16" else "float"
    made = layout("tensors", Field("x", kind, dtype, (-1, -1, 2)), Field("y", kind, dtype, (-1, 2)))  # type: ignore[arg-type]
    random = np.random.default_rng(len(shapes))
    asked = [
        {"x": random.normal(size=(rows, n, 2)).astype(dtype), "y": random.normal(size=(rows, 2)).astype(dtype)}
        for rows, n in shapes
    ]

    def answer(inputs: Any, rows: int) -> dict[str, Any]:
        return {"output-0": inputs["x"].reshape(rows, -1).sum(axis=1) + inputs["y"].sum(axis=1)}

    written(directory, made, *((inputs, answer(inputs, len(inputs["x"]))) for inputs in asked))
    model = Told(made, answer)
    found = again(directory, model)
    assert (found.rows, found.agreeing) == (sum(rows for rows, _ in shapes), found.rows)
    rebuilt = [row.tolist() for inputs in model.asked for row in inputs["x"]]
    assert rebuilt == [row.tolist() for inputs in asked for row in inputs["x"]]
    assert {inputs["x"].dtype.name for inputs in model.asked} == {dtype}
    assert {inputs["x"].shape[1:] for inputs in model.asked} == {inputs["x"].shape[1:] for inputs in asked}


def test_vectors_that_are_answered_are_compared_by_their_rows(tmp_path: Path) -> None:
    made = layout("matrix", Field("a", "float", "float32"), Field("b", "float", "float32"), dtype="float32")
    asked = np.array([[1, 2], [3, np.nan], [5, 6]], np.float32)
    given = {"output-0": np.array([[0.1, 0.9], [np.nan, 1.0], [0.3, 0.7]]), "label": np.array(["a", "b", "c"])}
    written(tmp_path, made, (asked, given))
    outputs = ("output-0", "label")
    made = layout("matrix", *made.inputs, dtype="float32", outputs=outputs)
    now = {"output-0": np.array([[0.1, 0.9 + 1e-12], [np.nan, 1.0], [0.3, 0.9]]), "label": np.array(["a", "z", "c"])}
    model = Told(made, lambda *_: now)
    found = again(tmp_path, model)
    assert same(model.asked[0], asked)
    assert (found.rows, found.agreeing, found.outputs) == (3, 1, outputs)
    second, third = found.differing
    assert (second.row, second.logged, second.now) == (1, {"label": "b"}, {"label": "z"})
    assert (third.row, third.logged, third.now) == (2, {"output-0": [0.3, 0.7]}, {"output-0": [0.3, 0.9]})
    assert found.shift_max_abs == pytest.approx(0.1)
    assert found.shift_mean == pytest.approx(0.1 / 3)


def test_what_was_asked_of_some_requests_only_is_compared_there(tmp_path: Path) -> None:
    made = layout("matrix", Field("a", "float", "float64"), dtype="float64", outputs=("output-0", "more"))
    rows = np.ones((2, 1))
    written(
        tmp_path,
        made,
        (rows, {"output-0": np.ones(2)}),
        (rows, {"output-0": np.ones(2), "more": np.zeros(2)}),
        (rows, {"more": np.zeros(2)}),
    )
    model = Told(made, lambda _, count: {"output-0": np.ones(count), "more": np.full(count, 5.0)})
    found = again(tmp_path, model)
    assert (found.rows, found.agreeing) == (6, 2)
    assert again(tmp_path, model, rows_max=3).rows == 3


def test_a_column_that_was_left_out_is_needed_or_is_not(tmp_path: Path) -> None:
    fields = (Field("a", "float", "float64"), Field("b", "float", "float64", nullable=True))
    made = layout("matrix", *fields, dtype="float64")
    written(tmp_path, made, (np.ones((2, 2)), {"output-0": np.ones(2)}), redact=("input.b",))
    with pytest.raises(cm.errors.Conflict, match=r"needs input\.b"):
        again(tmp_path, Told(made, lambda _, rows: {"output-0": np.ones(rows)}))
    less = layout("matrix", fields[0], dtype="float64")
    assert again(tmp_path, Told(less, lambda _, rows: {"output-0": np.ones(rows)})).agreement == 1.0
    other = layout("matrix", fields[0], dtype="float64", outputs=("score",))
    with pytest.raises(cm.errors.InvalidRequest, match="gives score"):
        again(tmp_path, Told(other, lambda _, rows: {"score": np.ones(rows)}))


def test_answers_that_were_left_out_are_compared_with_nothing(tmp_path: Path) -> None:
    made = layout("matrix", Field("a", "float", "float64"), dtype="float64")
    written(tmp_path, made, (np.ones((2, 1)), {"output-0": np.ones(2)}), redact=("output.output-0",))
    with pytest.raises(cm.errors.Conflict, match="without what was answered"):
        again(tmp_path, Told(made, lambda _, rows: {"output-0": np.ones(rows)}))


def test_a_missing_value_where_a_version_takes_none_and_a_model_that_fails_are_told(tmp_path: Path) -> None:
    made = layout("table", Field("a", "int", "int64", nullable=True))
    written(tmp_path, made, ({"a": np.array([1.0, np.nan])}, {"output-0": np.ones(2)}))
    strict = layout("table", Field("a", "int", "int64"))
    with pytest.raises(cm.errors.InvalidRequest, match="other types"):
        again(tmp_path, Told(strict, lambda _, rows: {"output-0": np.ones(rows)}))

    def fail(*_: Any) -> Any:
        raise ValueError("CH9300762011623852957")

    with pytest.raises(cm.errors.ModelFailed, match="ValueError") as told:
        again(tmp_path, Told(made, fail))
    assert "CH93" not in str(told.value)


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(0, 200), st.integers(0, 60))
def test_as_few_of_the_oldest_go_as_make_room(sizes: list[int], bytes_max: int, coming: int) -> None:
    stored = [StoredLog(("p", "e", "2026-03-01", f"{n:03d}"), size) for n, size in enumerate(sizes)]
    going = to_go(reversed(stored), bytes_max, coming)
    assert going == stored[: len(going)]
    left = sum(each.size_bytes for each in stored[len(going) :])
    assert left + coming <= bytes_max or len(going) == len(stored)
    if going:
        assert left + going[-1].size_bytes + coming > bytes_max
