"""``chopmark experiment``: versions compared on the units that meet them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from chopmark.cli.command import Group
from chopmark.cli.options import (
    cursor_option,
    dry_run_option,
    limit_option,
    option,
    pairs_option,
    pass_session,
    reason_option,
)
from chopmark.cli.output import Fact, note
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import count, stamp, when
from chopmark.domain.alert_words import duration_words
from chopmark.domain.experiment_status import ExperimentStatus, MetricReading
from chopmark.domain.experiments import Experiment
from chopmark.domain.traffic import WEIGHT_TOTAL

__all__ = ["experiment"]

F = TypeVar("F", bound=Callable[..., Any])

_DAY_S = 86_400

experiment = Group(
    "experiment",
    help="Versions compared on the users who meet them.",
    examples="""
    chopmark experiment start ranker-test --on ranker --control ranker:3 --treatment ranker:4 --metric success
    chopmark experiment status ranker-test
    chopmark experiment decide ranker-test
    """,
)

_COLUMNS = (
    Column("EXPERIMENT", lambda e: e.ref, whole=True),
    Column("STATE", lambda e: e.state + (f" ({e.winner})" if e.winner else "")),
    Column("ENDPOINT", lambda e: e.plan.endpoint),
    Column("VARIANTS", lambda e: ", ".join(_arm(v) for v in e.plan.variants)),
    Column("STARTED (UTC)", lambda e: stamp(e.started_at), whole=True),
    Column("ENDS (UTC)", lambda e: stamp(e.exposes_until), whole=True),
)


def _arm(variant: Any) -> str:
    return f"{variant.name} {variant.version.ref} {100 * variant.weight / WEIGHT_TOTAL:g} %"


def _argument() -> Callable[[F], F]:
    return click.argument(
        "called", metavar="EXPERIMENT", help="An experiment: ranker-test, or search/ranker-test in the project search."
    )


def _metric(text: str) -> Any:
    """A name, or fields of a metric: ``name=errors,kind=ratio,better=lower``."""
    if "=" not in text:
        return text
    fields: dict[str, Any] = {}
    for part in text.split(","):
        name, sign, value = part.partition("=")
        if not sign:
            raise click.BadParameter(f"{part!r} is no field of a metric: write it like kind=ratio.")
        fields[name.strip()] = float(value) if name.strip() in {"threshold", "baseline"} else value.strip()
    return fields


def _metrics(ctx: click.Context, param: click.Parameter, value: Any) -> Any:  # noqa: ARG001
    return tuple(map(_metric, value)) if isinstance(value, tuple) else _metric(value)


def _show(session: Session, found: Experiment, rollout: str = "") -> None:
    plan = found.plan
    facts: list[Fact] = [
        ("state", found.state + (f" for {found.winner}" if found.winner else "")),
        ("rollout", rollout),
        *((v.name, f"{_arm(v).removeprefix(v.name + ' ')} · {v.version.digest[:19]}") for v in plan.variants),
        *((f"{m.role} metric", f"{m.name} ({m.kind}, {m.better} is better)") for m in plan.metrics),
        ("endpoint", plan.endpoint),
        ("unit", f"{plan.unit}, observed for {duration_words(plan.window_s)}"),
        ("started", f"{when(found.started_at)} by {found.started_by}"),
        ("ends", when(found.exposes_until) + (f", by {found.ended_by}" if found.ended_by else "")),
        ("plan", plan.digest[:19]),
        ("about", found.description),
    ]
    session.output.record(found, name=found.ref, title=f"experiment {found.ref}", facts=facts)


@experiment.command(
    "start",
    examples="""
    chopmark experiment start ranker-test --on ranker --control ranker:3 --treatment ranker:4 --metric success
    chopmark experiment start prices --variant a=price:1 --variant b=price:2 --control a --metric name=revenue,kind=mean
    """,
)
@_argument()
@option(
    "--metric",
    required=True,
    callback=_metrics,
    metavar="METRIC",
    help="What decides: a name, or name=…,kind=…,better=….",
)
@option(
    "--guardrail",
    "guardrails",
    multiple=True,
    callback=_metrics,
    metavar="METRIC",
    help="What must not become worse; can be given again.",
)
@option(
    "--also",
    "metrics",
    multiple=True,
    callback=_metrics,
    metavar="METRIC",
    help="What is told beside; can be given again.",
)
@option(
    "--control", required=True, metavar="VERSION", help="What the others are compared with; with --variant its name."
)
@option("--treatment", default=None, metavar="VERSION", help="What is compared with it.")
@pairs_option("--variant", "Several versions by name instead; can be given again.", metavar="NAME=VERSION")
@pairs_option("--share", "Percent of the units by name; equal unless said.", float, metavar="NAME=PERCENT")
@option(
    "--on", "endpoint", default=None, metavar="ENDPOINT", help="Whose gateways deal; else callers ask for variants."
)
@option(
    "--alpha",
    type=float,
    default=0.05,
    show_default=True,
    metavar="NUMBER",
    help="Chance of deciding where nothing differs.",
)
@option(
    "--power",
    type=float,
    default=0.8,
    show_default=True,
    metavar="NUMBER",
    help="How surely the minimum effect is found.",
)
@option("--minimum-effect", type=float, default=None, metavar="NUMBER", help="The difference that is worth finding.")
@option("--max-duration", default="14d", show_default=True, metavar="TIME", help="How long units are exposed: 7d, 36h.")
@option("--window", default="1h", show_default=True, metavar="TIME", help="How long each unit is observed.")
@option("--look-every", default=None, metavar="TIME", help="How often there is something new to see.")
@option("--unit", default="user", show_default=True, metavar="WORD", help="What is dealt.")
@option("--description", default="", metavar="TEXT", help="What it is for.")
@reason_option()
@dry_run_option()
@pass_session
def start(session: Session, /, called: str, variant: dict[str, str], share: dict[str, float], **said: Any) -> None:
    """Begin an experiment: its plan is frozen, and its endpoint deals the variants."""
    made = session.registry().experiments.start(called, variants=variant or None, shares=share or None, **said)
    _show(session, made)


@experiment.command(
    "list",
    examples="""
    chopmark experiment list --in search
    """,
)
@option("--in", "project", default=None, metavar="PROJECT", help="Only of this project.")
@option("--archived", is_flag=True, help="Archived ones too.")
@limit_option()
@cursor_option()
@pass_session
def list_experiments(session: Session, project: str | None, archived: bool, limit: int, cursor: str) -> None:
    """List experiments by project and name."""
    found = session.registry().experiments.list(project, archived=archived, limit=limit, cursor=cursor)
    session.output.page(found, _COLUMNS, name=lambda e: e.ref, cursor=found.cursor, empty="There are no experiments.")


@experiment.command(
    "show",
    examples="""
    chopmark experiment show ranker-test
    """,
)
@_argument()
@pass_session
def show(session: Session, called: str) -> None:
    """Show what an experiment laid down, and what became of it."""
    experiments = session.registry().experiments
    found = experiments.get(called)
    has_moved = found.state == "decided" and found.endpoint_id is not None and found.winner != found.plan.control
    _show(session, found, rollout=experiments.status(called).rollout if has_moved else "")


@experiment.command(
    "status",
    examples="""
    chopmark experiment status ranker-test
    """,
)
@_argument()
@pass_session
def status(session: Session, called: str) -> None:
    """Say what an experiment says now, and what to do."""
    found = session.registry().experiments.status(called)
    session.output.record(
        found, name=found.decision, title=f"{found.experiment}: {found.decision}", facts=_status_facts(found)
    )


def _status_facts(found: ExperimentStatus) -> Iterator[Fact]:
    yield "says", found.sentence
    yield "state", f"{found.state}, {count(found.batches, 'look')}"
    yield "rollout", found.rollout
    for variant in found.variants:
        values = ", ".join(f"{name} {value:.4g}" for name, value in variant.values.items() if value is not None)
        units = f"{variant.observed:,} of {variant.exposed:,} units judged"
        yield variant.name, " · ".join(filter(None, (f"{variant.version} {variant.percent:g} %", units, values)))
    for reading in found.readings:
        yield f"{reading.metric}", _reading(reading)
    if found.units:
        yield "shares", f"p = {found.ratio_p:.3g} that units fell as they should"
    uncounted = found.uncounted
    left_out = [
        (uncounted.units_in_two, "units of two variants"),
        (uncounted.never_exposed, "records of units never exposed"),
        (uncounted.early, "records before the exposure"),
        (uncounted.late, "records after the window"),
    ]
    yield "left out", ", ".join(f"{number:,} {what}" for number, what in left_out if number)
    if found.units_needed is not None:
        yield "needed", f"{count(found.units_needed, 'unit')} for the minimum effect"
    if found.days_left is not None and found.units_per_day:
        yield "left", f"{duration_words(round(found.days_left * _DAY_S))} at {found.units_per_day:,.0f} units a day"
    yield "plan", found.plan_digest[:19]


def _reading(reading: MetricReading) -> str:
    if reading.estimate is None:
        return f"{reading.variant}: {reading.standing}, nothing to compare yet"
    low, high = (
        "−∞" if reading.low is None else f"{reading.low:.4g}",
        "∞" if reading.high is None else f"{reading.high:.4g}",
    )
    return (
        f"{reading.variant}: {reading.estimate:+.4g} ({low} to {high}), p = {reading.p_value:.3g}, {reading.standing}"
        f"{' · ' + reading.role if reading.role != 'primary' else ''}"
    )


@experiment.command(
    "stop",
    examples="""
    chopmark experiment stop ranker-test --reason "the logging was broken"
    """,
)
@_argument()
@reason_option()
@dry_run_option()
@pass_session
def stop(session: Session, called: str, reason: str) -> None:
    """End an experiment; its endpoint answers with the control alone."""
    _show(session, session.registry().experiments.stop(called, reason=reason))


@experiment.command(
    "extend",
    examples="""
    chopmark experiment extend ranker-test --max-duration 21d --reason "the holidays were quiet"
    """,
)
@_argument()
@option("--max-duration", required=True, metavar="TIME", help="How long units are exposed, from the start: 21d.")
@reason_option()
@dry_run_option()
@pass_session
def extend(session: Session, called: str, max_duration: str, reason: str) -> None:
    """Set the end of an experiment anew: all that may change of its plan."""
    _show(session, session.registry().experiments.extend(called, max_duration, reason=reason))


@experiment.command(
    "decide",
    examples="""
    chopmark experiment decide ranker-test
    chopmark experiment decide ranker-test --winner control --reason "the treatment costs twice as much"
    """,
)
@_argument()
@option(
    "--winner",
    default="auto",
    show_default=True,
    metavar="VARIANT",
    help="Another than the one that has won needs a reason.",
)
@option(
    "--strategy",
    type=click.Choice(["replace", "canary", "blue-green"]),
    default="replace",
    show_default=True,
    help="Of the rollout to a treatment.",
)
@reason_option()
@dry_run_option()
@pass_session
def decide(session: Session, called: str, winner: str, strategy: Any, reason: str) -> None:
    """End an experiment for a variant, which its endpoint then answers with."""
    made = session.registry().experiments.decide(called, winner, strategy=strategy, reason=reason)
    found, rollout = made.experiment, made.rollout
    facts: list[Fact] = [("winner", found.winner), ("state", found.state)]
    if rollout is not None:
        facts.append(("rollout", f"{rollout.candidate.ref} to {rollout.endpoint_ref}, {rollout.state}"))
    session.output.record(made, name=found.ref, title=f"experiment {found.ref}", facts=facts)


@experiment.command(
    "archive",
    examples="""
    chopmark experiment archive ranker-test --reason "decided in March"
    """,
)
@_argument()
@reason_option()
@dry_run_option()
@pass_session
def archive(session: Session, called: str, reason: str) -> None:
    """Put an experiment away: what it said last is kept, and what is known of its units is removed."""
    _show(session, session.registry().experiments.archive(called, reason=reason))


@experiment.command(
    "record",
    examples="""
    chopmark experiment record ranker-test --file outcomes.csv
    chopmark experiment record ranker-test --file shown.jsonl --exposures
    """,
)
@_argument()
@option(
    "--file",
    "source",
    type=click.File("rb"),
    required=True,
    metavar="FILE",
    help="CSV with a header, or a JSON object a line; - is standard input.",
)
@option("--exposures", is_flag=True, help="The rows say who was shown what, not what happened.")
@pass_session
def record(session: Session, called: str, source: BinaryIO, exposures: bool) -> None:
    """Say what happened to units, or who was shown what.

    Columns are unit, at, id and request_id (variant of exposures), and a metric each. Rows that come again with an id,
    or with a time, count once.
    """
    from chopmark.sdk.row_files import check_columns, rows_in

    name = "standard input" if source.name in {"-", "<stdin>", 0} else Path(source.name).name
    rows = rows_in(source, name)
    check_columns(rows, "unit", *(() if exposures else ("request_id",)), name=name)
    experiments = session.registry().experiments
    taken = (experiments.expose_batch if exposures else experiments.record_batch)(called, rows)
    session.output.text(f"{count(taken.rows, 'row')} taken", record=taken)
    if taken.outside:
        note(f"{count(taken.outside, 'row')} of a time outside the experiment left out")
    if taken.astray:
        note(f"{count(taken.astray, 'unit')} shown another variant than it was dealt, which count nowhere")
