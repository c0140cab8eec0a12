"""``chopmark usage``: how often versions are loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from chopmark.cli.command import command
from chopmark.cli.completion_items import complete_reference
from chopmark.cli.options import option, parsed_time, pass_session
from chopmark.cli.session import Session
from chopmark.cli.tables import Column

if TYPE_CHECKING:
    from datetime import date

    from chopmark.domain.usage import LoadCount
    from chopmark.sdk.registry import Registry

__all__ = ["bar", "usage"]

DAYS = 14
_PAGE = 1_000
_MODELS_MAX = 1_000
_HEIGHTS = "▁▂▃▄▅▆▇█"


@command(
    "usage",
    examples="""
    chopmark usage                        the versions of all models
    chopmark usage fraud --since 2026-03-01
    chopmark usage fraud@champion --json
    """,
)
@click.argument(
    "ref",
    metavar="[MODEL|REF]",
    required=False,
    help="A model, or one of its versions: fraud, fraud:3, fraud@champion.  [all models]",
    shell_complete=complete_reference,
)
@option("--since", metavar="DAY", help="First day (UTC): 2026-03-01.  [13 days before the last]")
@option("--until", metavar="DAY", help="Last day (UTC).  [today]")
@pass_session
def usage(session: Session, ref: str | None, since: str | None, until: str | None) -> None:
    """Show how often versions were loaded, day by day.

    A bar has a mark for each day, the last one at the right; the busiest day of a version is full.
    """
    from chopmark.base.clock import system_clock
    from chopmark.domain.usage import by_version, days_until

    end = parsed_time(until) or system_clock()
    start = parsed_time(since) or end - timedelta(days=DAYS - 1)
    days = days_until(end.date(), max((end.date() - start.date()).days + 1, 1))
    registry = session.registry()
    asked = [ref] if ref else _models(registry, session.chosen_project())
    counts = [each for of in asked for each in _counts(registry, of, days[0], days[-1])]
    columns = (
        Column("VERSION", lambda use: use.ref, whole=True),
        Column("LOADS", lambda use: f"{use.loads:,}", right=True),
        Column("LAST DAY", lambda use: str(use.last_day), whole=True),
        Column(f"{days[0]} TO {days[-1]}", lambda use: bar(use.daily), whole=True),
    )
    empty = f"No loads from {days[0]} to {days[-1]}."
    session.output.page(by_version(counts, days), columns, name=lambda use: use.ref, empty=empty)


def _models(registry: Registry, project: str | None) -> list[str]:
    return [model.ref for model in registry.models.list(project=project, limit=_MODELS_MAX)]


def _counts(registry: Registry, of: str, since: date, until: date) -> Iterator[LoadCount]:
    cursor = ""
    while True:
        page = registry.models.usage(of, since=since, until=until, limit=_PAGE, cursor=cursor)
        yield from page
        cursor = page.cursor
        if not cursor:
            return


def bar(daily: Sequence[int]) -> str:
    """A mark for each day, its height relative to the busiest; ``·`` for a day without any.

    >>> bar([0, 1, 4, 8])
    '·▁▄█'
    """
    most = max(daily, default=0)
    return "".join("·" if not count else _HEIGHTS[-(-count * len(_HEIGHTS) // most) - 1] for count in daily)
