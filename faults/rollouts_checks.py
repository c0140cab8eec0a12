"""What must hold in every simulated rollout, checked at each commit by what is true in the world, not by what the product saw."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from chopmark.domain.rollout_drift import drift_metrics
from chopmark.domain.rollouts import ACTIVE, FINAL, Rollout, RolloutEvent
from chopmark.domain.traffic import WEIGHT_TOTAL
from faults.rollouts_world import World

__all__ = ["Measurement", "Oracle", "Truth"]


@dataclass(frozen=True)
class Truth:
    """What was so when a controller read.

    Attributes
    ----------
    weights
        Of each live router, by version number.
    """

    weights: dict[str, dict[int, int]]
    at: datetime
    alert: str
    requests: int
    gauge: float | None
    is_anybody_heard: bool

    @classmethod
    def of(cls, world: World, rollout: Rollout) -> Truth:
        """The truth now."""
        live, gauge = world.live(), world.gauges.get("quality")
        return cls(
            weights={r.id: {v.version.number: v.weight for v in r.endpoint.variants} for r in live},
            at=world.true,
            alert=world.alert,
            requests=world.requests[rollout.candidate.number],
            gauge=gauge.value if gauge is not None else None,
            is_anybody_heard=world.is_anybody_heard(),
        )


class Measurement(NamedTuple):
    """Of drift, as a worker made it: of which step, when by the truth, and how far the clock had been set back until then."""

    step: tuple[UUID, int, str]
    confirmed_at: datetime | None
    at: datetime
    value: float | None
    set_back: timedelta


@dataclass
class Oracle:
    """Remembers what the row need not, and says what was broken."""

    world: World
    confirmed: dict[tuple[UUID, int, str], tuple[datetime, int]] = field(default_factory=dict)
    measured: dict[tuple[UUID, int, str], Measurement] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)

    def committed(self, old: Rollout, new: Rollout, events: tuple[RolloutEvent, ...], truth: Truth) -> None:
        """After a controller's commit: the row before (as it was in the database), after, and what was told."""
        self._states(old, new, events)
        weights = [v.weight for v in self.world.db.endpoint.variants]
        self._expect(sum(weights) == WEIGHT_TOTAL, f"the weights sum to {sum(weights)}")
        self._expect(len(self.world.db.active()) <= 1, "two rollouts are active on one endpoint")
        if any(event.kind == "confirmed" for event in events):
            self.confirmed[new.id, new.step, new.state] = (truth.at, truth.requests)
        if new.state in {"progressing", "promoting"} and (new.weight > old.weight or new.step != old.step):
            self._raised(old, new, truth)
        if new.weight < old.weight:
            is_allowed = new.state == "aborting" or old.is_final
            self._expect(is_allowed, f"the weight went down from {old.weight} to {new.weight} while {new.state}")
        if new.state == "completed" and old.state != "completed":
            self._everywhere(new, WEIGHT_TOTAL, truth, "completed")
            self._expect(truth.is_anybody_heard, "completed, and no router was live")
            self._held(old, truth)
        if old.state == "aborting" and new.state in FINAL and old.asked is not None:
            self._everywhere(new, 0, truth, "ended its abort")

    def measures(self, made: Measurement) -> None:
        """Drift is measured, which costs a read of files: not again within a minute, as long as the row knows of it and the clock goes on."""
        last = self.measured.get(made.step)
        is_known = last is not None and last.set_back == made.set_back and last.confirmed_at == made.confirmed_at
        if last is not None and is_known:
            self._expect(made.at - last.at >= timedelta(minutes=1), f"measured again after {made.at - last.at}")

    def handed_in(self, made: Measurement) -> None:
        """A measurement was taken by a commit."""
        self.measured[made.step] = made

    def told(self, rollout: Rollout, kind: str, truth: Truth) -> None:
        """An alert is opened or resolved, by a look at what was so then."""
        is_open = rollout.id in self.world.db.alerts
        self._expect(is_open == (kind == "resolved"), f"{kind}, and an alert {'fires' if is_open else 'does not fire'}")
        if kind == "firing":
            begun = self.confirmed.get((rollout.id, rollout.step, rollout.state))
            self._expect(begun is None or truth.requests <= begun[1], "an alert says that no copy came, and some did")

    def settled(self, rollout: Rollout) -> None:
        """After all that a commit did."""
        is_open = rollout.id in self.world.db.alerts
        self._expect(not (is_open and rollout.is_final), f"an alert fires of a rollout that is {rollout.state}")

    def _states(self, old: Rollout, new: Rollout, events: tuple[RolloutEvent, ...]) -> None:
        if old.state == new.state and old.step == new.step:
            return
        self._expect(old.state not in FINAL, f"{old.state} was left for {new.state}")
        moves = [e for e in events if e.kind == "moved" and e.after == new.state and e.step == new.step]
        self._expect(bool(moves) and bool(moves[0].reason), f"{old.state} → {new.state} without an event that says why")
        is_next = old.state != "progressing" or new.state != "progressing" or new.step == old.step + 1
        self._expect(is_next, f"step {old.step} was followed by step {new.step}")
        self._expect(old.state not in ACTIVE or new.state != "queued", "it went back into the queue")

    def _raised(self, old: Rollout, new: Rollout, truth: Truth) -> None:
        self._expect(
            old.pause is None, f"raised to {new.weight} while paused ({old.pause.reason if old.pause else ''})"
        )
        self._expect(not truth.alert, f"raised to {new.weight} while the alert {truth.alert} asked for a pause")
        self._expect(old.wants != "abort", f"raised to {new.weight} although an abort was asked for")
        self._everywhere(old, old.weight, truth, f"raised to {new.weight}")
        if old.state == "progressing":
            self._held(old, truth)

    def _held(self, old: Rollout, truth: Truth) -> None:
        """Whether the step that is left was held, and measured, unless a person said to go on."""
        step = old.plan.bake if old.state in {"promoting", "baking"} else old.plan.steps[old.step]
        begun = self.confirmed.get((old.id, old.step, old.state))
        if begun is None:
            self.found.append(f"{old.state} {old.step} was left, and was never confirmed")
            return
        if old.wants:
            return
        held = truth.at - begun[0]
        self._expect(held >= timedelta(seconds=step.hold_s), f"left after {held}, not {step.hold_s} s")
        arrived = truth.requests - begun[1]
        self._expect(arrived >= step.samples_min, f"left with {arrived} of {step.samples_min} requests")
        if any(check.measured == "quality" for check in old.plan.checks):
            is_known = truth.gauge is not None and math.isfinite(truth.gauge)
            self._expect(is_known, f"passed without a measurement ({truth.gauge})")
        if drift_metrics(old.plan):
            self._measured_in(old, truth)
        if step.gate:
            self._expect(old.step in old.approved, f"passed the gate {step.gate} without an approval")

    def _measured_in(self, old: Rollout, truth: Truth) -> None:
        """Whether drift was measured in the step that is left, and lately."""
        made = self.measured.get((old.id, old.step, old.state))
        if made is None or made.value is None:
            self.found.append(f"passed without a measurement of drift ({made})")
            return
        age, late = truth.at - made.at, self.world.set_back - made.set_back
        self._expect(age <= timedelta(seconds=300) + late, f"passed by a measurement of drift that was {age} old")

    def _everywhere(self, rollout: Rollout, weight: int, truth: Truth, what: str) -> None:
        number = rollout.candidate.number
        wrong = {r: w.get(number, 0) for r, w in truth.weights.items() if w.get(number, 0) != weight}
        self._expect(not wrong, f"{what}, and live routers had {wrong} instead of {weight}")

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.found.append(what)
