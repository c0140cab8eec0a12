"""``registry.experiments``: versions compared on the units that meet them, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from chopmark.base.ids import random_bytes
from chopmark.domain.durations import Duration
from chopmark.domain.experiment_status import ExperimentStatus
from chopmark.domain.experiments import Experiment, check_effect, parse_experiment
from chopmark.domain.outcome_tiers import span_seconds
from chopmark.domain.rollout_plans import Strategy
from chopmark.errors import InvalidRequest
from chopmark.ops import experiments as q
from chopmark.ops.experiments import DecidedExperiment, TakenRows
from chopmark.sdk.experiment_rows import MetricWish, exposures_of, metric_of, records_of
from chopmark.sdk.results import Page
from chopmark.sdk.surface import EndpointReference, ExperimentReference, Reference, Surface

__all__ = ["Experiments"]


class Experiments(Surface):
    """Verbs about experiments: A/B tests of versions by units that always meet the same one."""

    def start(
        self,
        experiment: str,
        *,
        metric: MetricWish,
        control: str | Reference,
        treatment: Reference | None = None,
        variants: Mapping[str, Reference] | None = None,
        endpoint: EndpointReference | None = None,
        guardrails: Sequence[MetricWish] = (),
        metrics: Sequence[MetricWish] = (),
        shares: Mapping[str, float] | None = None,
        alpha: float = 0.05,
        power: float = 0.8,
        minimum_effect: float | None = None,
        max_duration: Duration = "14d",
        window: Duration = "1h",
        look_every: Duration | None = None,
        unit: str = "user",
        description: str = "",
        reason: str = "",
    ) -> Experiment:
        """Begin an experiment: its plan is frozen, and its endpoint, if one is named, deals the variants from now on.

        Parameters
        ----------
        experiment
            ``[project/]name``.
        metric
            What decides: a name (the share of units of which a 1 is recorded), or an `ExperimentMetric` or its fields, such as
            ``{"name": "errors", "kind": "ratio", "better": "lower"}``.
        control, treatment
            The two versions; or, with ``variants``, the name of the one that the others are compared with.
        variants
            Name → version, of two or more.
        endpoint
            Whose gateways deal, by the key of each request. Without one callers ask `assign`.
        guardrails, metrics
            What must not become worse (lower is better of a name alone), and what is only told.
        shares
            Percent of the units by name; equal shares unless said.
        alpha
            Chance of ever deciding where nothing differs.
        power, minimum_effect
            The difference that is worth finding, in the metric's units, and how surely: for the days left, and to give up early.
        max_duration, window
            How long units are exposed, and how long each is observed from its first exposure on: seconds, or texts as ``7d``.
        look_every
            How often there is something new to see; a 400th of the duration unless said.
        unit
            What is dealt, in a word.

        Raises
        ------
        Conflict
            When there is an experiment of that name, one runs on the endpoint, or a rollout moves it.
        InvalidRequest
            When the plan cannot be judged by.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> first, second = (registry.register("ranker", {"depth": n}) for n in (3, 4))
        >>> registry.experiments.start("ranker-test", control=first, treatment=second, metric="success")
        <experiment ranker-test · running · control ranker:1 50 %, treatment ranker:2 50 %>
        """
        names, chosen = self._arms(control, treatment, variants)
        unknown = [name for name in shares or {} if name not in names]
        if unknown:
            raise InvalidRequest(f"{unknown[0]!r} has a share, and is no variant.", hint=f"Name {', '.join(names)}.")
        primary = metric_of(metric, "primary")
        check_effect(minimum_effect, primary.name, primary.kind)  # here too: JSON has no word for what is no number
        request = q.StartExperiment(
            experiment=self._name(experiment),
            variants=tuple(
                q.ExperimentArm(name=name, version=version, percent=(shares or {}).get(name))
                for name, version in names.items()
            ),
            control=chosen,
            metrics=(
                primary,
                *(metric_of(each, "guardrail") for each in guardrails),
                *(metric_of(each, "secondary") for each in metrics),
            ),
            endpoint=self._endpoint_name(endpoint),
            alpha=alpha,
            power=power,
            minimum_effect=minimum_effect,
            unit=unit,
            max_duration_s=span_seconds(max_duration, "max_duration"),
            window_s=span_seconds(window, "window"),
            look_every_s=None if look_every is None else span_seconds(look_every, "look_every"),
            description=description,
            reason=reason,
        )
        made: Experiment = self._call(request)
        return made

    def get(self, experiment: ExperimentReference) -> Experiment:
        """An experiment as it was laid down, and what became of it; `status` says what it says now."""
        found: Experiment = self._call(q.GetExperiment(experiment=self._name(experiment)))
        return found

    def list(
        self, project: str | None = None, *, archived: bool = False, limit: int = 50, cursor: str = ""
    ) -> Page[Experiment]:
        """Experiments of a project, or of all that one sees, by project and name, a page at a time."""
        request = q.ListExperiments(project=project, archived=archived, limit=limit, cursor=cursor)
        page: q.ExperimentPage = self._call(request)
        return Page(page.items, page.cursor)

    def status(self, experiment: ExperimentReference) -> ExperimentStatus:
        """What an experiment says now: a word, a sentence to act on, and the figures. It may be asked at any time, as often as one likes.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> first, second = (registry.register("ranker", {"depth": n}) for n in (3, 4))
        >>> begun = registry.experiments.start("ranker-test", control=first, treatment=second, metric="success")
        >>> registry.experiments.status(begun).decision
        'continue'
        """
        found: ExperimentStatus = self._call(q.ShowExperiment(experiment=self._name(experiment)))
        return found

    def assign(self, experiment: ExperimentReference, unit: str, *, expose: bool = False) -> str:
        """The variant that a unit meets: the same everywhere and always, and nothing is written unless ``expose``.

        Given the `Experiment` itself nothing is asked of the registry. Once it has ended, everybody meets what it was decided for, else the
        control: look it up again from time to time.

        Parameters
        ----------
        expose
            Whether the unit is shown it now.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> first, second = (registry.register("ranker", {"depth": n}) for n in (3, 4))
        >>> begun = registry.experiments.start("ranker-test", control=first, treatment=second, metric="success")
        >>> registry.experiments.assign(begun, "user-1") == registry.experiments.assign("ranker-test", "user-1")
        True
        """
        found = experiment if isinstance(experiment, Experiment) else self.get(experiment)
        variant = found.assign(unit)
        if expose and found.state == "running":
            self.expose(found, unit, variant)
        return variant

    def expose(
        self,
        experiment: ExperimentReference,
        unit: str,
        variant: str = "",
        *,
        at: datetime | None = None,
        request_id: str = "",
    ) -> TakenRows:
        """Say that a unit was shown its variant: what is recorded of it counts from then on. Again makes no difference.

        Parameters
        ----------
        variant
            What it was shown; what it is dealt unless said. A unit that was shown another counts nowhere.
        at
            When; now unless said.
        request_id
            Of a gateway's answer, which says variant and time.
        """
        row = q.UnitShown(unit=unit, variant=variant, at=at, request_id=request_id)
        taken: TakenRows = self._call(q.ExposeUnits(experiment=self._name(experiment), exposures=(row,)))
        return taken

    def expose_batch(self, experiment: ExperimentReference, rows: object) -> TakenRows:
        """The same of many units: rows with ``unit`` and, if known, ``variant``, ``at`` and ``request_id``; see `record_batch`."""
        name, found = self._name(experiment), exposures_of(rows)
        return _in_parts(found, lambda part: self._call(q.ExposeUnits(experiment=name, exposures=tuple(part))))

    def record(
        self,
        experiment: ExperimentReference,
        *,
        unit: str = "",
        request_id: str = "",
        at: datetime | None = None,
        id: str = "",  # noqa: A002 - the field's word
        values: Mapping[str, float | tuple[float, float]] | None = None,
        **metrics: float | tuple[float, float],
    ) -> TakenRows:
        """Say what happened to a unit: late, again or in any order makes no difference.

        Parameters
        ----------
        unit
            The key that it was dealt by; only a keyed hash of it is kept.
        request_id
            Of a gateway's answer: the unit counts as exposed by it.
        at
            When it happened; now unless said.
        id
            One that comes again with the same id counts once.
        values, metrics
            Metric → value; of a ratio a pair, or its numerator.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> first, second = (registry.register("ranker", {"depth": n}) for n in (3, 4))
        >>> begun = registry.experiments.start("ranker-test", control=first, treatment=second, metric="success")
        >>> shown = registry.experiments.assign(begun, "user-1", expose=True)
        >>> registry.experiments.record(begun, unit="user-1", success=1).rows
        1
        """
        said = {"unit": unit, "request_id": request_id, "at": at, "id": id, **(values or {}), **metrics}
        return self.record_batch(experiment, [said])

    def record_batch(self, experiment: ExperimentReference, rows: object) -> TakenRows:
        """The same of many units.

        Parameters
        ----------
        rows
            Mappings with ``unit``, any of ``request_id``, ``at`` and ``id``, and a value by metric; or a data frame, an Arrow table or a
            mapping of columns of these names. Empty values are left out.
        """
        name, found = self._name(experiment), records_of(rows, random_bytes(9).hex())
        return _in_parts(found, lambda part: self._call(q.RecordUnits(experiment=name, records=tuple(part))))

    def stop(self, experiment: ExperimentReference, *, reason: str = "") -> Experiment:
        """End it: nobody is exposed any more, and its endpoint answers with the control alone. Units are observed to the end of their windows."""
        made: Experiment = self._call(q.StopExperiment(experiment=self._name(experiment), reason=reason))
        return made

    def extend(self, experiment: ExperimentReference, max_duration: Duration, *, reason: str = "") -> Experiment:
        """Set anew how long units are exposed, counted from the start: all that may change of a plan, and it is recorded."""
        length_s = span_seconds(max_duration, "max_duration")
        request = q.ExtendExperiment(experiment=self._name(experiment), max_duration_s=length_s, reason=reason)
        made: Experiment = self._call(request)
        return made

    def decide(
        self,
        experiment: ExperimentReference,
        winner: str = "auto",
        *,
        strategy: Strategy = "replace",
        reason: str = "",
    ) -> DecidedExperiment:
        """End it for a variant: the endpoint then answers with the control at once, or with a treatment by a rollout.

        Parameters
        ----------
        winner
            ``auto`` for the one that has won, which is refused where none has; or a variant's name, with a reason.
        strategy
            Of the rollout.

        Raises
        ------
        Conflict
            When nothing has won.
        """
        request = q.DecideExperiment(experiment=self._name(experiment), winner=winner, strategy=strategy, reason=reason)
        made: DecidedExperiment = self._call(request)
        return made

    def archive(self, experiment: ExperimentReference, *, reason: str = "") -> Experiment:
        """Put one that has ended away: what it said last is kept, and what is known of its units is removed."""
        made: Experiment = self._call(q.ArchiveExperiment(experiment=self._name(experiment), reason=reason))
        return made

    def _name(self, experiment: object) -> str:
        if isinstance(experiment, Experiment):
            return experiment.ref
        if not isinstance(experiment, str):
            raise InvalidRequest(f"An experiment is a text such as 'ranker-test', not a {type(experiment).__name__}.")
        return str(parse_experiment(experiment, self._settings.project))

    def _endpoint_name(self, endpoint: EndpointReference | None) -> str:
        if endpoint is None:
            return ""
        ref = endpoint if isinstance(endpoint, str) else endpoint.ref
        return str(parse_experiment(ref, self._settings.project))

    def _arms(
        self, control: str | Reference, treatment: Reference | None, variants: Mapping[str, Reference] | None
    ) -> tuple[dict[str, str], str]:
        """Version by the variant's name, and the name of the control."""
        if variants is None:
            if treatment is None:
                raise InvalidRequest(
                    "There is nothing to compare the control with.", hint="Give treatment= or variants=."
                )
            return {"control": self._ref(control), "treatment": self._ref(treatment)}, "control"
        if treatment is not None or not isinstance(control, str):
            msg = "With variants the control is one of their names, and there is no treatment beside them."
            raise InvalidRequest(msg, hint='Give variants={"a": "ranker:3", "b": "ranker:4"}, control="a".')
        return {name: self._ref(version) for name, version in variants.items()}, control


def _in_parts(rows: Iterable[Any], send: Any) -> TakenRows:
    """Send rows in parts that a request holds, and add up what was taken."""
    total = TakenRows()
    part: list[Any] = []
    for row in rows:
        part.append(row)
        if len(part) == q.ROWS_MAX:
            total = _both(total, send(part))
            part = []
    return _both(total, send(part)) if part else total


def _both(first: TakenRows, second: TakenRows) -> TakenRows:
    return TakenRows(
        rows=first.rows + second.rows, outside=first.outside + second.outside, astray=first.astray + second.astray
    )
