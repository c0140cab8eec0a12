"""Statistics that an operator can trust: mergeable summaries go in, rows never do. Usable alone; pure functions of their arguments.

What most people need is here, imported when it is first used, for `import chopmark.stats` loads neither NumPy nor SciPy:

>>> from chopmark import stats
>>> round(stats.z_test(stats.Proportion(900, 1_000), stats.Proportion(930, 1_000)).p_value, 4)
0.0162

The rest is in the modules by their subject: `exact`, `stratified`, `margins`, `multiplicity`, `power`, `bayes`, `bandits`, `quantiles`,
`two_sample`, `multivariate`, `estimated_performance`, `anomalies`, `scores`, and other systems' definitions in `assign_compat`,
`drift_compat` and `proportions_compat`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chopmark.stats.assign import Assignment
    from chopmark.stats.detectors import Adwin, Cusum, Ddm, Eddm, HddmA, HddmW, Kswin, PageHinkley
    from chopmark.stats.drift import DriftReport, check_drift
    from chopmark.stats.estimated_performance import ScoreTable
    from chopmark.stats.experiment import Experiment
    from chopmark.stats.looks import PlannedLooks
    from chopmark.stats.means import cuped_test, ratio_test, welch_test
    from chopmark.stats.plans import Batch, Metric, Plan
    from chopmark.stats.profile import Counts, Profile
    from chopmark.stats.proportions import newcombe_interval, z_test
    from chopmark.stats.ratio_check import sample_ratio_test
    from chopmark.stats.readings import Reading
    from chopmark.stats.results import Effect, Interval
    from chopmark.stats.sequential import BernoulliEProcess, EventShare, MeanSequence
    from chopmark.stats.sketch import QuantileSketch
    from chopmark.stats.summaries import Cuped, Exposures, Mean, Proportion, Ratio
    from chopmark.stats.verdicts import Verdict

_HOMES = {
    "Adwin": "detectors",
    "Assignment": "assign",
    "Batch": "plans",
    "BernoulliEProcess": "sequential",
    "Counts": "profile",
    "Cuped": "summaries",
    "Cusum": "detectors",
    "Ddm": "detectors",
    "DriftReport": "drift",
    "Eddm": "detectors",
    "Effect": "results",
    "EventShare": "sequential",
    "Experiment": "experiment",
    "Exposures": "summaries",
    "HddmA": "detectors",
    "HddmW": "detectors",
    "Interval": "results",
    "Kswin": "detectors",
    "Mean": "summaries",
    "MeanSequence": "sequential",
    "Metric": "plans",
    "PageHinkley": "detectors",
    "Plan": "plans",
    "PlannedLooks": "looks",
    "Profile": "profile",
    "Proportion": "summaries",
    "QuantileSketch": "sketch",
    "Ratio": "summaries",
    "Reading": "readings",
    "ScoreTable": "estimated_performance",
    "Verdict": "verdicts",
    "check_drift": "drift",
    "cuped_test": "means",
    "newcombe_interval": "proportions",
    "ratio_test": "means",
    "sample_ratio_test": "ratio_check",
    "welch_test": "means",
    "z_test": "proportions",
}

__all__ = [
    "Adwin",
    "Assignment",
    "Batch",
    "BernoulliEProcess",
    "Counts",
    "Cuped",
    "Cusum",
    "Ddm",
    "DriftReport",
    "Eddm",
    "Effect",
    "EventShare",
    "Experiment",
    "Exposures",
    "HddmA",
    "HddmW",
    "Interval",
    "Kswin",
    "Mean",
    "MeanSequence",
    "Metric",
    "PageHinkley",
    "Plan",
    "PlannedLooks",
    "Profile",
    "Proportion",
    "QuantileSketch",
    "Ratio",
    "Reading",
    "ScoreTable",
    "Verdict",
    "check_drift",
    "cuped_test",
    "newcombe_interval",
    "ratio_test",
    "sample_ratio_test",
    "welch_test",
    "z_test",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
