"""Draw ``docs/explanation/peeking.svg``: how often a test that is looked at early finds a difference that is not there.

    python scripts/draw_peeking.py           writes it
    python scripts/draw_peeking.py --check   exits 1 when it differs from what the simulation gives

The simulation is `scripts/peeking.py`, which the tests of error rates use too.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.peeking import ALPHA, Curve, curves

TARGET = Path(__file__).parent.parent / "docs" / "explanation" / "peeking.svg"

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 190, 56, 52
SHARE_MOST = 0.5
FONT = 'font-family="system-ui, sans-serif" font-size="13" fill="#1f2937"'
COLOURS = {"naive": "#c2410c", "chopmark": "#0f766e"}
NAMES = {"naive": "usual z test", "chopmark": "Chopmark"}


def drawing(lines: dict[str, Curve]) -> str:
    """The picture as SVG text."""
    most = int(max(line.records[-1] for line in lines.values()))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {FONT}>',
        "<title>Share of experiments without any difference that were called significant at some look</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="600">False alarms when one looks after every 100 records</text>',
        f'<text x="{LEFT}" y="42" fill="#6b7280">2,000 simulated experiments, both arms succeed 95 % of the time</text>',
    ]
    for share in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
        y = _y(share)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#6b7280">{share:.0%}</text>')
    for records in range(0, most + 1, most // 5):
        x = _x(records, most)
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle" fill="#6b7280">{records:,}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle" fill="#6b7280">records so far</text>')
    promised = _y(ALPHA)
    parts.append(
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{promised:.1f}" y2="{promised:.1f}" stroke="#6b7280" stroke-dasharray="5 4"/>'
    )
    parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{promised - 6:.1f}" fill="#6b7280">promised: {ALPHA:.0%}</text>')
    for name, line in lines.items():
        points = " ".join(
            f"{_x(r, most):.1f},{_y(s):.1f}" for r, s in zip(line.records.tolist(), line.share.tolist(), strict=True)
        )
        end = float(line.share[-1])
        # Its label below the line when that ends close to the promise, so that the two do not cover each other.
        label_y = _y(end) + (14 if abs(end - ALPHA) < ALPHA else 4)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="2.5"/>')
        parts.append(
            f'<text x="{WIDTH - RIGHT + 8}" y="{label_y:.1f}" fill="{COLOURS[name]}" font-weight="600">{NAMES[name]}: {end:.1%}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(records: float, most: int) -> float:
    return LEFT + (WIDTH - RIGHT - LEFT) * records / most


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * min(share, SHARE_MOST) / SHARE_MOST


def main() -> int:
    """Write the picture, or compare it."""
    text = drawing(curves())
    if "--check" in sys.argv[1:]:
        return int(not TARGET.exists() or TARGET.read_text() != text)
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
