"""Formats: how a model becomes files and files a model again.

Each format is a small module with a ``FORMAT``, found by the entry point group
``chopmark.formats``; a plug-in of another package comes in by the same door and is tested by
`chopmark.testing.format_suite`. Beside them stand the facts that a registration records of the
things themselves: the environment, the signature, data sets and the state of the working tree.
"""

from __future__ import annotations

from chopmark.formats.detection import format_for_path
from chopmark.formats.environment import capture_environment, framework_mismatch, installed_environment
from chopmark.formats.registry import choose_format, format_names, get_format, save_model

__all__ = [
    "capture_environment",
    "choose_format",
    "format_for_path",
    "format_names",
    "framework_mismatch",
    "get_format",
    "installed_environment",
    "save_model",
]
