"""An ensemble as it is loaded: its members and how their answers are put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from chopmark.domain.names import shown
from chopmark.domain.versions import Version
from chopmark.errors import InvalidRequest, Unsupported

__all__ = ["COMBINE", "Combine", "Ensemble", "LoadedMember", "check_combine"]

Combine = Literal["mean", "median", "max", "vote"]
COMBINE: tuple[Combine, ...] = ("mean", "median", "max", "vote")


class LoadedMember(msgspec.Struct, frozen=True):
    """A member: which version, its model, and its weight."""

    version: Version
    model: Any
    weight: float


class Ensemble(msgspec.Struct, frozen=True):
    """Loaded members of an ensemble.

    Attributes
    ----------
    members
        In the order of registration.
    combine
        ``mean`` (weighted), ``median``, ``max``, or ``vote`` (weighted majority of labels; a tie
        goes to the smallest label).
    """

    members: tuple[LoadedMember, ...]
    combine: Combine

    def predict(self, inputs: Any) -> Any:
        """Ask every member and combine the answers.

        Parameters
        ----------
        inputs
            What the members' ``predict`` takes, n rows.

        Returns
        -------
        numpy.ndarray
            Shape (n,) or as the members answer: floats, or labels for ``vote``.
        """
        return self._combined(self._asked("predict", inputs))

    def predict_proba(self, inputs: Any) -> Any:
        """Ask every member for probabilities and combine them (not by vote).

        Returns
        -------
        numpy.ndarray
            Shape (n, classes).
        """
        if self.combine == "vote":
            msg = "An ensemble that votes has no probabilities."
            raise InvalidRequest(msg, hint="Call predict, or register it with combine='mean'.")
        return self._combined(self._asked("predict_proba", inputs))

    def _asked(self, method: str, inputs: Any) -> list[Any]:
        for member in self.members:
            if not callable(getattr(member.model, method, None)):
                msg = f"{member.version.ref}, a member of the ensemble, has no {method}."
                raise Unsupported(msg, hint="Load its members one by one and combine them yourself.")
        return [getattr(m.model, method)(inputs) for m in self.members]

    def _combined(self, answers: Sequence[Any]) -> Any:
        import numpy as np

        stacked = np.stack([np.asarray(a) for a in answers])
        weights = np.array([m.weight for m in self.members], dtype=float)
        match self.combine:
            case "mean":
                return np.tensordot(weights / weights.sum(), stacked, axes=1)
            case "median":
                return np.median(stacked, axis=0)
            case "max":
                return stacked.max(axis=0)
            case "vote":
                labels = np.unique(stacked)
                scores = np.stack([np.tensordot(weights, stacked == label, axes=1) for label in labels])
                return labels[scores.argmax(axis=0)]


def check_combine(combine: str) -> Combine:
    """Return the way of combining when there is one of that name.

    Raises
    ------
    InvalidRequest
        With those there are.
    """
    for known in COMBINE:
        if combine == known:
            return known
    msg = f"{shown(combine)} is no way of combining."
    raise InvalidRequest(msg, hint="There are " + ", ".join(COMBINE) + ".")
