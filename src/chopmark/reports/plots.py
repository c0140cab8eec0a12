"""Small pictures for reports, as SVG of our own: no library, the same bytes everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from chopmark.domain.datasets import ColumnProfile
from chopmark.domain.lifecycle import StageMove
from chopmark.domain.manifest import FileEntry
from chopmark.domain.names import counted
from chopmark.reports.page import size_text
from chopmark.reports.svg import Markup, document, element, text_width

__all__ = [
    "NARROW",
    "Bar",
    "Point",
    "bars",
    "column_ranges",
    "file_sizes",
    "line",
    "loads_per_day",
    "scale_ticks",
    "stage_timeline",
]

WIDTH = 560.0
_ROW = 24.0
_SMALL = 11.0
_FILES_MAX = 12
_LABEL_LENGTH_MAX = 200  # no label has room for more, and fitting one takes its time
_PLAIN_MAX = 1e7
NARROW = 320.0
"""Width of plots that stand beside each other."""

_STAGES = ("production", "canary", "staging", "development", "deprecated", "archived")
_STAGE_COLOURS = {
    "production": "good",
    "canary": "warn",
    "staging": "1",
    "development": "muted",
    "deprecated": "bad",
    "archived": "line",
}


class Point(NamedTuple):
    """A value of one version."""

    number: int
    value: float


class Bar(NamedTuple):
    """A bar: what it is of, its value, the words beside it, its colour, and a deviation."""

    label: str
    value: float
    text: str
    colour: str = "1"
    deviation: float = 0.0


def line(title: str, points: Sequence[Point], marked: int) -> Markup:
    """A metric over the versions of a model, the version in question marked.

    Points are in order of their numbers, at least one.
    """
    width, height, left, right, top, bottom = 300.0, 150.0, 52.0, 16.0, 30.0, 24.0
    values = [p.value for p in points]
    ticks = scale_ticks(min(values), max(values), 3)
    low, high = min(ticks[0], *values), max(ticks[-1], *values)
    first, last = points[0].number, points[-1].number

    def x(number: float) -> float:
        share = 0.5 if last == first else (number - first) / (last - first)
        return left + share * (width - left - right)

    def y(value: float) -> float:
        share = 0.5 if high == low else (value - low) / (high - low)
        return height - bottom - share * (height - top - bottom)

    parts = [_text(fitted(title, width - 12), 6, 16, weight="600")]
    for tick in ticks:
        parts += [
            element("line", {"x1": left, "x2": width - right, "y1": y(tick), "y2": y(tick), "class": "cm-s-line"}),
            _text(_number(tick), left - 6, y(tick) + 4, anchor="end", colour="muted", size=_SMALL),
        ]
    if len(points) > 1:
        path = " ".join(f"{x(p.number):.1f},{y(p.value):.1f}" for p in points)
        parts.append(element("polyline", {"points": path, "fill": "none", "class": "cm-s-1", "stroke-width": 2}))
    parts += [_dot(p, x(p.number), y(p.value), p.number == marked) for p in points]
    parts += [_below(n, x(n), height - 6) for n in _labelled(points, marked, x)]
    shown = next((_number(p.value, 6) for p in points if p.number == marked), "none")
    return document(width, height, title, *parts, about=f"{title} of versions {first} to {last}; here {shown}")


def _dot(point: Point, x: float, y: float, is_marked: bool) -> Markup:
    told = element("title", None, f"version {point.number}: {_number(point.value, 6)}")
    if is_marked:
        return element("circle", {"cx": x, "cy": y, "r": 6, "class": "cm-f-2 cm-s-paper", "stroke-width": 2}, told)
    return element("circle", {"cx": x, "cy": y, "r": 3, "class": "cm-f-1"}, told)


def _below(number: int, x: float, y: float) -> Markup:
    return _text(str(number), x, y, anchor="middle", colour="muted", size=_SMALL)


def _labelled(points: Sequence[Point], marked: int, x: object) -> list[int]:
    """Numbers to write below: the first, the last and the marked one where they do not touch."""
    place = x if callable(x) else float
    kept: list[int] = [marked] if any(p.number == marked for p in points) else []
    for number in (points[0].number, points[-1].number):
        if all(abs(place(number) - place(k)) > text_width(f"{number}{k}", _SMALL) for k in kept):
            kept.append(number)
    return kept


def bars(title: str, entries: Sequence[Bar], *, width: float = WIDTH) -> Markup:
    """Values as bars from zero below each other; a deviation is a thin line at the bar's end.

    At least one entry; values may be negative.
    """
    labels = [fitted(e.label, width * 0.34) for e in entries]
    left = 12 + max(text_width(text) for text in labels)
    right = 14 + max(text_width(e.text) for e in entries)
    room = max(width - left - right, 60)
    low = min(0.0, *(e.value - e.deviation for e in entries))
    high = max(0.0, *(e.value + e.deviation for e in entries))
    span = (high - low) or 1.0
    zero = left + (0 - low) / span * room
    top = 28.0
    parts = [_text(fitted(title, width - 12), 6, 17, weight="600")]
    for i, (entry, label) in enumerate(zip(entries, labels, strict=True)):
        middle = top + i * _ROW + _ROW / 2
        end = left + (entry.value - low) / span * room
        parts.append(_text(label, left - 8, middle + 4, anchor="end", full=entry.label))
        parts.append(
            element(
                "rect",
                {
                    "x": min(zero, end),
                    "y": middle - 7,
                    "width": max(abs(end - zero), 1),
                    "height": 14,
                    "rx": 2,
                    "class": f"cm-f-{entry.colour}",
                },
            )
        )
        if entry.deviation:
            reach = entry.deviation / span * room
            ends = {"x1": max(end - reach, left), "x2": end + reach, "y1": middle, "y2": middle}
            parts.append(element("line", {**ends, "class": "cm-s-ink", "stroke-width": 1.5}))
        parts.append(_text(entry.text, left + room + 8, middle + 4, colour="muted"))
    parts.append(
        element("line", {"x1": zero, "x2": zero, "y1": top, "y2": top + len(entries) * _ROW, "class": "cm-s-muted"})
    )
    return document(width, top + len(entries) * _ROW + 8, title, *parts)


def stage_timeline(created_at: datetime, moves: Sequence[StageMove], until: datetime) -> Markup:
    """Which stage a version was in, over time.

    Parameters
    ----------
    created_at
        When it began, in ``development``.
    moves
        Oldest first.
    until
        Where the picture ends.
    """
    spans: list[tuple[str, datetime, datetime]] = []
    stage, since = (moves[0].from_stage if moves else "development"), created_at
    for move in moves:
        spans.append((stage, since, move.at))
        stage, since = move.to_stage, move.at
    spans.append((stage, since, max(until, since)))
    rows = [s for s in _STAGES if any(span[0] == s for span in spans)]
    left, right, top = 108.0, 16.0, 12.0
    total = max((spans[-1][2] - created_at).total_seconds(), 1e-6)

    def x(time: datetime) -> float:
        return left + (time - created_at).total_seconds() / total * (WIDTH - left - right)

    bottom = top + len(rows) * _ROW
    parts = [_text(s, left - 10, top + i * _ROW + 16, anchor="end") for i, s in enumerate(rows)]
    for (name, start, end), following in zip(spans, [*spans[1:], None], strict=True):
        y = top + rows.index(name) * _ROW + 5
        told = element("title", None, f"{name} from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC")
        box: dict[str, str | float] = {"x": x(start), "y": y, "width": max(x(end) - x(start), 3), "height": 14, "rx": 2}
        if following is not None:
            below = top + rows.index(following[0]) * _ROW + 12
            step: dict[str, str | float] = {"x1": x(end), "x2": x(end), "y1": y + 7, "y2": below, "class": "cm-s-muted"}
            parts.append(element("line", {**step, "stroke-dasharray": "2 2"}))
        parts.append(element("rect", {**box, "class": f"cm-f-{_STAGE_COLOURS[name]}"}, told))
    form = "%Y-%m-%d" if total > 2 * 86_400 else "%m-%d %H:%M" if total > 3_600 else "%H:%M:%S"  # noqa: PLR2004
    parts += [
        _text(f"{created_at:{form}}", left, bottom + 18, colour="muted", size=_SMALL),
        _text(f"{spans[-1][2]:{form}}", WIDTH - right, bottom + 18, anchor="end", colour="muted", size=_SMALL),
    ]
    return document(
        WIDTH, bottom + 28, "Stages over time", *parts, about="; ".join(f"{n} from {s:%Y-%m-%d}" for n, s, _ in spans)
    )


def file_sizes(files: Sequence[FileEntry]) -> Markup:
    """Files by size, the largest first, at most 12; the rest is one bar. At least one file."""
    largest = sorted(files, key=lambda f: -f.size_bytes)
    entries = [Bar(_tail(f.path, WIDTH * 0.34), f.size_bytes, size_text(f.size_bytes)) for f in largest[:_FILES_MAX]]
    rest = largest[_FILES_MAX:]
    if rest:
        size_bytes = sum(f.size_bytes for f in rest)
        entries.append(Bar(f"{len(rest):,} smaller", size_bytes, size_text(size_bytes), "muted"))
    return bars("Files by size", entries)


def _tail(path: str, width: float) -> str:
    """The end of a path that fits: paths are mostly alike at their beginning."""
    if len(path) <= _LABEL_LENGTH_MAX and text_width(path) <= width:
        return path
    kept = path[-_LABEL_LENGTH_MAX:]
    while text_width("…" + kept) > width:
        kept = kept[1:]
    return "…" + kept


def loads_per_day(days: Sequence[date], daily: Sequence[int]) -> Markup:
    """A bar for each day, with its height from zero.

    Parameters
    ----------
    days
        In a row, at least one.
    daily
        Loads of each of them; none negative.
    """
    title, height, top, bottom, right = "Loads per day", 150.0, 34.0, 24.0, 12.0
    ticks = [tick for tick in scale_ticks(0, max(*daily, 1), 3) if tick == int(tick)]  # there is no half a load
    high = max(*ticks, *daily)
    labels = [_number(tick) for tick in ticks]
    left = 14 + max(text_width(text, _SMALL) for text in labels)
    slot = (WIDTH - left - right) / len(days)
    floor = height - bottom

    def y(count: float) -> float:
        return floor - count / high * (floor - top)

    parts = [_text(title, 6, 16, weight="600")]
    for tick, label in zip(ticks, labels, strict=True):
        ends = {"x1": left, "x2": WIDTH - right, "y1": y(tick), "y2": y(tick)}
        parts += [
            element("line", {**ends, "class": "cm-s-line"}),
            _text(label, left - 6, y(tick) + 4, anchor="end", colour="muted", size=_SMALL),
        ]
    for i, (day, count) in enumerate(zip(days, daily, strict=True)):
        if count:
            upper = min(y(count), floor - 1)  # one load is to be seen beside a million
            box = {"x": left + (i + 0.12) * slot, "y": upper, "width": slot * 0.76, "height": floor - upper}
            told = element("title", None, f"{day}: {counted(count, 'load')}")
            parts.append(element("rect", {**box, "class": "cm-f-1"}, told))
    parts.append(_text(str(days[0]), left, height - 6, colour="muted", size=_SMALL))
    if len(days) > 1:
        parts.append(_text(str(days[-1]), WIDTH - right, height - 6, anchor="end", colour="muted", size=_SMALL))
    return document(WIDTH, height, title, *parts, about=f"{counted(sum(daily), 'load')} from {days[0]} to {days[-1]}")


def column_ranges(title: str, profiles: Sequence[ColumnProfile]) -> Markup:
    """Range of each numeric column, with its mean and one standard deviation to each side.

    Each column has a scale of its own, from its minimum to its maximum. At least one profile with
    minimum, maximum and mean.
    """
    labels = [fitted(p.name, WIDTH * 0.3) for p in profiles]
    left = 12 + max(text_width(text) for text in labels)
    lows = [_number(p.minimum or 0.0) for p in profiles]
    highs = [_number(p.maximum or 0.0) for p in profiles]
    start = left + 8 + max(text_width(t, _SMALL) for t in lows)
    end = WIDTH - 10 - max(text_width(t, _SMALL) for t in highs)
    top = 28.0
    parts = [_text(fitted(title, WIDTH - 12), 6, 17, weight="600")]
    for i, profile in enumerate(profiles):
        middle = top + i * _ROW + _ROW / 2
        low, high = profile.minimum or 0.0, profile.maximum or 0.0
        span = (high - low) or 1.0

        def x(value: float, low: float = low, span: float = span) -> float:
            share = (value - low) / span
            return start + min(max(share, 0.0), 1.0) * (end - start)

        mean, spread = profile.mean if profile.mean is not None else low, profile.standard_deviation or 0.0
        told = element(
            "title",
            None,
            f"{profile.name}: {low:g} to {high:g}, mean {mean:g}, deviation {spread:g}, {profile.missing} missing",
        )
        parts += [
            _text(labels[i], left - 8, middle + 4, anchor="end", full=profile.name),
            _text(lows[i], start - 5, middle + 4, anchor="end", colour="muted", size=_SMALL),
            _text(highs[i], end + 5, middle + 4, colour="muted", size=_SMALL),
            element(
                "line", {"x1": start, "x2": end, "y1": middle, "y2": middle, "class": "cm-s-line", "stroke-width": 2}
            ),
            element(
                "rect",
                {
                    "x": x(mean - spread),
                    "y": middle - 5,
                    "width": max(x(mean + spread) - x(mean - spread), 1),
                    "height": 10,
                    "rx": 2,
                    "class": "cm-f-1",
                    "fill-opacity": 0.45,
                },
                told,
            ),
            element(
                "line",
                {
                    "x1": x(mean),
                    "x2": x(mean),
                    "y1": middle - 7,
                    "y2": middle + 7,
                    "class": "cm-s-ink",
                    "stroke-width": 2,
                },
            ),
        ]
    return document(WIDTH, top + len(profiles) * _ROW + 8, title, *parts)


def scale_ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers from at or below ``low`` to at or above ``high``, about ``count`` steps."""
    if not math.isfinite(high - low) or high <= low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if last - first > 2 * count + 2:  # numbers too near each other to be told apart by a float
        return [low, high]
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def fitted(text: str, width: float, size: float = 13.0) -> str:
    """A text cut to a width, with an ellipsis."""
    if len(text) <= _LABEL_LENGTH_MAX and text_width(text, size) <= width:
        return text
    kept = text[:_LABEL_LENGTH_MAX]
    while kept and text_width(kept + "…", size) > width:
        kept = kept[:-1]
    return kept + "…"


def _number(value: float, digits: int = 4) -> str:
    """A number as short as can be; no exponent for the sizes that people read."""
    if 10**digits <= abs(value) < _PLAIN_MAX:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def _text(
    text: str,
    x: float,
    y: float,
    *,
    anchor: str = "start",
    colour: str = "ink",
    size: float = 13.0,
    weight: str = "",
    full: str = "",
) -> Markup:
    attrs: dict[str, str | float] = {"x": x, "y": y, "class": f"cm-f-{colour}"}
    if anchor != "start":
        attrs["text-anchor"] = anchor
    style = [f"font-size:{size:g}px"] if size != 13.0 else []  # noqa: PLR2004
    style += [f"font-weight:{weight}"] if weight else []
    if style:
        attrs["style"] = ";".join(style)
    told = [element("title", None, full)] if full and full != text else []
    return element("text", attrs, text, *told)
