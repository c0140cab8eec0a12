"""What turned out to be true of answers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from chopmark.app.context import Context
from chopmark.app.outcome_folding import FEEDBACK_KEPT
from chopmark.domain.feedback import Feedback, JudgedFeedback, check_feedback, check_said_at, judged, of_item
from chopmark.domain.request_ids import mark_of, read_request_id
from chopmark.errors import ChopmarkError, InvalidRequest, NotFound
from chopmark.ops.outcomes import FeedbackReceipt, RecordFeedback

__all__ = ["keep_reported", "record"]


def record(ctx: Context, request: RecordFeedback) -> FeedbackReceipt:
    """Keep feedback on answers of versions that the actor may see."""
    now, secret = ctx.catalog_now(), bytes.fromhex(ctx.whole.routing.secret())
    items = []
    for number, each in enumerate(request.items, 1):
        try:
            known = _known(each, secret, now)
            check_said_at(each, known.asked_at, now)
        except InvalidRequest as error:
            raise of_item(error, number, len(request.items)) from error
        items.append(known)
    for version in {item.version for item in items}:
        _check_may(ctx, version)
    ctx.whole.feedback.put(items)
    return FeedbackReceipt(len(items))


def keep_reported(ctx: Context, told: Iterable[Feedback]) -> None:
    """Keep what a router passes on.

    It has looked at ids, and at times by its own clock. An id of before a restored backup is passed over, and no report waits.
    """
    items, now = [], ctx.catalog_now()
    secret = bytes.fromhex(ctx.whole.routing.secret())
    for each in told:
        try:
            items.append(_known(each, secret, now))
        except ChopmarkError:
            continue
    ctx.whole.feedback.put(items)


def _check_may(ctx: Context, version_id: UUID) -> None:
    version = ctx.tx.versions.by_id(version_id)
    if version is None:
        raise NotFound("The version that gave this answer is not there any more.")
    ctx.check_may(version.project)


def _known(told: Feedback, secret: bytes, now: datetime) -> JudgedFeedback:
    feedback = check_feedback(told)
    answered = read_request_id(feedback.request_id, secret)
    if answered.at < now - FEEDBACK_KEPT:
        raise InvalidRequest(f"The request was asked more than {FEEDBACK_KEPT.days} days ago: it is too late to say.")
    return JudgedFeedback(
        endpoint=answered.endpoint_id,
        version=answered.version_id,
        variant=answered.variant,
        asked_at=answered.at,
        request=mark_of(feedback.request_id),
        said_at=min(feedback.at or now, now),  # by the database's clock, which a gateway's may be ahead of
        judged=judged(feedback),
    )
