"""Where workers say what happens to them."""

from __future__ import annotations

import logging

__all__ = ["LOGGER"]

LOGGER = logging.getLogger("chopmark.workers")
