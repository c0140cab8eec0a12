"""What became of the rollout of a treatment that an experiment was decided for: deciding moves nothing by itself."""

from __future__ import annotations

from chopmark.abc.catalog import Transaction
from chopmark.domain.endpoints import parse_endpoint
from chopmark.domain.experiments import Experiment
from chopmark.domain.rollouts import Rollout

__all__ = ["again", "rollout_told"]

_LOOKED_AT = 100


def rollout_told(tx: Transaction, experiment: Experiment) -> str:
    """In words, with what to do when it failed; empty where there was none to begin."""
    if experiment.state != "decided" or not again(experiment):
        return ""
    rollout = _newest(tx, experiment)
    return "" if rollout is None else _told(rollout, again(experiment))


def again(experiment: Experiment) -> str:
    """The command that takes its endpoint to the treatment that won; empty where nothing is to be moved."""
    winner = _winner(experiment)
    if winner is None:
        return ""
    return f"chopmark rollout start {experiment.plan.endpoint} {winner[1]} --reason '…'"


def _winner(experiment: Experiment) -> tuple[object, str] | None:
    """Id and reference of the version that won, if it is another than the control's and an endpoint deals."""
    if experiment.endpoint_id is None or experiment.winner in ("", experiment.plan.control):
        return None
    return next((v.version.id, v.version.ref) for v in experiment.plan.variants if v.name == experiment.winner)


def _newest(tx: Transaction, experiment: Experiment) -> Rollout | None:
    winner = _winner(experiment)
    if winner is None:
        return None
    ref = parse_endpoint(experiment.plan.endpoint)
    found = tx.rollouts.list(project=ref.project, name=ref.name, limit=_LOOKED_AT)
    return next((r for r in found if (r.endpoint, r.candidate.id) == (experiment.endpoint_id, winner[0])), None)


def _told(rollout: Rollout, command: str) -> str:
    state = rollout.state.replace("_", " ")
    if rollout.state not in ("rolled_back", "failed"):
        return f"of {rollout.candidate.ref}: {state}"
    reason = (rollout.reason or rollout.waiting).rstrip(".")
    why = f" ({reason})" if reason else ""
    return f"of {rollout.candidate.ref}: {state}{why}. To try again: {command}"
