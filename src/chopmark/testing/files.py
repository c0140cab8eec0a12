"""An honest stand-in for a version's files: a directory, without a registry behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from chopmark.abc.formats import SavedModel
from chopmark.domain.manifest import check_path
from chopmark.errors import NotFound

__all__ = ["DirectoryFiles"]


class DirectoryFiles:
    """Files of a directory as a format reads them (`chopmark.abc.formats.ArtifactFiles`).

    Like the real thing it knows only the paths that it was given, refuses unsafe ones, and hands
    out files that cannot be written.

    Parameters
    ----------
    root
        Directory that holds the files.
    paths
        Which of them belong to the format; all when None.
    """

    def __init__(self, root: Path, paths: Iterable[str] | None = None) -> None:
        found = (p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
        self._root = root
        self._paths = tuple(sorted(check_path(p) for p in (found if paths is None else paths)))
        for path in self._paths:
            (root / path).chmod(0o444)

    @classmethod
    def of(cls, saved: SavedModel, root: Path) -> DirectoryFiles:
        """The files that a format's `save` has just written into ``root``."""
        return cls(root, (f.path for f in saved.files))

    @classmethod
    def write(cls, root: Path, contents: Mapping[str, bytes]) -> DirectoryFiles:
        """New files with these bytes in ``root``, which must not exist yet."""
        root.mkdir()
        for path, data in contents.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        return cls(root, contents)

    @property
    def paths(self) -> Sequence[str]:
        """Paths of the files, sorted."""
        return self._paths

    def open(self, path: str) -> BinaryIO:
        """A seekable stream of one file; `NotFound` when it does not belong to the format."""
        return self.local(path).open("rb")

    def local(self, path: str) -> Path:
        """The file on disk, read-only; `NotFound` when it does not belong to the format."""
        if path not in self._paths:
            raise NotFound(f"The version has no file {path!r}.", hint=f"Its files are {', '.join(self._paths)}.")
        return self._root / path

    def directory(self) -> Path:
        """The directory with all the files."""
        return self._root
