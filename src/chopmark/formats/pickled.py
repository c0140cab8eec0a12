"""What joblib, pickle, cloudpickle and dill have in common: loading runs what the file says."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from chopmark.abc.formats import ANY_CODE, ArtifactFiles, SavedFile, SavedModel
from chopmark.domain.manifest import Environment
from chopmark.errors import Denied, InvalidRequest, Unsupported
from chopmark.formats.environment import capture_environment, framework_of
from chopmark.formats.faults import building, reading, storing
from chopmark.formats.layout import listed, main_path
from chopmark.formats.params import model_params
from chopmark.formats.pickle_scan import PickleScan, scan_pickle

__all__ = ["COMPRESSED", "PickledFormat", "decompressed", "untrusted_names"]

INFLATED_SIZE_BYTES_MAX = 2**31

# What rebuilds arrays and containers: it brings no behaviour of its own.
_HARMLESS = frozenset(
    [
        "_codecs.encode",
        "builtins.bytearray",
        "builtins.complex",
        "builtins.float",
        "builtins.frozenset",
        "builtins.int",
        "builtins.object",
        "builtins.set",
        "builtins.slice",
        "collections.OrderedDict",
        "collections.defaultdict",
        "copyreg._reconstructor",
        "joblib.numpy_pickle.NumpyArrayWrapper",
        "numpy.dtype",
        "numpy.ndarray",
        *(
            f"numpy.{core}.{name}"
            for core in ("core", "_core")
            for name in (
                "multiarray._reconstruct",
                "multiarray.scalar",
                "numeric._frombuffer",
            )
        ),
    ]
)

# What a restart of Python has to find under the same name for a pickle by reference.
_UNIMPORTABLE = "__main__"


class PickledFormat(ABC):
    """A format that pickles. Anything fits; `save` finds out what cannot be pickled."""

    name: str
    rank: int
    suffixes: tuple[str, ...]
    runs_code = True
    extra = "pickle"
    libraries: tuple[str, ...] = ()
    by_reference = True
    file = ""

    def fits(self, model: object) -> bool:  # noqa: ARG002
        """Always: whether an object can be pickled shows when it is."""
        return True

    def save(self, model: object, directory: Path) -> SavedModel:
        """Write one file. Its bytes may differ from one process to the next (sets, interning)."""
        path = directory / self.file
        with storing(self.name, model), path.open("wb") as file:
            self.write(model, file)
        scan = self._scan_file(path)
        if self.by_reference:
            _check_importable(scan, self.name)
        return SavedModel(
            files=(SavedFile(self.file),),
            environment=capture_environment(framework_of(model), (*_dependencies(scan), *self.libraries)),
            params=model_params(model),
            untrusted=untrusted_names(scan),
        )

    def describe(self, files: ArtifactFiles) -> SavedModel:
        """The names that the pickle imports (see `pickle_scan`); nothing is unpickled."""
        path = main_path(files, self.suffixes, self.name)
        with reading(self.name), files.open(path) as file:
            scan = scan_pickle(decompressed(file))
        return SavedModel(
            files=tuple(SavedFile(p) for p in files.paths),
            environment=Environment(),
            params={"model_class": scan.root} if scan.root else {},
            untrusted=untrusted_names(scan),
        )

    def load(self, files: ArtifactFiles, *, trusted: Sequence[str] = ()) -> object:
        """Unpickle, when `ANY_CODE` is in ``trusted``."""
        with building(self.name):
            if ANY_CODE not in trusted:
                raise self._denied(files)
            with files.open(main_path(files, self.suffixes, self.name)) as file:
                return self.read(file)

    def _denied(self, files: ArtifactFiles) -> Denied:
        names = list(self.describe(files).untrusted)
        msg = (
            f"Loading a file of format {self.name!r} runs code that it brings, and no trust decision "
            f"allows that. It imports {listed(names) or 'nothing beyond arrays and containers'}."
        )
        return Denied(
            msg,
            hint="Record a trust decision for this version, or register it in a format such as skops.",
            untrusted=names,
        )

    def _scan_file(self, path: Path) -> PickleScan:
        with path.open("rb") as file:
            return scan_pickle(file)

    @abstractmethod
    def write(self, model: object, file: BinaryIO) -> None:
        """Pickle the model."""

    @abstractmethod
    def read(self, file: BinaryIO) -> object:
        """Unpickle: runs what the file says."""


def untrusted_names(scan: PickleScan) -> tuple[str, ...]:
    """Names of a scan that are not known to be harmless, with a note when the scan was cut."""
    names = tuple(n for n in scan.names if n not in _HARMLESS)
    return names if scan.complete else (*names, "… (not scanned to the end)")


def _check_importable(scan: PickleScan, format_name: str) -> None:
    by_value = [n for n in scan.names if n.startswith("dill._dill.")]
    if by_value:
        msg = f"An import of dill has changed the pickler, and the file would need dill ({by_value[0]})."
        raise Unsupported(msg, hint="Use format='cloudpickle' or 'dill', or call dill.extend(False).")
    own = [n for n in scan.names if n.startswith(f"{_UNIMPORTABLE}.")]
    if own:
        msg = (
            f"The format {format_name!r} stores classes and functions by name, and {', '.join(own[:5])} "
            "exists only in this session."
        )
        raise Unsupported(msg, hint="Use format='cloudpickle', or move them into an installed module.")


def _dependencies(scan: PickleScan) -> list[str]:
    roots = {n.partition(".")[0] for n in scan.names}
    return sorted({"sklearn": "scikit-learn"}.get(r, r) for r in roots if r not in ("builtins", "joblib"))


_OPENERS: tuple[tuple[bytes, Any], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ", lzma.open),
    (b"\x5d\x00", lzma.open),
)
ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


COMPRESSED = (*(magic for magic, _ in _OPENERS), *ZLIB)


def decompressed(file: BinaryIO) -> BinaryIO:
    """The stream, unpacked when it is compressed as joblib does it; 2 GiB at most.

    Raises
    ------
    InvalidRequest
        When it unfolds beyond the limit, or is compressed with LZ4.
    """
    start = file.read(6)
    file.seek(0)
    if start.startswith(b"\x04\x22\x4d\x18"):
        msg = "The file is compressed with LZ4, which cannot be looked into."
        raise InvalidRequest(msg, hint="Dump it with compress=('zlib', 3) or none.")
    for magic, opener in _OPENERS:
        if start.startswith(magic):
            return cast("BinaryIO", _Limited(opener(file)))
    if start[:2] in ZLIB:
        inflater = zlib.decompressobj()
        data = inflater.decompress(file.read(), INFLATED_SIZE_BYTES_MAX)
        if inflater.unconsumed_tail:
            raise _too_large()
        return io.BytesIO(data)
    return file


class _Limited(io.RawIOBase):
    """A decompressing stream that ends with an error at the limit."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Read, up to the limit."""
        left = self._left()
        return self._file.read(left if size < 0 else min(size, left))

    def readline(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002  # pickletools never passes it
        """Read a line, up to the limit."""
        return self._file.readline(self._left())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move forward; an array larger than the limit is refused."""
        at = self._file.tell() + offset if whence == io.SEEK_CUR else offset
        if at > INFLATED_SIZE_BYTES_MAX:
            raise _too_large()
        return self._file.seek(at)

    def tell(self) -> int:
        """Position in the unfolded bytes."""
        return self._file.tell()

    def _left(self) -> int:
        left = INFLATED_SIZE_BYTES_MAX - self._file.tell()
        if left <= 0:
            raise _too_large()
        return left


def _too_large() -> InvalidRequest:
    msg = f"The file unfolds to more than {INFLATED_SIZE_BYTES_MAX:,} bytes."
    return InvalidRequest(msg, hint="Dump it without compression.")
