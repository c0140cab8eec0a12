"""What stands between columns: seen from the first lines, or refused; never one column of texts that says nothing."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.errors import InvalidRequest
from chopmark.formats.rows import table_of
from chopmark.formats.text_dialects import Dialect, dialect_of


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("a,b\n1,2\n", Dialect(",")),
        ("a;b\n1;2\n", Dialect(";")),
        ("a\tb\n1\t2\n", Dialect("\t")),
        ("a|b\n1|2\n", Dialect("|")),
        ("a;b\n1,5;2,25\n3;4\n", Dialect(";", ",")),
        ("a;b\n1,5;2.25\n", Dialect(";")),
        ("a;b;c\nx, y;z, w;1\n", Dialect(";")),
        ('"a;b",c\n"1;2",3\n', Dialect(",")),
        ("a,b;c\n1,2;3\n", Dialect(",")),
        ("a\n1\n", Dialect(",")),
        ("a\nx;y\n", Dialect(",")),
        ("", Dialect(",")),
        ("\ufeffa;b\r\n1;2\r\n", Dialect(";")),
        ("a;b\n", Dialect(";")),
        ('a;b\n"1;\n2";3\n', Dialect(";")),
        ("a;b\n1;2\n\n3;4\n", Dialect(";")),
    ],
)
def test_dialects(text: str, dialect: Dialect) -> None:
    assert dialect_of(text.encode()) == dialect


def test_a_header_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="3 columns by semicolons, one by commas") as caught:
        dialect_of(b"a;b;c\n1;2\n3;4;5\n6;7;8\n")
    assert "Parquet" in (caught.value.hint or "")


def test_the_name_of_the_file_decides_where_the_lines_speak_for_several() -> None:
    text = b"a,b\tc,d\n1,2\t3,4\n"
    assert dialect_of(text).delimiter == ","
    assert dialect_of(text, usual="\t").delimiter == "\t"


@given(st.lists(st.sampled_from(["x", "1", "2.5", ""]), min_size=2, max_size=5), st.sampled_from(",;\t|"))
def test_what_is_written_is_found(values: list[str], mark: str) -> None:
    lines = [mark.join(f"c{i}" for i in range(len(values))), mark.join(values)]
    assert dialect_of("\n".join(lines).encode()).delimiter == mark


@pytest.mark.parametrize(("mark", "point"), [(";", ","), (";", "."), ("|", "."), ("\t", ".")])
def test_a_file_has_its_columns(tmp_path: Path, mark: str, point: str) -> None:
    frame = pd.DataFrame({"amount": [1.5, 2.25, 3.0], "country": ["de", "fr", "it"]})
    frame.to_csv(tmp_path / "rows.csv", sep=mark, decimal=point, index=False)
    table = table_of(tmp_path / "rows.csv")
    assert list(table.columns) == ["amount", "country"]
    [column] = table.read("amount")
    assert list(column.values) == [1.5, 2.25, 3.0]
