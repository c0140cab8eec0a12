"""Records beside the blobs: small files by name, on a disk or in an object store.

They stand under ``records/`` in the place of the blobs, so that whoever copies or loses one has or loses the other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chopmark.abc.records import RecordStore
from chopmark.blobs import filesystem
from chopmark.blobs.copying import write_all
from chopmark.blobs.failures import reporting
from chopmark.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from chopmark.blobs.objects import Limits, Objects

__all__ = ["LocalRecords", "ObjectRecords", "check_record_name", "open_records"]

FOLDER = "records"
_PART = re.compile(r"[a-z0-9_-][a-z0-9._-]{0,199}")
_PARTS_MAX = 6


def check_record_name(name: str) -> str:
    """Return the name when it can be one.

    Raises
    ------
    InvalidRequest
        When it could climb out of its directory, or is too long.
    """
    parts = name.split("/")
    if len(parts) > _PARTS_MAX or not all(map(_PART.fullmatch, parts)):
        raise InvalidRequest(f"{name[:100]!r} is no name of a record.")
    return name


def _missing(name: str) -> NotFound:
    return NotFound(f"There is no record {name!r} beside the blobs.")


def _key(name: str) -> str:
    return f"{FOLDER}/{check_record_name(name)}"


class LocalRecords:
    """`chopmark.abc.records.RecordStore` in a directory.

    Parameters
    ----------
    root
        The directory of the blobs; records stand in its ``records``, made with the first of them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root / FOLDER
        self._directories = filesystem.Directories(durable=True)

    def put(self, name: str, data: bytes) -> None:
        """See the interface."""
        target = self.root / check_record_name(name)
        with reporting("write a record", self.root):
            self._directories.make(target.parent)
            with filesystem.new_file(target) as descriptor:
                write_all(descriptor, data)
                filesystem.sync_file(descriptor)
            filesystem.sync_directory(target.parent)

    def get(self, name: str) -> bytes:
        """See the interface."""
        with reporting("read a record", self.root):
            try:
                return (self.root / check_record_name(name)).read_bytes()
            except FileNotFoundError as error:
                raise _missing(name) from error

    def names(self, prefix: str = "") -> Iterator[str]:
        """See the interface."""
        with reporting("list the records", self.root):
            found = sorted(name for name in self._names() if name.startswith(prefix))
        yield from found

    def _names(self) -> Iterator[str]:
        for base, _, names in os.walk(self.root):
            folder = Path(base).relative_to(self.root)
            yield from ((folder / name).as_posix() for name in names if _PART.fullmatch(name))

    def delete(self, name: str) -> bool:
        """See the interface."""
        with reporting("delete a record", self.root):
            try:
                (self.root / check_record_name(name)).unlink()
            except FileNotFoundError:
                return False
        return True


class ObjectRecords:
    """`chopmark.abc.records.RecordStore` in an object store.

    Parameters
    ----------
    objects
        A client of `chopmark.blobs.objects.connect`, for the place of the blobs.
    place
        What errors call the store.
    """

    def __init__(self, objects: Objects, place: str) -> None:
        self._objects = objects
        self.place = place

    def put(self, name: str, data: bytes) -> None:
        """See the interface."""
        import obstore

        from chopmark.blobs.objects import calling

        key = _key(name)
        with calling("write a record", self.place):
            obstore.put(self._objects, key, data)

    def get(self, name: str) -> bytes:
        """See the interface."""
        import obstore

        from chopmark.blobs.objects import calling

        key = _key(name)
        try:
            with calling("read a record", self.place):
                return bytes(obstore.get(self._objects, key).bytes())
        except NotFound as error:
            raise _missing(name) from error

    def names(self, prefix: str = "") -> Iterator[str]:
        """See the interface."""
        import obstore

        from chopmark.blobs.objects import calling

        # An object store lists whole folders; the rest of the prefix is compared here.
        folder = f"{FOLDER}/{prefix}".rpartition("/")[0] + "/"
        with calling("list the records", self.place):
            keys = [meta["path"] for page in obstore.list(self._objects, prefix=folder) for meta in page]
        yield from sorted(n for n in (k.removeprefix(f"{FOLDER}/") for k in keys) if n.startswith(prefix))

    def delete(self, name: str) -> bool:
        """See the interface."""
        import obstore

        from chopmark.blobs.objects import calling

        key = _key(name)
        try:
            with calling("delete a record", self.place):
                obstore.head(self._objects, key)
                obstore.delete(self._objects, key)
        except NotFound:
            return False
        return True


def open_records(
    url: str | Path,
    *,
    endpoint_url: str | None = None,
    allow_http: bool = False,
    options: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
) -> RecordStore:
    """Open the records beside the blobs at an address; the parameters are those of `chopmark.blobs.open_store`."""
    if isinstance(url, Path) or "://" not in url:
        return LocalRecords(Path(os.path.abspath(url)))  # noqa: PTH100 as the store does
    from chopmark.blobs.objects import Limits, connect, parse_address

    address = parse_address(url)
    objects = connect(address, limits or Limits(), endpoint_url=endpoint_url, allow_http=allow_http, options=options)
    return ObjectRecords(objects, str(address))
