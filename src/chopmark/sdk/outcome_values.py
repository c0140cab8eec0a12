"""What a program says of requests, as values that can be sent: refused in words where it cannot be meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from chopmark.domain.names import shown
from chopmark.domain.outcomes import ErrorCounts, MetricSums
from chopmark.errors import InvalidRequest
from chopmark.sdk.surface import checked_mapping
from chopmark.stats.checks import check_count, check_number

__all__ = ["checked_time", "error_counts", "latencies", "measured", "plain_number"]


def checked_time(at: Any) -> datetime:
    """The time, which has a zone."""
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise InvalidRequest(f"{shown(str(at))} is no time with a zone.", hint="For example datetime.now(UTC).")
    return at


def error_counts(errors: object, requests: int) -> ErrorCounts:
    """How many failed, as it may be said."""
    known = ErrorCounts.__struct_fields__
    if isinstance(errors, str):
        errors = {errors: requests}
    if isinstance(errors, int):
        errors = {"model": errors}
    if not isinstance(errors, Mapping) or not set(errors) <= set(known):
        raise InvalidRequest(f"{errors!r} are no errors.", hint=f"Give a number, or numbers by {', '.join(known)}.")
    for name, count in errors.items():
        check_count(f"errors by {name}", count)
    return ErrorCounts(**errors)


def latencies(given: Any) -> list[float]:
    """How long answers took, of one or of several."""
    if given is None:
        return []
    several = list(given) if isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping) else [given]
    found = [plain_number("latency_ms", each) for each in several]
    for each in found:
        check_number("latency_ms", each, least=0.0)
    return found


def measured(given: Any) -> dict[str, MetricSums]:
    """What else was measured, one value of each name."""
    said = checked_mapping(given, "metrics")
    for name in said:
        if not isinstance(name, str):
            raise InvalidRequest(f"{name!r} is no name of a metric.", hint="Give texts: {'clicks': 1.0}.")
    return {name: MetricSums.of_one(plain_number(f"metrics {shown(name)}", value)) for name, value in said.items()}


def plain_number(name: str, value: Any) -> float:
    """The value as a plain number: those of arrays are taken, texts are not."""
    if not isinstance(value, str | bytes):
        with suppress(TypeError, ValueError, OverflowError):  # what is none is told below, as it was given
            value = float(value)
    check_number(name, value)
    return float(value)
