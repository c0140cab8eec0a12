"""What can be broken on purpose in simulated rollouts, so that the simulation is seen to find it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from chopmark.domain import analysis, rollout_drift, rollout_routers, rollout_steps
from chopmark.domain.rollouts import Rollout

__all__ = ["BROKEN", "broken_product"]

BROKEN = (
    "no_compare_and_set",
    "stale_cache",
    "local_clock",
    "step_in_memory",
    "no_data_passes",
    "hold_blocks_abort",
    "any_generation",
    "old_measurement",
    "alert_outlives",
)


@contextmanager
def broken_product(broken: frozenset[str]) -> Iterator[None]:
    """The product with those of the faults that lie in it; the others are in the controllers and routers."""
    with ExitStack() as stack:
        if "stale_cache" in broken:
            known: set[tuple[Any, ...]] = set()
            real = rollout_routers._has_confirmed  # noqa: SLF001 - to be broken

            def remembered(router: Any, rollout: Rollout, *rest: Any) -> bool:
                key = (router.report.id, rollout.id, router.report.started_at)
                if key not in known and real(router, rollout, *rest):
                    known.add(key)
                return key in known

            stack.enter_context(patch.object(rollout_routers, "_has_confirmed", remembered))
        if "no_data_passes" in broken:
            verdict = analysis.verdict_of

            def lenient(*what: Any) -> str:
                found = verdict(*what)
                return "pass" if found == "no_data" else found

            stack.enter_context(patch.object(analysis, "verdict_of", lenient))
        if "hold_blocks_abort" in broken:
            ended = rollout_steps._why_ended  # noqa: SLF001

            def only_unheld(rollout: Rollout, seen: Any, now: Any) -> Any:
                return None if rollout_steps.holds(rollout, seen, now) else ended(rollout, seen, now)

            stack.enter_context(patch.object(rollout_steps, "_why_ended", only_unheld))
        if "old_measurement" in broken:
            stack.enter_context(
                patch.object(rollout_drift, "of_this_step", lambda rollout, gauges: gauges if rollout.checks else {})
            )
        yield
