"""Plots: well-formed, inside their frame, and true to their numbers."""

import xml.etree.ElementTree as ET
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.datasets import ColumnProfile
from chopmark.domain.manifest import FileEntry
from chopmark.domain.usage import days_until
from chopmark.reports.plots import (
    Bar,
    Point,
    bars,
    column_ranges,
    file_sizes,
    line,
    loads_per_day,
    scale_ticks,
    stage_timeline,
)
from tests.domain.records import NOON
from tests.reports.stories import EVIL, a_move

SVG = "{http://www.w3.org/2000/svg}"
FINITE = st.floats(-1e12, 1e12)


def drawn(picture: str) -> ET.Element:
    root = ET.fromstring(picture)
    _, _, width, height = (float(n) for n in root.attrib["viewBox"].split())
    for element in root.iter():
        for name in ("x", "cx", "x1", "x2"):
            assert -0.01 <= float(element.get(name, 0)) <= width + 0.01, ET.tostring(element)
        for name in ("y", "cy", "y1", "y2"):
            assert -0.01 <= float(element.get(name, 0)) <= height + 0.01, ET.tostring(element)
    return root


@given(st.lists(FINITE, min_size=1, max_size=12), st.integers(0, 12))
def test_a_line_of_any_numbers(values: list[float], marked: int) -> None:
    root = drawn(line("f1", [Point(i, v) for i, v in enumerate(values)], marked))
    assert len(root.findall(f"{SVG}circle")) == len(values)


def test_a_line_rises_where_numbers_rise() -> None:
    root = drawn(line("f1", [Point(1, 0.1), Point(2, 0.5), Point(5, 0.9)], 5))
    dots = root.findall(f"{SVG}circle")
    assert [float(d.attrib["cy"]) for d in dots] == sorted((float(d.attrib["cy"]) for d in dots), reverse=True)
    xs = [float(d.attrib["cx"]) for d in dots]
    assert xs[2] - xs[1] == pytest.approx(3 * (xs[1] - xs[0]), abs=0.02)
    assert dots[2].attrib["r"] == "6"


@given(st.lists(st.tuples(FINITE, st.floats(0, 1e6)), min_size=1, max_size=8))
def test_bars_of_any_numbers(values: list[tuple[float, float]]) -> None:
    drawn(bars("t", [Bar(EVIL * (i % 3), v, f"{v:g}", deviation=d) for i, (v, d) in enumerate(values)]))


def test_bars_are_as_long_as_their_numbers() -> None:
    root = drawn(bars("t", [Bar("a", 2.0, "2"), Bar("b", 4.0, "4"), Bar("c", -1.0, "-1")]))
    a, b, c = (r for r in root.findall(f"{SVG}rect") if "rx" in r.attrib)
    assert float(b.attrib["width"]) == pytest.approx(2 * float(a.attrib["width"]), abs=0.02)
    assert float(c.attrib["x"]) + float(c.attrib["width"]) == pytest.approx(float(a.attrib["x"]), abs=0.02)


def test_stages_over_time() -> None:
    moves = [a_move("development", "staging", 2), a_move("staging", "production", 6)]
    root = drawn(stage_timeline(NOON, moves, NOON + timedelta(hours=12)))
    spans = [r for r in root.findall(f"{SVG}rect") if "rx" in r.attrib]
    widths = [float(s.attrib["width"]) for s in spans]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.05)
    assert widths[2] == pytest.approx(3 * widths[0], abs=0.05)
    drawn(stage_timeline(NOON, [], NOON))
    drawn(stage_timeline(NOON, moves, NOON))  # a clock that went back


def test_files_beyond_twelve_are_one_bar() -> None:
    files = [FileEntry(f"{'d' * 80}/{i}.bin", "weights", i * 100, "sha256:x") for i in range(20)]
    text = "".join(drawn(file_sizes(files)).itertext())
    assert "8 smaller" in text
    assert "19.bin" in text
    drawn(file_sizes([FileEntry("empty", "other", 0, "sha256:x")]))


@given(st.lists(st.integers(0, 2**60), min_size=1, max_size=70))
def test_loads_of_any_days(daily: list[int]) -> None:
    root = drawn(loads_per_day(days_until(NOON.date(), len(daily)), daily))
    drawn_bars = [r for r in root.findall(f"{SVG}rect") if r.find(f"{SVG}title") is not None]
    assert len(drawn_bars) == sum(1 for count in daily if count)
    for bar in drawn_bars:
        assert float(bar.attrib["height"]) >= 1
        assert float(bar.attrib["y"]) >= 30


def test_loads_are_as_high_as_their_numbers_and_where_their_days_are() -> None:
    days = days_until(NOON.date(), 60)
    root = drawn(loads_per_day(days, [10, *[0] * 29, 20, *[0] * 28, 40]))
    first, middle, last = (r for r in root.findall(f"{SVG}rect") if r.find(f"{SVG}title") is not None)
    assert float(middle.attrib["height"]) == pytest.approx(2 * float(first.attrib["height"]), abs=0.02)
    assert float(last.attrib["height"]) == pytest.approx(4 * float(first.attrib["height"]), abs=0.02)
    slot = (float(last.attrib["x"]) - float(first.attrib["x"])) / 59
    assert float(middle.attrib["x"]) - float(first.attrib["x"]) == pytest.approx(30 * slot, abs=0.02)
    assert [t.text for t in root.iter(f"{SVG}title")][1:] == [
        f"{days[0]}: 10 loads",
        f"{days[30]}: 20 loads",
        f"{days[59]}: 40 loads",
    ]
    words = [t.text for t in root.findall(f"{SVG}text")]
    assert words[-2:] == [str(days[0]), str(days[59])]


@pytest.mark.parametrize("most", [1, 2, 3, 5, 7, 8])
def test_nobody_loads_half_a_time(most: int) -> None:
    root = drawn(loads_per_day(days_until(NOON.date(), 2), [0, most]))
    ticks = [t.text or "" for t in root.findall(f"{SVG}text")[1:-2]]
    assert ticks[0] == "0"
    assert len(ticks) > 1
    assert all(tick.isdigit() for tick in ticks)


@given(st.lists(st.tuples(FINITE, FINITE, FINITE, st.floats(0, 1e9)), min_size=1, max_size=5))
def test_ranges_of_any_columns(columns: list[tuple[float, float, float, float]]) -> None:
    profiles = [
        ColumnProfile(EVIL, "float", minimum=min(a, b), maximum=max(a, b), mean=m, standard_deviation=s)
        for a, b, m, s in columns
    ]
    drawn(column_ranges("t", profiles))


@given(FINITE, FINITE, st.integers(2, 6))
def test_ticks_cover_their_numbers(one: float, other: float, count: int) -> None:
    low, high = min(one, other), max(one, other)
    ticks = scale_ticks(low, high, count)
    assert ticks == sorted(ticks)
    assert 1 <= len(ticks) <= 2 * count + 3
    if high > low:
        step = (ticks[-1] - ticks[0]) or 1
        assert ticks[0] <= low + 1e-9 * step
        assert ticks[-1] >= high - 1e-9 * step


def test_ticks_are_round() -> None:
    assert scale_ticks(0.91, 0.974, 3) == [0.9, 0.925, 0.95, 0.975]
    assert scale_ticks(5, 5, 3) == [5]
