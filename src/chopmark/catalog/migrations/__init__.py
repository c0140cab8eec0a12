"""Migrations of the catalog's tables.

Every step suits the code that still runs: it adds first, and only a later release takes away.
"""

from __future__ import annotations

__all__ = ["COMPATIBLE_FROM", "HEAD"]

HEAD = "0001"
"""Revision that this code needs. Revisions are numbers with leading zeros, and sort as texts."""

COMPATIBLE_FROM = "compatible_from"
"""Name of the fact that says the oldest code's ``HEAD`` that still works on these tables."""
