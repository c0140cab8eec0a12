"""raw: files as they are, for what no other format knows."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Self

from chopmark.abc.formats import ArtifactFiles, SavedFile, SavedModel
from chopmark.errors import InvalidRequest, NotFound, Unsupported
from chopmark.formats.layout import listed

__all__ = ["FORMAT", "RawFiles", "RawFormat"]

BYTES_FILE = "model.bin"


class RawFiles:
    """What loading a raw version gives: its files, verified, in a directory of their own.

    The directory is a private copy. It lives as long as this object, or until `close`; used as a
    context manager, until the end of the block.

    Attributes
    ----------
    directory
        Where the files stand, under the paths of the manifest.
    paths
        Those paths, sorted.
    """

    def __init__(self, directory: Path, paths: Sequence[str]) -> None:
        self.directory = directory
        self.paths = tuple(paths)
        self._remove = weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)

    @property
    def path(self) -> Path:
        """The file, when there is one; else the directory."""
        return self.directory / self.paths[0] if len(self.paths) == 1 else self.directory

    def open(self, path: str = "") -> BinaryIO:
        """A stream of a file; of the only one when no path is given.

        Raises
        ------
        NotFound
            When there is no such file; the message lists those that exist.
        """
        return self._file(path).open("rb")

    def read_bytes(self, path: str = "") -> bytes:
        """Content of a file; of the only one when no path is given. Errors as in `open`."""
        return self._file(path).read_bytes()

    def close(self) -> None:
        """Remove the directory; twice is once."""
        self._remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RawFiles({listed(self.paths)})"

    def _file(self, path: str) -> Path:
        wanted = path or (self.paths[0] if len(self.paths) == 1 else "")
        if wanted not in self.paths:
            msg = f"The version has no file {path!r}." if path else "It has several files."
            raise NotFound(msg, hint=f"Its files are {', '.join(self.paths[:20])}.")
        return self.directory / wanted


class RawFormat:
    """Bytes, a file or a directory. Nothing is read into them."""

    name = "raw"
    runs_code = False
    rank = 80
    suffixes = ()
    extra = ""

    def fits(self, model: object) -> bool:
        """Whether it is bytes, or a path."""
        return isinstance(model, (bytes, bytearray, os.PathLike))

    def save(self, model: object, directory: Path) -> SavedModel:
        """Write the bytes as ``model.bin``, or copy the file or the directory's files.

        Raises
        ------
        InvalidRequest
            When the path does not exist, is empty, or there is a symbolic link under it.
        """
        if isinstance(model, (bytes, bytearray)):
            (directory / BYTES_FILE).write_bytes(model)
            return SavedModel(files=(SavedFile(BYTES_FILE),))
        if not isinstance(model, os.PathLike):
            msg = f"The format 'raw' holds bytes or a path, not {type(model).__qualname__}."
            raise Unsupported(msg, hint="Save the object yourself and register path=….")
        return SavedModel(files=tuple(_copy(Path(model), directory)))

    def describe(self, files: ArtifactFiles) -> SavedModel:
        """The files; there is nothing to check."""
        return SavedModel(files=tuple(SavedFile(p) for p in files.paths))

    def load(self, files: ArtifactFiles, *, trusted: Sequence[str] = ()) -> RawFiles:  # noqa: ARG002
        """A private copy of the files."""
        directory = Path(tempfile.mkdtemp(prefix="chopmark-raw-"))
        loaded = RawFiles(directory, files.paths)
        for path in files.paths:
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.open(path) as source, target.open("xb") as file:
                shutil.copyfileobj(source, file, 2**20)
        return loaded


FORMAT = RawFormat()


def _copy(source: Path, directory: Path) -> list[SavedFile]:
    found = [source] if not source.is_dir() else sorted(source.rglob("*"))
    links = [p for p in (source, *found) if p.is_symlink()]
    if links:
        msg = f"{links[0].name!r} is a symbolic link, which is not followed."
        raise InvalidRequest(msg, hint="Copy the file that it points to.")
    plain = [p for p in found if p.is_file()]
    if not plain:
        msg = f"There is no file at {str(source)!r}."
        raise InvalidRequest(msg, hint="Pass a file, or a directory that holds files.")
    saved = []
    for path in plain:
        name = path.name if path == source else path.relative_to(source).as_posix()
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target, follow_symlinks=False)
        saved.append(SavedFile(name))
    return saved
