"""Streaming detectors of change: frozen states that are given one value after another.

`Adwin`, `Kswin`, `PageHinkley` and `Cusum` watch numbers; `Ddm`, `Eddm`, `HddmA` and `HddmW` watch mistakes, 1 for a wrong answer and
0 for a right one. Each is a value: ``observe`` gives the next one, whose ``detected`` says whether the last value showed a change.
A detector that has detected starts anew with the value after. Parameters, their defaults and the detections are those of
river 0.26, and of frouros 0.9 under ``definition="frouros"``.

A state goes into JSON and back between any two values, which changes nothing: ``msgspec.json.decode(text, type=AnyDetector)``.
"""

from chopmark.stats.detectors.base import Detector
from chopmark.stats.detectors.means import Cusum, PageHinkley
from chopmark.stats.detectors.mistakes import Ddm, Eddm
from chopmark.stats.detectors.mistakes_bounded import HddmA, HddmW
from chopmark.stats.detectors.windows import Adwin, Kswin

__all__ = ["Adwin", "AnyDetector", "Cusum", "Ddm", "Detector", "Eddm", "HddmA", "HddmW", "Kswin", "PageHinkley"]

AnyDetector = Adwin | Kswin | PageHinkley | Cusum | Ddm | Eddm | HddmA | HddmW
"""Whatever was encoded is decoded as what it was."""
