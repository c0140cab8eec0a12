"""Where a model runs."""

from __future__ import annotations

from chopmark.domain.endpoints import EndpointConfig
from chopmark.gateway.execution.kinds import ExecutionKind

__all__ = ["INLINE_US_MAX", "NOW_ROWS_MAX", "chosen", "now_rows"]

INLINE_US_MAX = 1_000.0
"""So long may one request keep the others of a process waiting."""

NOW_ROWS_MAX = 10_000


def chosen(config: EndpointConfig, runs_code: bool, measured_us: float | None) -> ExecutionKind:
    """Where a version runs.

    Parameters
    ----------
    config
        Of the endpoint; what it says other than ``auto`` is done.
    runs_code
        Whether loading it runs code.
    measured_us
        How long one row of its sample takes; None when that is not known.

    >>> chosen(EndpointConfig(), False, 80.0), chosen(EndpointConfig(), False, 5_000.0), chosen(EndpointConfig(), True, 80.0)
    ('inline', 'thread', 'process')
    """
    if config.execution != "auto":
        return config.execution
    if runs_code:
        return "process"
    return "inline" if measured_us is not None and measured_us <= INLINE_US_MAX else "thread"


def now_rows(measured_us: float | None, row_us: float) -> int:
    """Rows that are answered on the event loop at most: those of one request that keeps it for as long as it may.

    >>> now_rows(100.0, 10.0), now_rows(5_000.0, 10.0), now_rows(None, 10.0)
    (91, 1, 1)
    """
    if measured_us is None:
        return 1
    spare_us = INLINE_US_MAX - measured_us
    return max(1, min(NOW_ROWS_MAX, 1 + int(spare_us / max(row_us, 1e-3))))
