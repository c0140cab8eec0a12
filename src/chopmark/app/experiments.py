"""Experiments as people ask for them: begun, looked up, ended. What is known of units is taken and judged in `experiment_units`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from chopmark.app.context import Context, the_project
from chopmark.app.endpoints import locked_endpoint, pinned_version, set_split
from chopmark.app.experiment_rollouts import again
from chopmark.app.experiment_units import status_of
from chopmark.app.named_pages import named_page
from chopmark.app.rollouts import begin
from chopmark.app.routing import advance
from chopmark.domain.endpoints import Endpoint, parse_endpoint
from chopmark.domain.experiments import (
    Experiment,
    ExperimentPlan,
    check_plan,
    extended,
    lengths_of,
    parse_experiment,
    shares_of,
)
from chopmark.domain.names import check_name, check_text, shown
from chopmark.domain.rollout_plans import plan_for
from chopmark.domain.rollouts import Rollout
from chopmark.domain.traffic import WEIGHT_TOTAL, Variant, check_split, weight_of
from chopmark.domain.variants import Wanted, named_variants
from chopmark.errors import Conflict, InvalidRequest, NotFound
from chopmark.ops import experiments as q

__all__ = ["archive", "decide", "extend", "find", "get", "list_page", "start", "stop"]

_AUTO = "auto"


def start(ctx: Context, request: q.StartExperiment) -> Experiment:
    """Begin an experiment."""
    ref = parse_experiment(request.experiment)
    the_project(ctx, ref.project)
    check_name(ref.name, "experiment")
    if ctx.tx.experiments.get(ref.project, ref.name) is not None:
        raise Conflict(
            f"There is an experiment {ref} already.", hint="Its plan is frozen: start another one by another name."
        )
    batch_s, length_s = lengths_of(request.max_duration_s, request.window_s, request.look_every_s)
    made_id = ctx.new_id()
    dealing = _dealing(ctx, request, ref.project, made_id.hex)
    endpoint = dealing.endpoint
    plan = check_plan(
        ExperimentPlan(
            variants=dealing.variants,
            control=dealing.control,
            metrics=request.metrics,
            alpha=request.alpha,
            power=request.power,
            minimum_effect=request.minimum_effect,
            unit=request.unit,
            endpoint=endpoint.ref if endpoint is not None else "",
            salt=dealing.salt,
            window_s=request.window_s,
            batch_s=batch_s,
        )
    )
    made = Experiment(
        id=made_id,
        project=ref.project,
        name=ref.name,
        description=check_text(request.description, "description"),
        plan=plan,
        endpoint_id=endpoint.id if endpoint is not None else None,
        started_at=ctx.now,
        started_by=ctx.actor.name,
        ends_at=ctx.now + timedelta(seconds=length_s),
    )
    ctx.tx.experiments.insert(made)
    if endpoint is not None:
        _deal(ctx, endpoint, plan.variants, request.reason or f"the experiment {made.ref}")
    ctx.emit(
        made.ref,
        plan=msgspec.to_builtins(plan),
        plan_digest=plan.digest,
        ends_at=made.ends_at.isoformat(),
        reason=request.reason,
    )
    return made


def get(ctx: Context, request: q.GetExperiment) -> Experiment:
    """Look up an experiment."""
    ref = parse_experiment(request.experiment)
    return _there(ctx.tx.experiments.get(ref.project, ref.name), str(ref))


def find(ctx: Context, text: str) -> Experiment:
    """The experiment of that name, for those who ask of its units."""
    return get(ctx, q.GetExperiment(experiment=text))


def list_page(ctx: Context, request: q.ListExperiments) -> q.ExperimentPage:
    """A page of experiments by project and name."""
    project, archived = request.project, request.archived
    items, cursor = named_page(
        request,
        ["experiments", project, archived],
        lambda after, limit: ctx.tx.experiments.list(project=project, archived=archived, after=after, limit=limit),
    )
    return q.ExperimentPage(items=items, cursor=cursor)


def stop(ctx: Context, request: q.StopExperiment) -> Experiment:
    """End an experiment without a winner."""
    seen = _locked(ctx, request.experiment)
    _check_running(seen)
    made = structs.replace(seen, state="stopped", ended_at=ctx.now, ended_by=ctx.actor.name)
    _answer_alone(ctx, made, seen.plan.control, request.reason or f"the experiment {seen.ref} was stopped")
    _ended(ctx, made, request.reason)
    return made


def extend(ctx: Context, request: q.ExtendExperiment) -> Experiment:
    """Set the end of an experiment anew."""
    seen = _locked(ctx, request.experiment)
    made = extended(seen, request.max_duration_s, ctx.now)
    ctx.tx.experiments.put(made)
    ctx.emit(
        made.ref,
        before={"ends_at": seen.ends_at.isoformat()},
        after={"ends_at": made.ends_at.isoformat()},
        plan_digest=seen.plan.digest,
        reason=request.reason,
    )
    return made


def decide(ctx: Context, request: q.DecideExperiment) -> q.DecidedExperiment:
    """End an experiment for a variant."""
    seen = _locked(ctx, request.experiment)
    if seen.state not in ("running", "stopped"):
        won = f" for {seen.winner}" if seen.winner else ""
        command = again(seen) if seen.state == "decided" else ""
        hint = f"To take its endpoint to {seen.winner}: {command}" if command else "Start another one, by another name."
        raise Conflict(f"The experiment {seen.ref} is {seen.state}{won}.", hint=hint)
    winner = _winner(ctx, seen, request)
    made = structs.replace(
        seen,
        state="decided",
        winner=winner,
        ended_at=seen.ended_at or ctx.now,
        ended_by=seen.ended_by or ctx.actor.name,
    )
    reason = request.reason or f"the experiment {seen.ref} was decided for {winner}"
    endpoint = _answer_alone(ctx, made, seen.plan.control, reason)
    rollout = _promoted(ctx, made, endpoint, request, reason)
    _ended(ctx, made, request.reason, winner=winner, rollout=str(rollout.id) if rollout else None)
    return q.DecidedExperiment(experiment=made, rollout=rollout)


def archive(ctx: Context, request: q.ArchiveExperiment) -> Experiment:
    """Put an experiment away."""
    seen = _locked(ctx, request.experiment)
    if seen.state == "archived":
        return seen
    if seen.state == "running":
        raise Conflict(
            f"The experiment {seen.ref} is running.", hint=f"First: chopmark experiment stop {seen.ref} --reason '…'"
        )
    final = status_of(ctx, seen)
    made = structs.replace(seen, state="archived", final=structs.replace(final, state="archived"))
    ctx.tx.experiments.put(made)
    units = ctx.tx.experiment_units.forget(seen.id)
    ctx.emit(made.ref, decision=final.decision, sentence=final.sentence, units=units, reason=request.reason)
    return made


class _Dealing(NamedTuple):
    """How units are dealt: the variants in their order, the control's name, the salt, and the endpoint whose gateways deal."""

    variants: tuple[Variant, ...]
    control: str
    salt: str
    endpoint: Endpoint | None = None


def _dealing(ctx: Context, request: q.StartExperiment, project: str, salt: str) -> _Dealing:
    weights = [weight_of(share) for share in shares_of([arm.percent for arm in request.variants])]
    wanted = [
        Wanted(pinned_version(ctx, arm.version), weight, check_name(arm.name, "variant"))
        for arm, weight in zip(request.variants, weights, strict=True)
    ]
    names = [arm.name for arm in request.variants]
    if request.control not in names:
        msg = f"The control {shown(request.control)} is no variant."
        raise InvalidRequest(msg, hint=f"Name one of {', '.join(names)}.")
    if not request.endpoint:
        variants = named_variants(wanted)
        check_split(variants)
        return _Dealing(variants, request.control, salt)
    if parse_endpoint(request.endpoint).project != project:
        raise InvalidRequest(
            "An experiment is in the project of its endpoint.", hint="Name both with the same project."
        )
    endpoint = locked_endpoint(ctx, request.endpoint)
    _check_free(ctx, endpoint)
    variants = _as_dealt(endpoint, wanted) or named_variants(wanted, endpoint.variants)
    if variants != endpoint.variants and ctx.whole.rollouts.active_of(endpoint.id) is not None:
        msg = f"A rollout moves the traffic of {endpoint.ref}."
        raise Conflict(msg, hint=f"Wait for its end, or: chopmark rollout abort {endpoint.ref} --reason '…'")
    control_id = wanted[names.index(request.control)].version.id
    control = next(variant.name for variant in variants if variant.version.id == control_id)
    return _Dealing(variants, control, structs.replace(endpoint, variants=variants).salt, endpoint)


def _as_dealt(endpoint: Endpoint, wanted: Sequence[Wanted]) -> tuple[Variant, ...]:
    """The endpoint's variants, if it deals these versions in these shares already, as a rollout that waits for an experiment does."""
    there = {variant.version.id: variant.weight for variant in endpoint.variants}
    return endpoint.variants if there == {each.version.id: each.weight for each in wanted} else ()


def _check_free(ctx: Context, endpoint: Endpoint) -> None:
    running = [each for each in ctx.whole.experiments.on_endpoint(endpoint.id, limit=10) if each.state == "running"]
    if running:
        msg = f"The experiment {running[0].ref} runs on {endpoint.ref}."
        raise Conflict(msg, hint=f"First: chopmark experiment stop {running[0].ref} --reason '…'")


def _deal(ctx: Context, endpoint: Endpoint, variants: tuple[Variant, ...], reason: str) -> Endpoint:
    arms = {variant.version.id for variant in variants}
    shadows = tuple(each for each in endpoint.shadows if each.version.id not in arms)
    return _told(ctx, endpoint, set_split(ctx, endpoint, variants, shadows, reason))


def _told(ctx: Context, seen: Endpoint, made: Endpoint) -> Endpoint:
    """The endpoint, once routers hear of it: also where the split stays, who meets a variant is exposed, or is no more."""
    if made is seen:
        advance(ctx)
    return made


def _answer_alone(ctx: Context, experiment: Experiment, name: str, reason: str) -> Endpoint | None:
    """Have the endpoint answer with one variant, unless it deals otherwise than the experiment by now: then somebody chose."""
    if experiment.endpoint_id is None:
        return None
    ref = parse_endpoint(experiment.plan.endpoint)
    endpoint = ctx.tx.endpoints.lock(ref.project, ref.name)
    if endpoint is None or endpoint.id != experiment.endpoint_id:
        return None
    if endpoint.variants != experiment.plan.variants or ctx.whole.rollouts.active_of(endpoint.id) is not None:
        return _told(ctx, endpoint, endpoint)
    chosen = next(variant for variant in experiment.plan.variants if variant.name == name)
    alone = named_variants([Wanted(chosen.version, WEIGHT_TOTAL)], endpoint.variants)
    return _told(ctx, endpoint, set_split(ctx, endpoint, alone, endpoint.shadows, reason))


def _promoted(
    ctx: Context, experiment: Experiment, endpoint: Endpoint | None, request: q.DecideExperiment, reason: str
) -> Rollout | None:
    """The rollout of a treatment that won; None where there is nothing to move."""
    if endpoint is None or experiment.winner == experiment.plan.control:
        return None
    chosen = next(variant for variant in experiment.plan.variants if variant.name == experiment.winner)
    if ctx.whole.rollouts.active_of(endpoint.id) is not None:
        return None  # that rollout asks the experiment, and goes on by itself
    if [v.version.id for v in endpoint.variants if v.weight] == [chosen.version.id]:
        return None
    candidate = pinned_version(ctx, chosen.version.ref)
    return begin(ctx, endpoint, candidate, plan_for(request.strategy), reason=reason)


def _winner(ctx: Context, experiment: Experiment, request: q.DecideExperiment) -> str:
    names = experiment.plan.names
    if request.winner in names and request.winner != _AUTO:
        if not request.reason:
            raise InvalidRequest("A winner that is named needs a reason.", hint="Say why, or decide with auto.")
        return request.winner
    if request.winner != _AUTO:
        raise NotFound(f"There is no variant {shown(request.winner)}.", hint=f"There are {', '.join(names)}.")
    status = status_of(ctx, experiment)
    if not status.winner:
        raise Conflict(
            f"The experiment {experiment.ref} has no winner: {status.sentence}",
            hint="Wait, stop it, or name the winner yourself with a reason.",
        )
    return status.winner


def _ended(ctx: Context, experiment: Experiment, reason: str, **facts: Any) -> None:
    """Write an end down, with what the experiment said at it."""
    ctx.tx.experiments.put(experiment)
    status = status_of(ctx, experiment)
    ctx.emit(
        experiment.ref,
        decision=status.decision,
        sentence=status.sentence,
        units=status.units,
        plan_digest=experiment.plan.digest,
        reason=reason,
        **facts,
    )


def _check_running(experiment: Experiment) -> None:
    if experiment.state != "running":
        raise Conflict(f"The experiment {experiment.ref} is {experiment.state} already.")


def _locked(ctx: Context, text: str) -> Experiment:
    ref = parse_experiment(text)
    return _there(ctx.tx.experiments.lock(ref.project, ref.name), str(ref))


def _there(experiment: Experiment | None, ref: str) -> Experiment:
    if experiment is None:
        raise NotFound(f"There is no experiment {ref!r}.", hint="See what there is with: chopmark experiment list")
    return experiment
