"""``chopmark outcomes`` and ``chopmark feedback``: what became of requests, and what turned out to be true."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chopmark.cli.command import Group, command
from chopmark.cli.options import json_value, option, parsed_time, pass_session, reference_argument
from chopmark.cli.output import Fact, note
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import number, stamp
from chopmark.errors import InvalidRequest

if TYPE_CHECKING:
    from chopmark.domain.feedback import LabelSummary
    from chopmark.domain.outcome_summaries import OutcomeDifference, VariantOutcome

__all__ = ["feedback", "outcomes"]

F = TypeVar("F", bound=Callable[..., Any])

outcomes = Group(
    "outcomes",
    help="What became of requests: how many, how fast, how often wrong.",
    examples="""
    chopmark outcomes summary fraud-api --over 1h
    chopmark outcomes trend fraud-api --over 7d --every day
    chopmark outcomes compare fraud:3 fraud:4
    chopmark outcomes record fraud:3 --file requests.csv
    """,
)


def _what(function: F) -> F:
    for decorate in (
        option(
            "--by",
            type=click.Choice(["variant", "version"]),
            default="variant",
            help="Whether variants of one version are added up.  [variant]",
        ),
        option("--model", default="", metavar="MODEL", help="What was recorded of a model, instead of an endpoint."),
        click.argument(
            "called",
            metavar="[ENDPOINT]",
            required=False,
            default="",
            help="An endpoint: fraud-api, or risk/fraud-api in the project risk.",
        ),
    ):
        function = decorate(function)
    return function


def _over_option(default: str) -> Callable[[F], F]:
    return option("--over", default=default, metavar="SPAN", help=f"How far back: 15m, 1h, 7d.  [{default}]")


def _check_one(called: str, model: str) -> None:
    if bool(called) == bool(model):
        raise click.UsageError("Name an endpoint, or with --model a model whose outcomes were recorded.")


def _share(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.4g} %"


def _ms(took: float | None) -> str:
    return "" if took is None else f"{took:.3g} ms"


def _errors(found: VariantOutcome) -> str:
    told = {name: getattr(found.errors, name) for name in found.errors.__struct_fields__}
    return ", ".join(f"{name} {count:,}" for name, count in told.items() if count)


def _truth(labels: LabelSummary | None) -> str:
    if labels is None:
        return ""
    said = []
    if labels.accuracy is not None:
        said.append(f"{100 * labels.accuracy:.4g} % right")
    if labels.mean_abs_error is not None:
        said.append(f"off by {number(labels.mean_abs_error)}")
    if labels.value_mean is not None:
        said.append(f"value {number(labels.value_mean)}")
    return f"{' · '.join(said) or f'{labels.labels:,} labels'} (of {100 * labels.coverage:.3g} %)"


def _estimate(found: VariantOutcome) -> str:
    """What is expected where it can be said; nothing of a version that has no calibration to say it by."""
    estimated = found.estimated
    if estimated is None or estimated.threshold is None:
        return ""
    if estimated.accuracy is None or estimated.low is None or estimated.high is None:
        return "not known"
    return f"≈ {100 * estimated.accuracy:.4g} % ({100 * estimated.low:.3g} to {100 * estimated.high:.3g})"


def _metrics(found: VariantOutcome) -> str:
    return ", ".join(f"{name} {number(each.mean)}" for name, each in found.metrics.items())


_COLUMNS = (
    Column("VERSION", lambda v: v.version, whole=True),
    Column("VARIANT", lambda v: v.variant),
    Column("REQUESTS", lambda v: f"{v.requests:,}", right=True),
    Column("REQUESTS/S", lambda v: f"{v.requests_per_s:.3g}", right=True),
    Column("ANSWERED", lambda v: _share(v.success_rate), right=True),
    Column("ERRORS", _errors),
    Column("P50", lambda v: _ms(v.latency_ms_p50), right=True),
    Column("P95", lambda v: _ms(v.latency_ms_p95), right=True),
    Column("P99", lambda v: _ms(v.latency_ms_p99), right=True),
    Column("COST", lambda v: f"${v.cost_usd:.4g}" if v.cost_usd else "", right=True),
    Column("TRUTH", lambda v: _truth(v.labels)),
    Column("ESTIMATED ACCURACY", _estimate),
    Column("METRICS (MEAN)", _metrics),
)


@outcomes.command(
    "summary",
    examples="""
    chopmark outcomes summary fraud-api
    chopmark outcomes summary fraud-api --over 7d --by version --json
    chopmark outcomes summary --model fraud
    """,
)
@_what
@_over_option("1h")
@pass_session
def summary(session: Session, called: str, model: str, by: Any, over: str) -> None:
    """Say what became of the requests of an endpoint until now, by variant.

    ANSWERED is the share of the requests that some version could have answered: those that none could read, which ERRORS counts as
    unreadable, are not among them. What turned out to be true stands beside it with its coverage: the share of the answered requests
    of which anything is known. The estimated accuracy is what the scores of sampled answers promise; it is no measurement, and cannot
    see that their meaning changed.
    """
    _check_one(called, model)
    found = session.registry().outcomes.summary(called, model=model, over=over, by=by)
    if session.json:
        session.output.record(found, name="")
        return
    session.output.page(found.variants, _COLUMNS, name=lambda v: v.version, empty="Nothing was counted in that time.")
    for each in found.variants:
        if _estimate(each) == "not known" and each.estimated is not None:
            note(f"The accuracy of {each.version} is not estimated: {each.estimated.why}")


def _of_point(column: Column) -> Column:
    return column._replace(cell=lambda point: column.cell(point.outcome))


_OF_A_SUMMARY = ("TRUTH", "ESTIMATED ACCURACY")

_TREND = (
    Column("FROM (UTC)", lambda p: stamp(p.start), whole=True),
    *(_of_point(column) for column in _COLUMNS if column.title not in _OF_A_SUMMARY),
)


@outcomes.command(
    "trend",
    examples="""
    chopmark outcomes trend fraud-api
    chopmark outcomes trend fraud-api --over 2h --every minute
    """,
)
@_what
@_over_option("24h")
@option(
    "--every",
    type=click.Choice(["minute", "hour", "day"]),
    default="hour",
    help="How long each line is; minutes are kept for 48 hours, hours for 35 days, days for 400.  [hour]",
)
@pass_session
def trend(session: Session, called: str, model: str, by: Any, over: str, every: Any) -> None:
    """Say what became of requests minute by minute, hour by hour or day by day."""
    _check_one(called, model)
    found = session.registry().outcomes.trend(called, model=model, over=over, every=every, by=by)
    if session.json:
        session.output.record(found, name="")
        return
    session.output.page(found.points, _TREND, name=lambda p: stamp(p.start), empty="Nothing was counted in that time.")


def _range(found: OutcomeDifference) -> str:
    return "" if found.low is None or found.high is None else f"{found.low:+.3g} to {found.high:+.3g}"


@outcomes.command(
    "compare",
    examples="""
    chopmark outcomes compare fraud:3 fraud:4
    chopmark outcomes compare fraud:3 fraud@champion --endpoint fraud-api --over 7d
    """,
)
@reference_argument("baseline")
@reference_argument("candidate")
@option("--endpoint", default="", metavar="ENDPOINT", help="Only what they answered there.")
@_over_option("24h")
@pass_session
def compare(session: Session, baseline: str, candidate: str, endpoint: str, over: str) -> None:
    """Put two versions side by side, by what became of their requests until now.

    A p-value is a look at what there is now: who looks again and again until one is small errs more often than it says.
    """
    found = session.registry().outcomes.compare(baseline, candidate, endpoint=endpoint, over=over)
    if session.json:
        session.output.record(found, name="")
        return
    columns = (
        Column("WHAT", lambda d: d.metric, whole=True),
        Column(found.baseline.version, lambda d: number(d.baseline), right=True),
        Column(found.candidate.version, lambda d: number(d.candidate), right=True),
        Column("DIFFERENCE", lambda d: f"{d.difference:+.3g}", right=True),
        Column("95 % INTERVAL", _range),
        Column("P-VALUE", lambda d: "" if d.p_value is None else f"{d.p_value:.3g}", right=True),
    )
    empty = "There is nothing to compare: one of them answered no request in that time."
    session.output.page(found.differences, columns, name=lambda d: d.metric, empty=empty)


@outcomes.command(
    "drift",
    examples="""
    chopmark outcomes drift fraud-api
    chopmark outcomes drift fraud-api --over 24h
    """,
)
@click.argument("endpoint", help="An endpoint: fraud-api, or risk/fraud-api in the project risk.")
@_over_option("1h")
@pass_session
def drift(session: Session, endpoint: str, over: str) -> None:
    """Tell whether sampled requests still look like the data of the versions that answer them, column by column."""
    found = session.registry().outcomes.drift(endpoint, over=over)
    if session.json:
        session.output.record(list(found), name="")
        return
    for each in found:
        click.echo(
            f"{each.variant} {each.version}, {each.report.current_rows:,} rows since {stamp(each.since)} UTC: {each.report.sentence}"
        )
        for column in (*each.report.columns, *([each.report.scores] if each.report.scores else [])):
            if column.verdict == "drift":
                click.echo(f"  {column.sentence}")
    if not found:
        note(
            "Nothing was sampled in that time; an endpoint samples when its sample_share is above 0, and versions need a profile."
        )


@outcomes.command(
    "record",
    examples="""
    chopmark outcomes record fraud:3 --file requests.csv
    chopmark outcomes record fraud:3 --file requests.jsonl --endpoint fraud-api --variant stable
    """,
)
@reference_argument()
@option(
    "--file",
    "file",
    required=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV with a header, or JSON lines: a request a row, with any of at, latency_ms, error and cost_usd; every other "
    "column is a metric.",
)
@option("--endpoint", default="", metavar="ENDPOINT", help="Where it answered, when that is one of this registry.")
@option("--variant", default="", metavar="NAME", help="As which variant.")
@pass_session
def record(session: Session, ref: str, file: Path, endpoint: str, variant: str) -> None:
    """Record what became of requests that a model answered somewhere else.

    A file counts once, however often it is recorded; minutes that are more than 48 hours ago count nowhere.
    """
    from chopmark.sdk.outcome_files import columns_of, source_of

    columns = columns_of(file)
    done = session.registry().outcomes.record_batch(
        ref, **columns, endpoint=endpoint, variant=variant, source=source_of(file)
    )
    facts: list[Fact] = [("requests", f"{done.requests:,}"), ("refused", f"{done.refused:,}" if done.refused else "")]
    session.output.record(done, name=ref, title=f"recorded for {ref}", facts=facts)
    if done.refused and not session.json:
        note("What is refused lies more than 48 hours back, or more than an hour ahead.")


@command(
    "feedback",
    examples="""
    chopmark feedback AXk…Q --label fraud --prediction fine
    chopmark feedback AXk…Q --correct
    chopmark feedback --file labels.jsonl
    """,
)
@click.argument("request_id", metavar="[REQUEST-ID]", required=False, default="", help="That came with the answer.")
@option("--label", default=None, metavar="JSON", help="What was true: a class or a number.")
@option("--prediction", default=None, metavar="JSON", help="What was answered, to be compared with it.")
@option("--correct/--wrong", "correct", default=None, help="Whether the answer was right, where that is known instead.")
@option("--value", type=float, default=None, metavar="NUMBER", help="A number that the answer came to.")
@option(
    "--found-at",
    "at",
    default=None,
    metavar="TIME",
    help="When this was found, after the answer; of two the later counts.  [now]",
)
@option(
    "--file",
    "file",
    default=None,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON lines with request_id, and label, prediction, correct, value, at as above; instead of all of these.",
)
@pass_session
def feedback(
    session: Session,
    request_id: str,
    label: str | None,
    prediction: str | None,
    correct: bool | None,
    value: float | None,
    at: str | None,
    file: Path | None,
) -> None:
    """Say what turned out to be true of answers.

    The request id says which version and variant answered, so that the truth joins them however late it comes.
    """
    if bool(request_id) == (file is not None):
        raise click.UsageError("Give a request id, or a file with --file.")
    surface = session.registry().feedback
    if file is not None:
        from chopmark.sdk.outcome_files import feedback_in

        by_line = feedback_in(file)
        try:
            done = surface.record_batch(by_line.values())
        except InvalidRequest as error:
            if "item" not in error.details:
                raise
            msg = (
                f"Line {list(by_line)[error.details['item'] - 1]:,} of {file.name} is refused: {error.details['said']}"
            )
            raise InvalidRequest(msg, hint=error.hint) from error
    else:
        done = surface.record(
            request_id,
            label=None if label is None else json_value(label),
            prediction=None if prediction is None else json_value(prediction),
            correct=correct,
            value=value,
            at=parsed_time(at),
        )
    session.output.text(f"taken: {done.taken:,}", record=done)
