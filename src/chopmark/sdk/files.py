"""Files of a version: as they are gathered for a registration, and as a load reads them."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self

import msgspec

from chopmark.abc.blobs import BlobStore, Verify
from chopmark.domain.manifest import FileEntry, Role, check_path
from chopmark.domain.names import shown
from chopmark.errors import ChopmarkError, IntegrityFailure, InvalidRequest, NotFound, Unavailable

__all__ = [
    "MODEL_DIRECTORY",
    "GatheredFiles",
    "Source",
    "StoredFiles",
    "files_below",
    "gather",
    "preparing",
    "writing_to",
]

MODEL_DIRECTORY = "model"
_FILES_MAX = 100_000


class Source(msgspec.Struct, frozen=True):
    """A file on its way into a version.

    Attributes
    ----------
    path
        Where it will stand in the version.
    role
        What it is for.
    file
        Where it is now.
    owned
        Whether it is ours to move (written for this registration).
    """

    path: str
    role: Role
    file: Path
    owned: bool = False

    @property
    def size_bytes(self) -> int:
        """Length of the file as it is now; zero when it is gone or out of reach (storing it will say so)."""
        try:
            return self.file.stat().st_size
        except OSError:
            return 0


def gather(place: Path, prefix: str, role: Role) -> list[Source]:
    """A file, or everything below a directory, as sources under ``prefix``.

    Raises
    ------
    InvalidRequest
        When there is a symbolic link or anything that is no regular file, when a name cannot be
        stored, or when there is nothing.
    NotFound
        When the place does not exist.
    """
    mode = _mode_of(place)
    if stat.S_ISREG(mode):
        return [Source(check_path(f"{prefix}/{place.name}"), role, place)]
    if not stat.S_ISDIR(mode):
        msg = f"{shown(place)} is a symbolic link or no regular file."
        raise InvalidRequest(msg, hint="Pass the file or directory it stands for.")
    sources = [
        Source(check_path(f"{prefix}/{file.relative_to(place).as_posix()}"), role, file) for file in _walk(place)
    ]
    if not sources:
        msg = f"The directory {shown(place)} has no files."
        raise InvalidRequest(msg)
    return sources


def _mode_of(place: Path) -> int:
    try:
        return place.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        msg = f"There is no file or directory {shown(place)}."
        raise NotFound(msg) from error
    except (OSError, ValueError) as error:
        msg = f"{shown(place)} cannot be read: {error}."
        raise InvalidRequest(msg, hint="Check the name, its permissions and the disk, then try again.") from error


def _walk(directory: Path) -> list[Path]:
    found: list[Path] = []
    for base, directories, names in os.walk(directory, onerror=_vanished):
        directories.sort()
        for name in [*directories, *names]:
            mode = _mode_of(Path(base, name))
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                msg = f"{shown(Path(base, name))} is a symbolic link or no regular file."
                raise InvalidRequest(msg, hint="Replace it by what it stands for.")
        found += [Path(base, name) for name in sorted(names)]
        if len(found) > _FILES_MAX:
            msg = f"{shown(directory)} has more than {_FILES_MAX:,} files."
            raise InvalidRequest(msg, hint="Pack small files into an archive.")
    return found


def _vanished(error: OSError) -> None:
    msg = f"The directory {shown(error.filename)} could not be read: {error.strerror}."
    raise NotFound(msg, hint="It may have been removed meanwhile; try again.") from error


class GatheredFiles:
    """Sources as a format reads them before they are stored.

    Parameters
    ----------
    sources
        Files of the model, by their path within it.
    scratch
        Makes a directory, for copies when a library wants them side by side.
    """

    def __init__(self, sources: Mapping[str, Path], scratch: Callable[[], Path]) -> None:
        self._sources = dict(sorted(sources.items()))
        self._scratch = scratch
        self._copies: Path | None = None

    @property
    def paths(self) -> list[str]:
        """Paths within the model, sorted."""
        return list(self._sources)

    def open(self, path: str) -> BinaryIO:
        """The file, opened for reading."""
        return self._sources[path].open("rb")

    def local(self, path: str) -> Path:
        """The file itself when it stands alone, else a copy beside copies of its siblings."""
        if len(self._sources) == 1 and self._sources[path].name == Path(path).name:
            return self._sources[path]
        return self.directory() / path

    def directory(self) -> Path:
        """A directory with copies of all the files."""
        if self._copies is None:
            self._copies = self._scratch()
            for path, source in self._sources.items():
                target = self._copies / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        return self._copies


def files_below(files: Iterable[FileEntry], place: str) -> dict[str, FileEntry]:
    """Entries of one directory of a version by their paths in it; or of one file, by its name."""
    start = place + "/"
    below: dict[str, FileEntry] = {}
    for entry in files:
        if entry.path.startswith(start):
            below[entry.path.removeprefix(start)] = entry
        elif entry.path == place:
            below[place.rpartition("/")[2]] = entry
    return below


class StoredFiles:
    """Some files of a version, read verified from the store.

    Parameters
    ----------
    store
        Bytes.
    ref
        The version, for errors.
    entries
        Path as the reader knows it → entry of the manifest.
    told
        Called with the bytes moved.
    verify
        Whether files that were verified before are hashed again; see `chopmark.abc.blobs.BlobStore.open`.
    """

    def __init__(
        self,
        store: BlobStore,
        ref: str,
        entries: Mapping[str, FileEntry],
        told: Callable[[int], None] | None = None,
        *,
        verify: Verify = "always",
    ) -> None:
        self._entries = dict(entries)
        self._verify: Verify = verify
        self._ref = ref
        self._store = store
        self._told = told
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    @property
    def paths(self) -> list[str]:
        """Paths as the reader knows them, sorted."""
        return sorted(self._entries)

    def open(self, path: str, *, offset: int = 0, length: int | None = None) -> BinaryIO:
        """A verified, seekable stream of a file or of a range of it; the caller closes it."""
        entry = self._entry(path)
        with self._telling(path):
            return self._store.open(
                entry.digest, offset=offset, length=length, leaves=entry.leaves, verify=self._verify
            )

    def local(self, path: str) -> Path:
        """The verified file on disk, its siblings beside it; lives until the load is over."""
        self._entry(path)
        return self.directory() / path

    def directory(self) -> Path:
        """A directory with all the files, verified; lives until the load is over."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="chopmark-load-")
            for path in self.paths:
                self.fetch(path, Path(self._scratch.name) / path)
        return Path(self._scratch.name)

    def fetch(self, path: str, target: Path) -> None:
        """Write one verified file to ``target``; directories are made."""
        target.parent.mkdir(parents=True, exist_ok=True)
        entry = self._entry(path)
        with self._telling(path):
            self._store.fetch(entry.digest, target, leaves=entry.leaves, verify=self._verify, progress=self._told)

    @contextmanager
    def _telling(self, path: str) -> Iterator[None]:
        """Say of which version and file bytes are missing or changed."""
        digest = self._entry(path).digest
        try:
            yield
        except NotFound as error:
            msg = f"The bytes of {path!r} of {self._ref} are missing from the store ({digest})."
            hint = "Restore the store from a backup, or register the model again."
            raise IntegrityFailure(msg, hint=hint, ref=self._ref, path=path) from error
        except IntegrityFailure as error:
            msg = f"{path!r} of {self._ref} cannot be used. {error.message}"
            raise IntegrityFailure(msg, hint=error.hint, ref=self._ref, path=path) from error

    def _entry(self, path: str) -> FileEntry:
        try:
            return self._entries[path]
        except KeyError:
            msg = f"{self._ref} has no file {path!r}."
            raise NotFound(msg, hint="It has " + ", ".join(self.paths[:20]) + ".") from None


@contextmanager
def writing_to(target: Path) -> Iterator[None]:
    """Say where files could not be written, and why."""
    try:
        yield
    except ChopmarkError:
        raise
    except ValueError as error:
        msg = f"{shown(target)} is no path: {error}."
        raise InvalidRequest(msg) from error
    except OSError as error:
        msg = f"The files cannot be written to {shown(target)}: {error.strerror or error}."
        raise Unavailable(msg, hint="Choose another place, or free room there.") from error


@contextmanager
def preparing() -> Iterator[None]:
    """Say that a version's files could not be written or read on their way into the store, and why."""
    try:
        yield
    except ChopmarkError:
        raise
    except OSError as error:
        where = shown(error.filename) if error.filename else "the directory for temporary files"
        msg = f"The files of the version cannot be made ready in {where}: {error.strerror or error}."
        hint = "Make room there, or point TMPDIR at another directory, then register again."
        raise Unavailable(msg, hint=hint) from error
