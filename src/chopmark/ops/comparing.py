"""What versions are compared with."""

from __future__ import annotations

from typing import Literal

from chopmark.ops.requests import Request

__all__ = ["CompareVersions"]


class CompareVersions(Request, frozen=True, kw_only=True):
    """Put versions side by side.

    Attributes
    ----------
    refs
        2 to 20 references; what means a version that was named before counts once.
    baseline
        Reference that changes are counted from; the first when empty. One that is not among
        ``refs`` is put before them.
    directions
        Metric → whether more or less is better, before what its name says.
    """

    refs: tuple[str, ...]
    baseline: str = ""
    directions: dict[str, Literal["maximize", "minimize"]] = {}  # noqa: RUF012 - msgspec copies an empty one
