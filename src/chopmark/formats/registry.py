"""Formats by name: found by entry point, loaded when asked for, chosen by rank."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

from chopmark.abc.formats import Format, SavedModel
from chopmark.base.plugins import Plugins
from chopmark.errors import InvalidRequest, Unsupported

__all__ = ["AUTO", "ENTRY_POINTS", "choose_format", "format_names", "get_format", "save_model"]

AUTO = "auto"
ENTRY_POINTS = "chopmark.formats"


_FORMATS: Plugins[Format] = Plugins(ENTRY_POINTS, "format", ", or 'auto' to choose.")


def format_names() -> tuple[str, ...]:
    """Names of all installed formats, sorted; nothing is imported."""
    return _FORMATS.names


def get_format(name: str) -> Format:
    """The format of this name; its module is imported on first use, its framework is not.

    Raises
    ------
    NotFound
        When no installed package offers it; the hint lists what exists.
    Unsupported
        When the package that offers it cannot be imported.
    """
    return _FORMATS.get(name)


def choose_format(model: object) -> Iterator[Format]:
    """Formats that fit the model, safest first: the candidates of ``format="auto"``.

    The order is by rank, then name. Formats that run code on load stand at the end: joblib,
    cloudpickle, dill, pickle. A plug-in that cannot be loaded is passed over. Each is asked when
    its turn comes: mostly the first can hold the model.
    """
    known = [f for f in map(_loadable, format_names()) if f is not None]
    return (f for f in sorted(known, key=lambda f: (f.runs_code, f.rank, f.name)) if f.fits(model))


def _loadable(name: str) -> Format | None:
    try:
        return get_format(name)
    except Unsupported:
        return None


def save_model(model: object, directory: Path, format: str = AUTO) -> tuple[Format, SavedModel]:  # noqa: A002
    """Write the model into an empty directory, in the format named or in the first that can.

    A `UserWarning` says so when ``auto`` ends at a format that runs code on load although a safe
    one would have fitted: a missing library must not pass unnoticed.

    Parameters
    ----------
    directory
        Exists and is empty. After an error it is empty again.

    Raises
    ------
    NotFound
        When there is no format of that name.
    InvalidRequest
        When the directory is not empty.
    Unsupported
        When the format named, or every candidate, refuses; the message has each one's reason.
    """
    if any(directory.iterdir()):
        raise InvalidRequest(f"The directory {str(directory)!r} is not empty.")
    candidates = choose_format(model) if format == AUTO else [get_format(format)]
    refusals: list[tuple[Format, Unsupported]] = []
    for candidate in candidates:
        try:
            saved = candidate.save(model, directory)
        except Unsupported as error:
            refusals.append((candidate, error))
            _empty(directory)
        except BaseException:
            _empty(directory)
            raise
        else:
            _warn_of_fallback(model, candidate, refusals)
            return candidate, saved
    raise _refused(model, refusals)


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _warn_of_fallback(model: object, taken: Format, refusals: list[tuple[Format, Unsupported]]) -> None:
    safer = [(f, e) for f, e in refusals if not f.runs_code]
    if not taken.runs_code or not safer:
        return
    reasons = " ".join(f"{f.name}: {e.message}" for f, e in safer)
    warnings.warn(
        f"This {type(model).__qualname__} is stored as {taken.name}, which runs code on load. {reasons}",
        UserWarning,
        stacklevel=3,
    )


def _refused(model: object, refusals: list[tuple[Format, Unsupported]]) -> Unsupported:
    if len(refusals) == 1:
        return refusals[0][1]
    kind = type(model).__qualname__
    reasons = " ".join(f"{f.name}: {e.message}" for f, e in refusals)
    return Unsupported(
        f"No format can hold this {kind}. {reasons}",
        hint="Save it yourself and register the files with path=….",
    )
