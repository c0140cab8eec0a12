"""The archive that a version travels in, as it is read: from a regular file, and damaged in any way.

`zipfile` answers damage with errors of many classes. Here all of them become one, told in words.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from chopmark.base.digest import PREFIX, hasher
from chopmark.domain.manifest import FileEntry, Manifest
from chopmark.domain.names import shown
from chopmark.errors import IntegrityFailure, InvalidRequest, NotFound

__all__ = [
    "MANIFEST",
    "SUMS",
    "VERSION",
    "PortableArchive",
    "different",
    "file_sha256",
    "member_name",
    "no_version",
    "open_archive",
    "sums_of",
]

VERSION, MANIFEST, SUMS = "version.json", "manifest.json", "SHA256SUMS"
TEXT_BYTES_MAX = 64 * 1024 * 1024
READ_BYTES_MAX = 256 * 1024 * 1024  # of the archive's directory, which is read at once
_PIECE_BYTES = 1 << 20
_SHA256 = re.compile("(?:sha256:)?([0-9a-f]{64})")
_ENCRYPTED = 0x1

# RuntimeError is of passwords, and has below it what is not implemented and what is nested too deep.
_DAMAGE = (zipfile.BadZipFile, RuntimeError, EOFError, OSError, ValueError, LookupError, OverflowError, struct.error)


def different(manifest: Manifest) -> list[FileEntry]:
    """The files of a manifest, equal bytes once."""
    return list({file.digest: file for file in manifest.files}.values())


def member_name(file: FileEntry) -> str:
    """Where the bytes of a file are in the archive."""
    return f"blobs/{file.digest.removeprefix(PREFIX)}"


def sums_of(version: bytes, manifest: bytes) -> bytes:
    """The member that tells the SHA-256 of the two texts, as ``sha256sum`` writes and checks it."""
    lines = ((VERSION, version), (MANIFEST, manifest))
    return "".join(f"{hashlib.sha256(text).hexdigest()}  {name}\n" for name, text in lines).encode()


def file_sha256(stream: BinaryIO) -> str:
    """SHA-256 of all that is left of a stream, in hexadecimal digits."""
    state = hasher()
    while piece := stream.read(_PIECE_BYTES):
        state.update(piece)
    return state.hexdigest()


def no_version(source: Path, why: str) -> InvalidRequest:
    """That a file is none of a version."""
    msg = f"{shown(source)} is not the file of a version: {why}."
    return InvalidRequest(msg, hint="Such a file is written by: chopmark export REF FILE")


class PortableArchive:
    """Members of an archive; whatever is wrong with one is an `IntegrityFailure` or an `InvalidRequest`."""

    def __init__(self, archive: zipfile.ZipFile, source: Path) -> None:
        self._archive = archive
        self._source = source

    def texts(self) -> tuple[bytes, bytes]:
        """What ``version.json`` and ``manifest.json`` hold, when they are what was written."""
        version, manifest = self._text(VERSION), self._text(MANIFEST)
        if self._text(SUMS) != sums_of(version, manifest):
            raise self.damaged(f"{VERSION} or {MANIFEST}")
        return version, manifest

    def refuse_others(self, manifest: Manifest) -> None:
        """Refuse an archive in which there is anything that is not of the version, or something twice."""
        allowed = {VERSION, MANIFEST, SUMS, *map(member_name, manifest.files)}
        names = self._archive.namelist()
        for name in names:
            if name not in allowed:
                raise no_version(self._source, f"it has a member {shown(name)}, which is nothing of a version")
        if len(set(names)) < len(names):
            raise no_version(self._source, "it has two members of one name")

    @contextmanager
    def blob(self, file: FileEntry) -> Iterator[BinaryIO]:
        """The bytes of a file, which are not checked here."""
        with self._member(member_name(file), file.path, size_bytes=file.size_bytes) as member:
            yield member

    def verify_blobs(self, manifest: Manifest) -> None:
        """Refuse an archive whose bytes are not those of the manifest."""
        for file in different(manifest):
            with self.blob(file) as stream:
                if PREFIX + file_sha256(stream) != file.digest:
                    raise self.damaged(file.path)

    def damaged(self, what: str) -> IntegrityFailure:
        """That something in the archive is not what was written."""
        msg = f"{what} in {shown(self._source)} was cut or changed."
        return IntegrityFailure(msg, hint="Copy the file again, or export the version again.")

    def _text(self, name: str) -> bytes:
        with self._member(name, name) as member:
            return member.read()

    @contextmanager
    def _member(self, name: str, what: str, *, size_bytes: int | None = None) -> Iterator[BinaryIO]:
        try:
            info = self._archive.getinfo(name)
        except KeyError as error:
            raise no_version(self._source, f"it has no {name}") from error
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
            raise no_version(self._source, f"its {name} is compressed or encrypted")
        if size_bytes is None and info.file_size > TEXT_BYTES_MAX:
            raise no_version(self._source, f"its {name} is too large")
        if size_bytes not in (None, info.file_size) or info.file_size != info.compress_size:
            raise self.damaged(what)
        try:
            member = self._archive.open(info)
        except _DAMAGE as error:
            raise self.damaged(what) from error
        with member:
            yield cast("BinaryIO", _Member(member, self, what))


class _Member:
    """A member while it is read: also then its damage is told as such, and not as that of wherever it is read to."""

    def __init__(self, stream: IO[bytes], archive: PortableArchive, what: str) -> None:
        self._stream = stream
        self._archive = archive
        self._what = what

    def read(self, size: int = -1) -> bytes:
        """As of any stream."""
        try:
            return self._stream.read(size)
        except _DAMAGE as error:
            raise self._archive.damaged(self._what) from error


class _Frugal:
    """A file of which nobody reads more at once than an archive's directory may take."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek, self.tell, self.seekable, self.close = stream.seek, stream.tell, stream.seekable, stream.close

    def read(self, size: int = -1) -> bytes:
        """As of any stream."""
        if size > READ_BYTES_MAX:
            msg = f"its directory takes {size:,} bytes"
            raise ValueError(msg)
        return self._stream.read(size)


@contextmanager
def open_archive(source: Path, sha256: str = "") -> Iterator[PortableArchive]:
    """Open the file of a version.

    Parameters
    ----------
    source
        A regular file: no pipe, no device.
    sha256
        What the SHA-256 of the whole file is known to be, in hexadecimal digits; not asked when empty.

    Raises
    ------
    NotFound
        When there is no such file.
    InvalidRequest
        When it is no archive, or no regular file; when ``sha256`` is none.
    IntegrityFailure
        When it is not the file with that SHA-256.
    """
    wanted = _SHA256.fullmatch(sha256.lower())
    if sha256 and wanted is None:
        msg = f"{shown(sha256)} is not a SHA-256."
        raise InvalidRequest(msg, hint="Pass the 64 hexadecimal digits that the export printed.")
    with _opened(source) as stream:
        if wanted is not None:
            _compare(source, stream, wanted[1])
        try:
            archive = zipfile.ZipFile(cast("IO[bytes]", _Frugal(stream)))
        except _DAMAGE as error:
            raise no_version(source, str(error)) from error
        with archive:
            yield PortableArchive(archive, source)


def _compare(source: Path, stream: BinaryIO, wanted: str) -> None:
    found = file_sha256(stream)
    if found != wanted:
        msg = f"The SHA-256 of {shown(source)} is {found}, not {wanted}: it is not the file that was meant."
        raise IntegrityFailure(msg, hint="Copy the file again, and ask whoever exported it for its SHA-256.")
    stream.seek(0)


def _opened(source: Path) -> BinaryIO:
    try:
        if not stat.S_ISREG(source.stat().st_mode):  # before it is opened: a pipe would wait, a device may act
            raise no_version(source, "it is no regular file")
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        msg = f"There is no file {shown(source)}."
        raise NotFound(msg) from error
    except InvalidRequest:
        raise
    except (OSError, ValueError) as error:
        raise no_version(source, str(error)) from error
    stream = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # another one since it was asked
        stream.close()
        raise no_version(source, "it is no regular file")
    return stream
