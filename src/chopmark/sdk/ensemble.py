"""An ensemble as it is loaded: its members and how their answers are put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from chopmark.domain.names import shown
from chopmark.domain.versions import Version
from chopmark.errors import InvalidRequest, Unsupported
from chopmark.sdk.estimators import is_detector, last_step

__all__ = ["COMBINE", "Combine", "Ensemble", "LoadedMember", "averages_probabilities", "check_combine", "classes_of"]

Combine = Literal["auto", "mean", "median", "max", "vote"]
COMBINE: tuple[Combine, ...] = ("auto", "mean", "median", "max", "vote")


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
        ``mean`` (weighted), ``median`` or ``max`` of numbers and probabilities, or ``vote``
        (weighted majority of labels; a tie goes to the smallest label); ``auto`` votes where members
        answer with labels, and takes the mean of numbers and probabilities.
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
            Shape (n,) or as the members answer: floats, or labels after a vote.

        Raises
        ------
        InvalidRequest
            When members answer with labels (classes, or flags of anomalies) and the ensemble does not
            vote: labels have no mean.
        Unsupported
            When a member has no ``predict``.
        """
        answers = self._asked("predict", inputs)
        labelling = (m for m, a in zip(self.members, answers, strict=True) if _are_labels(m.model, a))
        labeller = None if self.combine == "vote" else next(labelling, None)
        if labeller is not None and self.combine != "auto":
            raise self._refusal(labeller)
        return self._combined(answers, "mean" if labeller is None else "vote")

    def _refusal(self, member: LoadedMember) -> InvalidRequest:
        msg = (
            f"{member.version.ref}, a member of the ensemble, answers with labels, "
            f"and combine={self.combine!r} is for numbers."
        )
        hint = "Register the ensemble with combine='vote'."
        if averages_probabilities(self):
            hint = "Register the ensemble with combine='vote', or call predict_proba for the combined probabilities."
        return InvalidRequest(msg, hint=hint)

    def predict_proba(self, inputs: Any) -> Any:
        """Ask every member for probabilities and combine them (not by vote).

        Returns
        -------
        numpy.ndarray
            Shape (n, classes).

        Raises
        ------
        InvalidRequest
            When the ensemble votes, or its members were not trained on the same classes.
        Unsupported
            When a member has no ``predict_proba``.
        """
        if self.combine == "vote":
            msg = "An ensemble that votes has no probabilities."
            raise InvalidRequest(msg, hint="Call predict, or register it with combine='mean'.")
        self._check_classes()
        return self._combined(self._asked("predict_proba", inputs), "mean")

    def _check_classes(self) -> None:
        """Columns of probabilities may be combined only when they stand for the same classes."""
        known = [(m.version.ref, getattr(last_step(m.model), "classes_", None)) for m in self.members]
        told = [(ref, list(classes)) for ref, classes in known if classes is not None]
        for ref, classes in told[1:]:
            if classes != told[0][1]:
                msg = (
                    f"{told[0][0]} and {ref}, members of the ensemble, have different classes: "
                    f"{_few(told[0][1])}, and {_few(classes)}."
                )
                raise InvalidRequest(msg, hint="Register the ensemble with combine='vote', and call predict.")

    def _asked(self, method: str, inputs: Any) -> list[Any]:
        for member in self.members:
            if not callable(getattr(member.model, method, None)):
                msg = f"{member.version.ref}, a member of the ensemble, has no {method}."
                raise Unsupported(msg, hint="Load its members one by one and combine them yourself.")
        return [getattr(m.model, method)(inputs) for m in self.members]

    def _combined(self, answers: Sequence[Any], auto: Combine) -> Any:
        import numpy as np

        stacked = np.stack([np.asarray(a) for a in answers])
        weights = np.array([m.weight for m in self.members], dtype=float)
        match auto if self.combine == "auto" else self.combine:
            case "mean":
                return np.tensordot(weights / weights.sum(), stacked, axes=1)
            case "median":
                return np.median(stacked, axis=0)
            case "max":
                return stacked.max(axis=0)
            case _:
                labels = np.unique(stacked)
                scores = np.stack([np.tensordot(weights, stacked == label, axes=1) for label in labels])
                return labels[scores.argmax(axis=0)]


def averages_probabilities(ensemble: Ensemble) -> bool:
    """Whether it is made of classifiers and never votes: it has probabilities, and no labels."""
    return ensemble.combine != "auto" and _has_probabilities(ensemble)


def classes_of(ensemble: Ensemble) -> Any:
    """Classes of the members, in the order of the columns of their probabilities; None where they tell none."""
    first = ensemble.members[0].model
    return classes_of(first) if isinstance(first, Ensemble) else getattr(last_step(first), "classes_", None)


def _has_probabilities(ensemble: Ensemble) -> bool:
    return ensemble.combine != "vote" and all(_is_classifier(m.model) for m in ensemble.members)


def _is_classifier(model: Any) -> bool:
    if isinstance(model, Ensemble):
        return _has_probabilities(model)
    return callable(getattr(model, "predict_proba", None)) and not is_detector(last_step(model))


def _are_labels(model: Any, answer: Any) -> bool:
    """Whether answers are labels: texts, flags, and numbers that a classifier or detector of anomalies gives."""
    import numpy as np

    array = np.asarray(answer)
    if array.dtype.kind in "USOb":
        return True
    if isinstance(model, Ensemble):
        return any(_are_labels(member.model, answer) for member in model.members)
    last = last_step(model)
    if is_detector(last) or hasattr(last, "classes_") or callable(getattr(last, "predict_proba", None)):
        return array.ndim == 1
    return array.dtype.kind == "i" and set(np.unique(array).tolist()) == {-1, 1}


def _few(classes: Sequence[Any]) -> str:
    return ", ".join(map(str, classes[:5])) + (" …" if len(classes) > 5 else "")  # noqa: PLR2004


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
