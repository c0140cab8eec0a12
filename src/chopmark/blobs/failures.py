"""What an error of the operating system means to somebody who stores or reads a blob."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chopmark.errors import ChopmarkError, IntegrityFailure, NotFound, Unavailable

__all__ = ["SourceFailed", "damaged", "missing", "reporting", "storage_error", "unexpected"]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class SourceFailed(Exception):
    """Carries an `OSError` of the caller's own stream past `reporting`, which is about the store."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def storage_error(error: OSError, doing: str, place: Path | str) -> ChopmarkError:
    """The error to raise when ``doing`` something at ``place`` failed.

    Always `Unavailable`: the request was fine, the medium was not. The hint depends on the reason.
    """
    reason = error.strerror or type(error).__name__
    if error.errno in _FULL:
        hint = "Make room on that file system or raise the limit, then repeat; nothing was left behind."
    elif error.errno in _FORBIDDEN:
        hint = "Give this user write access there, or point the setting at another directory."
    else:
        hint = "Look at the system log for errors of that disk or mount, then repeat."
    return Unavailable(f"Could not {doing} in {place}: {reason}.", hint=hint, errno=error.errno)


@contextmanager
def reporting(doing: str, place: Path | str) -> Iterator[None]:
    """Turn an `OSError` of the block into `Unavailable`; our own errors, and those of the caller's stream, pass unchanged."""
    try:
        yield
    except ChopmarkError:  # Unavailable and Denied are OSErrors too
        raise
    except SourceFailed as failed:
        raise failed.error from None
    except OSError as error:
        raise storage_error(error, doing, place) from error


def missing(digest: str) -> NotFound:
    """The error for a digest that the store does not have."""
    return NotFound(f"The blob {digest} is not in the store.", digest=digest)


def damaged(digest: str, found: str) -> IntegrityFailure:
    """The error for a stored blob whose bytes are not its own; ``found`` says what is there instead."""
    return IntegrityFailure(
        f"The blob {digest} is damaged: {found}. Nothing of it was handed out.",
        hint="Restore it from a backup, or delete it and store the original file again.",
        digest=digest,
    )


def unexpected(expected: str, actual: str) -> IntegrityFailure:
    """The error for bytes offered under a digest that is not theirs."""
    return IntegrityFailure(
        f"The bytes hash to {actual}, not to the expected {expected}. Nothing was stored.",
        hint="Transfer the file again, or leave out the expected digest when the new bytes are meant.",
        expected=expected,
        actual=actual,
    )
