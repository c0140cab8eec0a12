"""What a part found, and how it is shown: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

__all__ = ["Outcome", "as_json", "is_clean", "table", "told"]

FINDINGS_SHOWN = 20


@dataclass(frozen=True)
class Outcome:
    """What came of one kind of fault.

    Attributes
    ----------
    what
        The fault, in words that are a row of the table: ``kill -9, SQLite and S3``.
    rounds
        How often it was done.
    findings
        One text for each promise that was broken, with what is needed to see it again (seed, round, place).
    figures
        Counts and times that were measured, by name; the unit stands last in the name (``answers_ms_p50``).
    how
        How it was done, in a sentence.
    missing
        Why it was not done, when this machine lacks something; empty when it was.
    """

    what: str
    rounds: int
    findings: Sequence[str] = ()
    figures: Mapping[str, float | int | str] = field(default_factory=dict)
    how: str = ""
    missing: str = ""


def is_clean(outcomes: Sequence[Outcome]) -> bool:
    """Whether nothing was found."""
    return not any(outcome.findings for outcome in outcomes)


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as aligned columns: what, how often, how many findings, and the figures."""
    rows = [("WHAT", "ROUNDS", "FINDINGS", "FIGURES")]
    for outcome in outcomes:
        figures = f"NOT RUN: {outcome.missing}" if outcome.missing else _figures(outcome.figures)
        rows.append((outcome.what, f"{outcome.rounds:,}", str(len(outcome.findings)), figures))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = []
    for what, rounds, findings, figures in rows:
        cells = (what.ljust(widths[0]), rounds.rjust(widths[1]), findings.rjust(widths[2]), figures)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _figures(figures: Mapping[str, float | int | str]) -> str:
    shown = ((name, f"{value:,.4g}" if isinstance(value, float) else value) for name, value in figures.items())
    return ", ".join(f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in shown)


def told(outcomes: Sequence[Outcome]) -> str:
    """The findings, a paragraph each; empty when there are none."""
    lines = []
    for outcome in outcomes:
        lines += [f"{outcome.what}: {finding}" for finding in outcome.findings[:FINDINGS_SHOWN]]
        if len(outcome.findings) > FINDINGS_SHOWN:
            lines.append(f"{outcome.what}: and {len(outcome.findings) - FINDINGS_SHOWN} more; --json has them all")
    return "\n".join(lines)


def as_json(outcomes: Sequence[Outcome], **facts: object) -> str:
    """The outcomes and the facts of the run as JSON."""
    return json.dumps({**facts, "outcomes": [asdict(outcome) for outcome in outcomes]}, indent=2) + "\n"
