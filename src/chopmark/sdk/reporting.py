"""A version's story written as a report."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from chopmark.base.jsons import pretty
from chopmark.domain.names import shown
from chopmark.domain.story import VersionStory
from chopmark.errors import InvalidRequest, Unavailable
from chopmark.reports.card_markdown import plain_lines
from chopmark.reports.model_card import model_card
from chopmark.reports.story_markdown import story_markdown
from chopmark.reports.story_page import story_html

__all__ = ["REPORT_FORMATS", "ReportFormat", "format_of", "rendered", "write_text"]

ReportFormat = Literal["html", "markdown", "json", "card"]
REPORT_FORMATS: tuple[ReportFormat, ...] = get_args(ReportFormat)

_SUFFIXES: dict[str, ReportFormat] = {".html": "html", ".htm": "html", ".md": "markdown", ".json": "json"}
"""Without their point, these are other words for the formats."""


def format_of(format: str, path: str | Path | None) -> ReportFormat:  # noqa: A002 - the field's word
    """The format asked for; where none is, that of the file's suffix, and HTML without a file.

    Raises
    ------
    InvalidRequest
        When there is no format of that name, or none for that suffix.
    """
    for known in REPORT_FORMATS:
        if format == known:
            return known
    if f".{format}" in _SUFFIXES:
        return _SUFFIXES[f".{format}"]
    if format:
        msg = f"{shown(format)} is no format of a report."
        raise InvalidRequest(msg, hint="There are " + ", ".join(REPORT_FORMATS) + ".")
    if path is None:
        return "html"
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        msg = f"What to write into {str(path)!r} cannot be told from its name."
        raise InvalidRequest(msg, hint=f"End it in {', '.join(_SUFFIXES)}, or give a format (--format).")
    return _SUFFIXES[suffix]


def rendered(story: VersionStory, format: ReportFormat) -> str:  # noqa: A002
    """The report as text; what strangers wrote brings no control characters into it."""
    match format:
        case "html":
            return plain_lines(story_html(story))
        case "markdown":
            return plain_lines(story_markdown(story))
        case "card":
            return plain_lines(model_card(story))
        case "json":
            return pretty(story) + "\n"


def write_text(path: str | Path, text: str) -> None:
    """Write a file, UTF-8 with plain line ends.

    Raises
    ------
    InvalidRequest
        When it cannot be written there.
    """
    try:
        Path(path).write_bytes(text.encode("utf-8", "surrogatepass"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        msg = f"The report cannot be written to {str(path)!r}: {error.strerror}."
        raise InvalidRequest(msg, hint="Give a file in a directory that exists and may be written to.") from error
    except OSError as error:
        msg = f"The report could not be written to {str(path)!r}: {error.strerror}."
        raise Unavailable(msg) from error
