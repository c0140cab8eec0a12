"""Profiles of rows from any library and file: the same of the same rows, and equal to what one pass over all rows gives."""

import decimal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from chopmark.errors import InvalidRequest, NotFound, Unsupported
from chopmark.formats import levels, tables
from chopmark.formats.columns import array_column
from chopmark.formats.data import describe_rows
from chopmark.formats.profiles import DatasetProfile, count_table, profile_of, read_profile, write_profile
from chopmark.formats.rows import table_of
from chopmark.formats.tables import table_of_columns, table_of_file
from chopmark.stats.binning import LevelBins, NumericBins, bins_of, count_values
from chopmark.stats.profile import Profile

RANDOM = np.random.default_rng(5)
ROWS = 3_000


def plain() -> dict[str, list[Any]]:
    amounts = RANDOM.lognormal(3, 1, ROWS).round(2).tolist()
    amounts[7] = None
    plans = RANDOM.choice(["free", "pro", "team"], ROWS).tolist()
    plans[9] = None
    return {
        "age": RANDOM.integers(18, 90, ROWS).tolist(),
        "amount": amounts,
        "is_new": (RANDOM.random(ROWS) < 0.3).tolist(),
        "plan": plans,
    }


PLAIN = plain()


def made(data: Any, **more: Any) -> DatasetProfile:
    found = profile_of(table_of(data), **more)
    assert found is not None
    return found


def frame() -> pd.DataFrame:
    return pd.DataFrame(PLAIN)


def test_the_profile_is_the_same_whichever_library_holds_the_rows(tmp_path: Path) -> None:
    wanted = write_profile(made(frame()))
    nullable = frame().convert_dtypes()
    arrow = pa.table(PLAIN)
    parquet.write_table(arrow, tmp_path / "a.parquet", row_group_size=700)
    frame().to_parquet(tmp_path / "b.parquet")
    shapes = [
        nullable,
        frame().astype({"plan": "category"}),
        frame().astype({"plan": object}),
        pl.DataFrame(PLAIN),
        pl.DataFrame(PLAIN).lazy(),
        pl.DataFrame(PLAIN).with_columns(pl.col("plan").cast(pl.Categorical)),
        arrow,
        arrow.set_column(3, "plan", arrow.column("plan").dictionary_encode()),
        arrow.to_pylist(),
        {name: np.array(values, dtype=object if None in values else None) for name, values in PLAIN.items()},
        (frame(), np.zeros(ROWS)),
        tmp_path / "a.parquet",
        str(tmp_path / "b.parquet"),
    ]
    for shape in shapes:
        assert write_profile(made(shape)) == wanted, type(shape)


def test_a_csv_file_gives_the_profile_of_its_frame(tmp_path: Path) -> None:
    whole = frame().dropna()  # an empty text is a text in CSV
    whole.to_csv(tmp_path / "rows.csv", index=False)
    whole.to_csv(tmp_path / "rows.tsv", index=False, sep="\t")
    for name in ("rows.csv", "rows.tsv"):
        assert write_profile(made(tmp_path / name)) == write_profile(made(whole))


def test_the_order_of_the_rows_changes_no_byte() -> None:
    scores = RANDOM.random(ROWS)
    labels = RANDOM.random(ROWS) < scores
    wanted = write_profile(made(frame(), scores=scores, labels=labels))
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(ROWS)
        shuffled = made(frame().iloc[order], scores=scores[order], labels=labels[order])
        assert write_profile(shuffled) == wanted


def test_it_is_what_the_statistics_make_of_all_rows_at_once() -> None:
    data = {name: np.array(values, dtype=object if None in values else None) for name, values in PLAIN.items()}
    assert made(frame()).columns == Profile.of(data).columns
    live = frame().sample(500, random_state=1)
    found = made(frame())
    assert count_table(found, table_of(live)).columns == found.count(live).columns


def test_it_is_read_as_it_was_written() -> None:
    scores = RANDOM.random(ROWS)
    found = made(frame().assign(when=datetime(2026, 1, 1, tzinfo=UTC)), scores=scores, labels=scores > 0.5)
    again = read_profile(write_profile(found))
    assert again == found
    assert isinstance(again, Profile)
    assert again.left_out == {"when": "times"}
    with pytest.raises(InvalidRequest):
        read_profile(b'{"rows": -1, "columns": []}')


def test_what_is_neither_numbers_nor_levels_is_left_out_and_named() -> None:
    odd = pd.DataFrame(
        {
            "kept": [1, 2, 2],
            "when": pd.to_datetime(["2026-01-01"] * 3),
            "day": [datetime(2026, 1, 1, tzinfo=UTC).date()] * 3,
            "span": pd.to_timedelta([1, 2, 3], unit="s"),
            "wave": [1j, 2j, 3j],
            "raw": [b"a", b"b", b"b"],
            "tags": [["a"], ["b"], []],
            "more": [{"a": 1}, None, {}],
        }
    )
    found = made(odd)
    assert [column.name for column in found.columns] == ["kept"]
    assert found.left_out == {
        "when": "times",
        "day": "times",
        "span": "spans of time",
        "wave": "complex numbers",
        "raw": "bytes",
        "tags": "values of type list",
        "more": "values of type dict",
    }


def test_nested_columns_and_the_index_of_a_frame_in_a_file_are_left_out(tmp_path: Path) -> None:
    indexed = frame().assign(nested=pd.Series([[1]] * ROWS, dtype=object)).set_index("age")
    indexed.to_parquet(tmp_path / "rows.parquet")
    found = made(tmp_path / "rows.parquet")
    assert found.left_out == {"nested": "nested values", "age": "index of a pandas frame"}
    assert [column.name for column in found.columns] == ["amount", "is_new", "plan"]


def test_every_kind_of_missing_is_missing() -> None:
    gone = pd.DataFrame(
        {
            "text": pd.Series(["a", None, np.nan, pd.NA, "a", "b", "b"], dtype=object),
            "number": [1.0, np.nan, np.inf, -np.inf, 2.0, 2.0, 1.0],
            "whole": pd.array([1, pd.NA, 3, 3, 1, 1, 1], dtype="Int64"),
            "truth": pd.array([True, pd.NA, False, True, True, False, True], dtype="boolean"),
            "nothing": pd.Series([None] * 7, dtype=object),
            "kind": pd.Categorical([1, 1, None, 2, 2, 1, 1]),
        }
    )
    found = made(gone)
    assert [column.reference.missing for column in found.columns] == [3, 1, 1, 1, 7, 1]
    kind, truth, number = found.column("kind"), found.column("truth"), found.column("number")
    assert isinstance(kind, LevelBins)
    assert kind.levels == ("1", "2")
    assert isinstance(truth, LevelBins)
    assert truth.levels == ("true", "false")
    assert isinstance(number, NumericBins)
    assert (number.minimum, number.maximum) == (1.0, 2.0)


def test_decimals_and_large_integers_are_numbers() -> None:
    found = made({"price": [decimal.Decimal("1.5"), decimal.Decimal(2), None], "id": [2**70, 1, 2**70]})
    assert {type(column) for column in found.columns} == {NumericBins}


def test_a_long_stretch_of_missing_decimals_in_a_file_does_not_make_them_levels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 2)
    values = [None, None, decimal.Decimal("1.5"), decimal.Decimal("2.5"), None, None]
    parquet.write_table(pa.table({"price": pa.array(values, pa.decimal128(5, 2))}), tmp_path / "rows.parquet")
    (column,) = made(tmp_path / "rows.parquet").columns
    assert isinstance(column, NumericBins)
    assert column.reference.missing == 4


def test_a_column_that_fails_is_named_with_what_to_do() -> None:
    with pytest.raises(InvalidRequest, match="'id'") as caught:
        made({"id": [10**400, 1, 1]})
    assert "profile_without=['id']" in caught.value.hint
    assert "profile=False" in caught.value.hint


def test_data_without_rows_or_columns_that_can_be_profiled_have_none() -> None:
    assert profile_of(table_of(frame().iloc[:0])) is None
    assert profile_of(table_of(pd.DataFrame({"when": pd.to_datetime(["2026-01-01"])}))) is None
    assert profile_of(table_of(pd.DataFrame())) is None


def test_columns_are_left_out_by_request() -> None:
    found = made(frame(), without=["plan"], labels="is_new")
    assert [column.name for column in found.columns] == ["age", "amount"]
    assert found.left_out == {"is_new": "labels", "plan": "left out by request"}
    assert found.calibration is None
    with pytest.raises(NotFound, match="'plam'") as caught:
        made(frame(), without=["plam"])
    assert "plan" in caught.value.hint


def test_scores_and_labels_are_columns_or_arrays() -> None:
    data = frame().assign(score=RANDOM.random(ROWS), label=RANDOM.integers(0, 2, ROWS))
    by_name = made(data, scores="score", labels="label")
    by_value = made(frame(), scores=data["score"], labels=data[["label"]].to_numpy())
    assert by_name.scores == by_value.scores
    assert by_name.calibration == by_value.calibration
    assert by_name.calibration is not None
    assert sum(by_name.calibration.positives) == int(data["label"].sum())
    assert by_name.columns == by_value.columns
    classes = made(frame(), scores=data["label"].map({0: "no", 1: "yes"})).scores
    assert isinstance(classes, LevelBins)
    assert set(classes.levels) == {"yes", "no"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"scores": np.zeros(ROWS - 1)}, "shape"),
        ({"scores": np.zeros((ROWS, 2))}, "shape"),
        ({"labels": np.zeros(ROWS)}, "Labels alone"),
        ({"scores": np.zeros(ROWS), "labels": np.full(ROWS, 2)}, "probability and a label"),
        ({"scores": np.full(ROWS, np.nan), "labels": np.zeros(ROWS)}, "finite"),
        ({"scores": ["a"] * ROWS, "labels": np.zeros(ROWS)}, "are numbers"),
    ],
)
def test_scores_and_labels_that_do_not_fit_are_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        made(frame(), **more)
    assert caught.value.hint


def test_other_rows_are_counted_and_others_are_refused(tmp_path: Path) -> None:
    found = made(frame())
    live = frame().assign(extra=1)[["plan", "is_new", "extra", "amount", "age"]]
    live.to_parquet(tmp_path / "live.parquet")
    counts = count_table(found, table_of(tmp_path / "live.parquet"))
    assert counts == found.reference
    with pytest.raises(NotFound, match="'age'"):
        count_table(found, table_of(live.drop(columns="age")))
    with pytest.raises(InvalidRequest, match="no scores"):
        count_table(found, table_of(live), scores=np.zeros(ROWS))
    with pytest.raises(InvalidRequest, match="'plan' holds times"):
        count_table(found, table_of(live.assign(plan=pd.Timestamp("2026-01-01"))))
    with pytest.raises(InvalidRequest, match="'age'"):
        count_table(found, table_of(live.assign(age="old")))


def test_arrays_have_numbered_columns() -> None:
    assert [c.name for c in made(np.ones((4, 2))).columns] == ["column-0", "column-1"]
    assert [c.name for c in made([1.0, 2.0]).columns] == ["column-0"]
    with pytest.raises(InvalidRequest, match="no table"):
        table_of(np.ones((2, 2, 2)))
    with pytest.raises(InvalidRequest, match="no table"):
        table_of(7)


def test_names_are_kept_as_they_are() -> None:
    names = ["a.b", "", "ü/ö\n", "x" * 300]
    rows = pd.DataFrame({name: [1, 2, 2] for name in names})
    assert [c.name for c in read_profile(write_profile(made(rows))).columns] == names
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(InvalidRequest, match="Several columns are called 'a'"):
        table_of(twice)


def test_dots_in_names_of_a_file_are_no_path(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a.b": [1, 2], "a": [{"b": 7}, {"b": 8}], "c": [1, 1]}), tmp_path / "rows.parquet")
    found = made(tmp_path / "rows.parquet")
    column = found.column("a.b")
    assert isinstance(column, NumericBins)
    assert column.maximum == 2
    assert found.left_out == {"a": "nested values"}


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing")
    (tmp_path / "rows.json").write_text("{}")
    with pytest.raises(InvalidRequest, match=r"bad\.parquet cannot be read"):
        table_of_file(tmp_path / "bad.parquet")
    with pytest.raises(InvalidRequest, match=r"rows\.json is no table"):
        table_of(tmp_path / "rows.json")
    with pytest.raises(NotFound, match="no file"):
        table_of(tmp_path / "gone.csv")
    parquet.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "twice.parquet")
    with pytest.raises(InvalidRequest, match="Several columns are called 'a'"):
        table_of_file(tmp_path / "twice.parquet")


def test_without_pyarrow_a_file_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame().to_parquet(tmp_path / "rows.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(Unsupported, match="needs pyarrow"):
        table_of_file(tmp_path / "rows.parquet")
    assert describe_rows(tmp_path / "rows.parquet").obstacle == "pyarrow is not installed"


def test_what_takes_long_is_not_read_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame().to_parquet(tmp_path / "rows.parquet")
    frame().to_csv(tmp_path / "rows.csv")
    assert describe_rows(tmp_path / "rows.parquet").obstacle == ""
    assert describe_rows(np.ones((2, 1_001))).obstacle == "it has 1,001 columns"
    monkeypatch.setattr(tables, "FILE_CELLS_MAX", 11_999)
    assert describe_rows(tmp_path / "rows.parquet").obstacle == "it has 12,000 values"
    monkeypatch.setattr(tables, "FILE_COLUMNS_MAX", 3)
    assert describe_rows(tmp_path / "rows.parquet").obstacle == "it has 4 columns"
    monkeypatch.setattr(tables, "CSV_SIZE_BYTES_MAX", 10)
    monkeypatch.setattr("chopmark.formats.tabular_files.CSV_SIZE_BYTES_MAX", 10)
    described = describe_rows(tmp_path / "rows.csv")
    assert described.obstacle == "it is a text of 0 MiB"
    assert described.table is not None
    assert described.table().rows == ROWS


# Levels

WORDS = st.lists(
    st.one_of(st.none(), st.sampled_from(["a", "b", "c", "dd", "é", ""]), st.text(max_size=3)), min_size=1, max_size=60
)


@settings(max_examples=200)
@given(WORDS, st.integers(1, 9), st.integers(1, 6), st.integers(0, 30))
def test_levels_are_counted_in_parts_as_all_at_once(
    words: list[str | None], chunk_rows: int, most: int, kept: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "CHUNK_ROWS", chunk_rows)
        patch.setattr(levels, "LEVELS_MAX", most)
        patch.setattr(levels, "KEPT_MAX", kept)
        values = np.array(words, dtype=object)
        column = array_column("word", values)
        table = table_of_columns([column], len(words))
        found = levels.level_bins("word", table.read("word").level_counts)
        wanted = bins_of("word", values, levels=most)
        assert found == wanted
        assert isinstance(wanted, LevelBins)
        assert levels.count_levels(found, table.read("word").level_counts()) == wanted.reference
        in_arrow = [
            levels.counts_in_arrow(pa.array(words[i : i + chunk_rows], pa.string()))
            for i in range(0, len(words), chunk_rows)
        ]
        assert levels.level_bins("word", lambda: in_arrow) == wanted


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_many_levels_leave_a_small_profile(copies: int) -> None:
    names = np.repeat([f"user-{i:06d}" for i in range(100_000)], copies).astype(object)
    (column,) = made({"name": names}).columns
    assert column == bins_of("name", names)
    assert len(msgspec.json.encode(column)) < 3_000


def test_long_texts_are_levels_by_their_beginning() -> None:
    texts = ["x" * 100 + "1", "x" * 100 + "2", "y", "y"] * 5
    (column,) = made({"text": texts}).columns
    assert isinstance(column, LevelBins)
    assert column == bins_of("text", np.array(texts, dtype=object))
    assert (column.distinct, column.levels) == (2, ("x" * 100, "y"))


def test_one_and_true_are_two_levels_in_any_order() -> None:
    mixed = [True, 1, 1.0, "a", 1, True]
    forms = {write_profile(made({"v": np.array(order, dtype=object)})) for order in (mixed, mixed[::-1])}
    assert len(forms) == 1
    column = read_profile(forms.pop()).column("v")
    assert isinstance(column, LevelBins)
    assert dict(zip(column.levels, column.reference.counts, strict=False)) == {"1": 3, "true": 2, "a": 1}


def test_numbers_are_counted_in_the_levels_of_a_reference() -> None:
    found = made(pd.DataFrame({"kind": pd.Categorical([1, 2, 2, 3, 3, 3])}))
    counts = count_table(found, table_of({"kind": [3, 3, 7]}))
    assert counts.column("kind").counts == count_values(found.column("kind"), np.array(["3", "3", "7"])).counts
