"""What is known of the units of experiments: taken as it comes, and judged when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

from msgspec import structs

from chopmark.abc.catalog import Transaction
from chopmark.app.context import Context
from chopmark.app.experiment_rollouts import rollout_told
from chopmark.base.clock import to_us
from chopmark.domain.endpoints import Endpoint, parse_endpoint
from chopmark.domain.experiment_judging import Known, said_of
from chopmark.domain.experiment_status import ExperimentStatus
from chopmark.domain.experiment_units import SEEN_IN_TWO, UnitExposure, UnitMet, UnitOutcome, outcome_id, unit_hash
from chopmark.domain.experiments import REQUEST_UNIT, Experiment, parse_experiment
from chopmark.domain.names import shown
from chopmark.domain.request_ids import AnsweredBy, read_request_id
from chopmark.errors import Conflict, InvalidRequest, NotFound
from chopmark.ops import experiments as q

__all__ = ["Decision", "decision_of", "expose", "known_of", "on_endpoints", "record", "show", "status_of", "take_met"]

Decision = Literal["", "winner", "loser", "inconclusive"]

CLOCKS_DIFFER = timedelta(minutes=5)
"""What is to come is refused when it is further away than clocks differ."""

_LARGEST = 1e100

_SAID: dict[UUID, tuple[int, str, str]] = {}
"""What experiments said, and how many batches were complete."""

_SAID_MAX = 100


def show(ctx: Context, request: q.ShowExperiment) -> ExperimentStatus:
    """What an experiment says now."""
    return status_of(ctx, _found(ctx, request.experiment))


def status_of(ctx: Context, experiment: Experiment) -> ExperimentStatus:
    """What an experiment says now; of an archived one what it said last."""
    if experiment.final is not None:
        return experiment.final
    status = said_of(experiment, known_of(ctx.whole, experiment), ctx.now)
    return structs.replace(status, rollout=rollout_told(ctx.whole, experiment))


def known_of(tx: Transaction, experiment: Experiment) -> Known:
    """What the catalog knows of an experiment's units."""
    time = experiment.time
    recorded = [
        tx.experiment_units.recorded(experiment.id, place, time, any_of=metric.kind == "proportion")
        for place, metric in enumerate(experiment.plan.metrics)
    ]
    endpoint = _endpoint_of(tx, experiment)
    is_watched = experiment.endpoint_id is not None and experiment.state == "running"
    return Known(
        tx.experiment_units.exposed(experiment.id, time),
        recorded,
        is_dealt=not is_watched or (endpoint is not None and endpoint.variants == experiment.plan.variants),
        is_deleted=is_watched and endpoint is None,
    )


def decision_of(tx: Transaction, endpoint_id: UUID, version_id: UUID, now: datetime) -> Decision:
    """What the newest experiment on an endpoint says of a version, as a rollout asks that waits for it.

    Asked again before another batch is complete, the answer is remembered: a rollout looks each second, and reading all units takes time.
    """
    experiment = next(iter(tx.experiments.on_endpoint(endpoint_id, limit=1)), None)
    if experiment is None:
        return ""
    asked = [variant.name for variant in experiment.plan.variants if variant.version.id == version_id]
    if not asked:
        return ""
    if experiment.state == "decided":
        return "winner" if experiment.winner == asked[0] else "loser"
    if experiment.state != "running":
        return "inconclusive"
    complete = experiment.time.complete(to_us(now))
    known = _SAID.get(experiment.id)
    if known is None or known[0] != complete:
        status = said_of(experiment, known_of(tx, experiment), now)
        while len(_SAID) >= _SAID_MAX:
            _SAID.pop(next(iter(_SAID)), None)
        known = _SAID[experiment.id] = complete, status.decision, status.winner
    _, decision, winner = known
    if decision == "continue":
        return ""
    if decision != "winner":
        return "inconclusive"
    return "winner" if winner == asked[0] else "loser"


def expose(ctx: Context, request: q.ExposeUnits) -> q.TakenRows:
    """Take exposures."""
    taking = _Taking(ctx, _found(ctx, request.experiment))
    exposures = []
    for each in request.exposures:
        answered = taking.answered(each.request_id)
        if answered is not None and each.variant not in ("", answered.variant):
            msg = f"The answer {shown(each.request_id)} is of {answered.variant}, not of {shown(each.variant)}."
            raise InvalidRequest(msg, hint="Leave the variant out.")
        variant = answered.variant if answered is not None else each.variant
        at = answered.at if answered is not None and each.at is None else each.at
        made = taking.exposure(each.unit, variant, at, is_answer=answered is not None)
        if made is not None:
            exposures.append(made)
    ctx.tx.experiment_units.expose(taking.experiment.id, exposures)
    return q.TakenRows(rows=len(exposures), outside=taking.outside, astray=taking.astray)


def on_endpoints(tx: Transaction, endpoints: Iterable[Endpoint]) -> Iterator[UUID]:
    """Ids of those on which an experiment runs that deal as its plan says."""
    for endpoint in endpoints:
        if len(endpoint.variants) > 1:
            newest = next(iter(tx.experiments.on_endpoint(endpoint.id, limit=1)), None)
            if newest is not None and newest.state == "running" and newest.plan.variants == endpoint.variants:
                yield endpoint.id


def take_met(ctx: Context, met: Iterable[UnitMet]) -> None:
    """Take exposures as a gateway tells them, of units that it dealt by lot. What is outside an experiment's time is nobody's."""
    by_endpoint: dict[UUID, list[UnitMet]] = {}
    for each in met:
        by_endpoint.setdefault(each.endpoint, []).append(each)
    for endpoint_id, found in by_endpoint.items():
        for experiment in ctx.whole.experiments.on_endpoint(endpoint_id, limit=1):
            if experiment.state == "archived":
                continue
            places = {name: place for place, name in enumerate(experiment.plan.names)}
            time = experiment.time
            ctx.whole.experiment_units.expose(
                experiment.id,
                [
                    UnitExposure(each.unit, places[each.variant], each.at_us)
                    for each in found
                    if each.variant in places and time.start_us <= each.at_us < time.until_us
                ],
            )


def record(ctx: Context, request: q.RecordUnits) -> q.TakenRows:
    """Take what happened to units, and with an answer's id that it exposed them."""
    taking = _Taking(ctx, _found(ctx, request.experiment))
    exposures: list[UnitExposure] = []
    outcomes: list[UnitOutcome] = []
    rows = 0
    for each in request.records:
        answered = taking.answered(each.request_id)
        unit = taking.unit_of(each)
        if answered is not None:
            exposure = taking.exposure(unit, answered.variant, answered.at, is_answer=True)
            if exposure is not None:
                exposures.append(exposure)
        found = list(taking.outcomes(unit, each))
        rows += bool(found)
        outcomes += found
    ctx.tx.experiment_units.expose(taking.experiment.id, exposures)
    ctx.tx.experiment_units.record(taking.experiment.id, outcomes)
    return q.TakenRows(rows=rows, outside=taking.outside, astray=taking.astray)


class _Metric(NamedTuple):
    """A metric's place and whether its values are 0 or 1, or pairs."""

    place: int
    kind: str


class _Taking:
    """Rows of one request on their way into the catalog."""

    def __init__(self, ctx: Context, experiment: Experiment) -> None:
        if experiment.state == "archived":
            raise Conflict(f"The experiment {experiment.ref} is archived, and takes nothing any more.")
        self.experiment = experiment
        self.outside = self.astray = 0
        self._ctx = ctx
        self._secret = ctx.whole.routing.secret()
        self._assignment = experiment.plan.assignment
        self._places = {name: place for place, name in enumerate(experiment.plan.names)}
        self._metrics = {m.name: _Metric(place, m.kind) for place, m in enumerate(experiment.plan.metrics)}
        self._now_us = to_us(ctx.now)
        self._latest_us = to_us(ctx.now + CLOCKS_DIFFER)
        self._start_us = to_us(experiment.started_at)
        self._until_us = to_us(experiment.exposes_until)

    def answered(self, request_id: str) -> AnsweredBy | None:
        """What a request id says, if it is of the experiment's endpoint."""
        if not request_id or self.experiment.endpoint_id is None:
            return None
        found = read_request_id(request_id, bytes.fromhex(self._secret))
        if found.endpoint_id != self.experiment.endpoint_id:
            msg = f"The answer {shown(request_id)} is of another endpoint than the experiment's."
            raise InvalidRequest(msg, hint=f"It is on {self.experiment.plan.endpoint}.")
        return found

    def exposure(self, unit: str, variant: str, at: datetime | None, *, is_answer: bool = False) -> UnitExposure | None:
        """An exposure, or None for one that is outside the experiment's time.

        So is an answer of a variant that the experiment has not: a gateway gave it before it heard of the experiment, or after.
        """
        at_us = self._time(at)
        is_elsewhere = is_answer and variant not in self._places
        if is_elsewhere or not self._start_us <= at_us < self._until_us:
            self.outside += 1
            return None
        dealt = str(self._assignment.arm(unit))
        if variant in ("", dealt):
            return UnitExposure(unit_hash(self._secret, unit), self._places[dealt], at_us)
        if variant not in self._places:
            known = ", ".join(self._places)
            raise NotFound(f"The experiment has no variant {shown(variant)}.", hint=f"It has {known}.")
        self.astray += 1  # somebody chose for it, or another split dealt it: it was not assigned by lot
        return UnitExposure(unit_hash(self._secret, unit), SEEN_IN_TWO, at_us)

    def unit_of(self, said: q.UnitRecord) -> str:
        """The unit that a record is of."""
        if said.unit:
            return said.unit
        plan = self.experiment.plan
        if plan.unit == REQUEST_UNIT and said.request_id:
            return said.request_id
        if said.request_id:
            raise InvalidRequest(
                f"A request id says which variant answered, not which {plan.unit} asked: judged one by one, requests of one {plan.unit} "
                "would look surer than they are.",
                hint="Give unit= beside it, the key that the request was sent with; a ratio adds up what is recorded by request.",
            )
        raise InvalidRequest("A record is of no unit.", hint=f"Give unit=, the {plan.unit} that was dealt.")

    def outcomes(self, unit: str, said: q.UnitRecord) -> Iterator[UnitOutcome]:
        """A row for each value of a record, none for one from before the start."""
        if not said.values:
            raise InvalidRequest("A record says nothing.", hint='Give values: {"success": 1}.')
        at_us = self._time(said.at)
        if at_us < self._start_us:
            self.outside += 1
            return
        hashed = unit_hash(self._secret, unit)
        for name, value in said.values.items():
            metric = self._metrics.get(name)
            if metric is None:
                self.experiment.plan.place(name)  # says what there is
                continue
            y, x = _pair(name, metric.kind, value)
            yield UnitOutcome(hashed, metric.place, self._id(said, at_us, y, x), at_us, y, x)

    def _id(self, said: q.UnitRecord, at_us: int, y: float, x: float) -> bytes:
        if said.id:
            return outcome_id("id", said.id)
        if said.at is not None:
            return outcome_id("at", said.request_id, str(at_us), repr(y), repr(x))
        if said.request_id:
            return outcome_id("request", said.request_id)
        return self._ctx.new_id().bytes

    def _time(self, at: datetime | None) -> int:
        if at is None:
            return self._now_us
        at_us = to_us(at)
        if at_us > self._latest_us:
            raise InvalidRequest(f"{at.isoformat()} is to come.", hint="Say when it happened, with its time zone.")
        return at_us


def _pair(name: str, kind: str, value: float | tuple[float, ...]) -> tuple[float, float]:
    y, x = value if isinstance(value, tuple) else (value, 1.0)
    if not abs(y) < _LARGEST or not abs(x) < _LARGEST:
        raise InvalidRequest(f"{y!r} of {name} is no number that can be added up.", hint="Leave it out.")
    if isinstance(value, tuple) and kind != "ratio":
        raise InvalidRequest(f"{name} is a {kind}, and has one value.", hint="Pairs are of ratios.")
    if x <= 0:
        raise InvalidRequest(
            f"The second number of {name} is {x:g}, and nothing is divided by that.",
            hint="Give how many there were, or leave the pair out.",
        )
    if kind == "proportion" and y not in (0.0, 1.0):
        raise InvalidRequest(
            f"{name} is a proportion: of a unit it is 0 or 1, not {y:g}.",
            hint="Other numbers are of a mean or a ratio.",
        )
    return float(y), float(x)


def _endpoint_of(tx: Transaction, experiment: Experiment) -> Endpoint | None:
    """The endpoint that an experiment began on; None when there is none, or another by its name."""
    if experiment.endpoint_id is None:
        return None
    ref = parse_endpoint(experiment.plan.endpoint)
    endpoint = tx.endpoints.get(ref.project, ref.name)
    return endpoint if endpoint is not None and endpoint.id == experiment.endpoint_id else None


def _found(ctx: Context, text: str) -> Experiment:
    ref = parse_experiment(text)
    found = ctx.tx.experiments.get(ref.project, ref.name)
    if found is None:
        raise NotFound(f"There is no experiment {str(ref)!r}.", hint="See what there is with: chopmark experiment list")
    return found
