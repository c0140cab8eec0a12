"""What people see on a terminal of eighty columns; what is piped is in ``test_answers``."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.cli.tables import fitted_widths
from chopmark.cli.words import FEW_LENGTH, few
from tests.cli.running import COLUMNS, Program


@pytest.fixture
def screen(program: Program) -> Program:
    """A registry with a version that has much to say, before a terminal."""
    metrics = [f"{name}=0.{n}234567" for n, name in enumerate(("roc_auc", "average_precision", "recall_at_1000"), 1)]
    params = [f"isolationforest__setting_{n}={n if n == 30 else 'null'}" for n in range(40)]
    flags = [*(f"--metric={m}" for m in metrics), *(f"--param={p}" for p in params)]
    program.ok("register", "shuttle-neighbours", program.file(), *flags)
    program.ok("alias", "set", "shuttle-neighbours@champion", "shuttle-neighbours:1")
    program.on_terminal = True
    return program


def lines(text: str) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in text.splitlines()]


def test_a_version_takes_few_lines(screen: Program) -> None:
    shown = lines(screen.ok("list").out)
    assert max(map(len, shown)) <= int(COLUMNS)
    assert len(shown) <= 3
    assert shown[0].split() == ["REFERENCE", "SEMVER", "STAGE", "ALIASES", "FORMAT", "METRICS"]
    assert "shuttle-neighbours:1" in shown[1]
    assert "roc_auc=0.1235" in shown[1]
    assert "+2" in " ".join(shown)


def test_a_wide_terminal_shows_all(screen: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = "\n".join(lines(screen.ok("list").out))
    assert "recall_at_1000=0.323457" in shown
    assert "MADE" in shown


def test_a_reference_is_folded_rather_than_cut(screen: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = lines(screen.ok("list").out)
    assert max(map(len, shown)) <= 40
    assert "".join(line.split(" ")[0] for line in shown[1:]).endswith("shuttle-neighbours:1")


def test_facts_are_wrapped_below_each_other(screen: Program) -> None:
    shown = lines(screen.ok("get", "shuttle-neighbours").out)
    long = [line for line in shown if len(line) > int(COLUMNS)]
    assert all(re.fullmatch(r"  digest +sha256:[0-9a-f]{64}", line) for line in long)
    assert any(re.match(r"  metrics +roc_auc=0.123457, average_precision", line) for line in shown)


def test_settings_of_a_pipeline_that_say_nothing_are_counted(screen: Program) -> None:
    text = " ".join(line.strip() for line in lines(screen.ok("get", "shuttle-neighbours").out))
    assert "params isolationforest__setting_30=30, … 39 more with --json" in re.sub(" +", " ", text)
    params = screen.ok("get", "shuttle-neighbours", "--json").json["params"]
    assert len(params) == 40


@given(st.lists(st.text("ab", max_size=200)))
def test_few_parts_are_as_many_as_are_read(parts: list[str]) -> None:
    shown, _, rest = few(parts, len(parts)).partition(", … ")
    assert len(shown) <= max(FEW_LENGTH, *map(len, parts), 0)
    assert shown.split(", ") == parts[: len(shown.split(", "))] or parts == []
    left = int(rest.split()[0]) if rest else 0
    assert len(shown.split(", ")) + left == max(len(parts), 1)


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=9), st.integers(9, 200))
def test_columns_fit_and_keep_what_they_can(columns: list[tuple[int, int]], width: int) -> None:
    natural = [max(pair) for pair in columns]
    least = [min(pair) for pair in columns]
    widths = fitted_widths(natural, least, width)
    assert sum(widths) <= width
    assert all(0 < w <= n for w, n in zip(widths, natural, strict=True))
    if sum(natural) <= width:
        assert widths == natural
    if sum(least) <= width:
        assert all(w >= m for w, m in zip(widths, least, strict=True))
