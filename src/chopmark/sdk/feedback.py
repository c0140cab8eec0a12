"""``registry.feedback``: what turned out to be true of answers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from chopmark.domain.feedback import Feedback as Said
from chopmark.domain.feedback import Label, check_numbers, of_item
from chopmark.domain.predictions import Prediction
from chopmark.errors import InvalidRequest
from chopmark.ops.outcomes import FEEDBACK_A_CALL, FeedbackReceipt, RecordFeedback
from chopmark.sdk.surface import Surface

__all__ = ["Feedback"]


class Feedback(Surface):
    """Verbs about the truth, which comes later than answers."""

    def record(
        self,
        request: str | Prediction,
        *,
        label: Label | None = None,
        prediction: Label | None = None,
        correct: bool | None = None,
        value: float | None = None,
        at: datetime | None = None,
    ) -> FeedbackReceipt:
        """Say what turned out to be true of one answer.

        Parameters
        ----------
        request
            The answer, or its request id: ``x-chopmark-request-id`` of a gateway's answer. It says which version and variant
            answered, so that the truth joins them however late it comes.
        label
            What was true: a class, or a number.
        prediction
            What was answered, to be compared with the label.
        correct
            Whether the answer was right, where that is known instead.
        value
            A number that the answer came to: money, a rating.
        at
            When this was found: not before the request was asked, nor in the future. Of what is said twice of an answer the last
            counts. By default now.

        Raises
        ------
        InvalidRequest
            When it is no request id of this registry's gateways, nothing is said, or it cannot have been found ``at`` that time.
        """
        request_id = request.request_id if isinstance(request, Prediction) else request
        said = Said(request_id=request_id, label=label, prediction=prediction, correct=correct, value=value, at=at)
        return self.record_batch([said])

    def record_batch(self, items: Iterable[Said]) -> FeedbackReceipt:
        """Say what turned out to be true of many answers; each part of a thousand counts as a whole, or not at all.

        Raises
        ------
        InvalidRequest
            When one of them is refused; the message says which, and so does ``item`` of its details, from 1.
        """
        taken = 0
        told = list(items)
        for number, each in enumerate(told, 1):
            try:
                check_numbers(each)  # before JSON makes nothing of what is no number
            except InvalidRequest as error:
                raise of_item(error, number, len(told)) from error
        for part in _parts(told, FEEDBACK_A_CALL):
            try:
                receipt: FeedbackReceipt = self._call(RecordFeedback(items=tuple(part)))
            except InvalidRequest as error:
                if "item" not in error.details:
                    raise
                raise of_item(error, taken + error.details["item"], len(told)) from error
            taken += receipt.taken
        return FeedbackReceipt(taken)


def _parts(items: list[Said], size: int) -> Iterable[list[Said]]:
    return (items[first : first + size] for first in range(0, len(items), size))
