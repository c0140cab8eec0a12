"""The border to other people's parsers: whatever they raise leaves here as one of our errors.

A parser that is fed arbitrary bytes may raise anything, and so may the reducers of a model that is
being pickled. These are the only places in the package that catch `Exception`; both raise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chopmark.errors import (
    ChopmarkError,
    IntegrityFailure,
    InvalidRequest,
    Unsupported,
)

__all__ = ["building", "reading", "storing"]


@contextmanager
def reading(format_name: str) -> Iterator[None]:
    """Around the description of files: what is not of the format is an `InvalidRequest`."""
    try:
        yield
    except IntegrityFailure as error:
        raise InvalidRequest(error.message, hint=error.hint, **error.details) from error
    except ChopmarkError:
        raise
    except Exception as error:
        msg = f"The files are not of the format {format_name!r}: {_said(error)}."
        raise InvalidRequest(msg, hint="Name another format=, or register them as format='raw'.") from error


@contextmanager
def building(format_name: str) -> Iterator[None]:
    """Around a load: bytes that are not of the format are an `IntegrityFailure`.

    A module that is missing is a matter of the installation, hence `Unsupported`.
    """
    try:
        yield
    except InvalidRequest as error:
        raise IntegrityFailure(error.message, hint=error.hint, **error.details) from error
    except ChopmarkError:
        raise
    except ModuleNotFoundError as error:
        msg = f"The model needs the module {error.name!r}, which is not installed here."
        raise Unsupported(
            msg,
            hint="Install what the version's environment lists, then load it again.",
        ) from error
    except Exception as error:
        msg = f"The files could not be loaded as format {format_name!r}: {_said(error)}."
        raise IntegrityFailure(
            msg,
            hint="They are damaged, of another format, or need other library versions; "
            "compare the version's environment with yours.",
        ) from error


@contextmanager
def storing(format_name: str, model: object) -> Iterator[None]:
    """Around a save: an object that the format cannot hold is `Unsupported`.

    A disk that is full or not writable says nothing about the object and passes through.
    """
    try:
        yield
    except (ChopmarkError, OSError):
        raise
    except Exception as error:
        kind = type(model).__qualname__
        msg = f"The format {format_name!r} cannot hold this {kind}: {_said(error)}."
        raise Unsupported(msg, hint="Try format='auto'.") from error


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
