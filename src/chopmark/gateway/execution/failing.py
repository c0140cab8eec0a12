"""What is said of a model that failed."""

from __future__ import annotations

from chopmark.errors import ChopmarkError, ModelFailed

__all__ = ["raised"]

_TEXT_MAX = 300


def raised(ref: str, error: BaseException) -> ChopmarkError:
    """The error that a caller gets for what a model raised; one of ours as it is."""
    if isinstance(error, ChopmarkError):
        return error
    text = str(error)[:_TEXT_MAX]
    kind = type(error).__name__
    return ModelFailed(f"{ref} raised {kind}: {text}" if text else f"{ref} raised {kind}.", raised=kind)
