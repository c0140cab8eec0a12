"""The picture in docs/explanation/experiments.md is what the simulation gives."""

from __future__ import annotations

import re

from scripts.draw_peeking import TARGET, drawing
from scripts.peeking import curves


def test_the_picture_is_drawn_from_the_simulation() -> None:
    lines = curves()
    assert TARGET.read_text(encoding="utf-8") == drawing(lines)
    assert lines["naive"].share[-1] > 0.3
    assert lines["chopmark"].share[-1] <= 0.05
    told = re.search(r"climbs to (\d+) %", TARGET.with_name("experiments.md").read_text(encoding="utf-8"))
    assert told is not None
    assert int(told[1]) == round(100 * float(lines["naive"].share[-1]))
