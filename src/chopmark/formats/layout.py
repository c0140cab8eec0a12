"""Finding a format's files among those of a version."""

from __future__ import annotations

from collections.abc import Sequence

from chopmark.abc.formats import ArtifactFiles
from chopmark.errors import InvalidRequest

__all__ = ["listed", "main_path", "optional_path"]


LISTED_MAX = 20


def main_path(files: ArtifactFiles, suffixes: Sequence[str], format_name: str) -> str:
    """The file that holds the model: the only one, or the only one with a suffix of the format.

    Raises
    ------
    InvalidRequest
        When none or several could be it.
    """
    paths = list(files.paths)
    if len(paths) == 1:
        return paths[0]
    fitting = [p for p in paths if p.lower().endswith(tuple(suffixes))]
    if len(fitting) != 1:
        msg = (
            f"The format {format_name!r} needs one file with {' or '.join(suffixes)}, and the "
            f"version has {len(fitting)} of them among {len(paths)} files."
        )
        raise InvalidRequest(msg, hint="Register such files as format='raw'.")
    return fitting[0]


def listed(names: Sequence[str]) -> str:
    """The first twenty names, and that there are more."""
    return ", ".join(names[:LISTED_MAX]) + (" …" if len(names) > LISTED_MAX else "")


def optional_path(files: ArtifactFiles, name: str) -> str | None:
    """Path of the file with this last part, if there is one."""
    return next((p for p in files.paths if p.rpartition("/")[2] == name), None)
