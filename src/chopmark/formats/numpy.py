"""numpy: an array as ``.npy``, named arrays as ``.npz``; never with pickled objects inside."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from chopmark.abc.formats import ArtifactFiles, SavedFile, SavedModel
from chopmark.domain.manifest import Environment
from chopmark.errors import InvalidRequest, Unsupported
from chopmark.formats.archive import check_archive, write_archive
from chopmark.formats.arrays import npy_bytes
from chopmark.formats.environment import capture_environment
from chopmark.formats.faults import building, reading, storing
from chopmark.formats.layout import main_path
from chopmark.formats.libraries import derives_from, import_library

__all__ = ["FORMAT", "NumpyFormat"]

ARRAY_FILE = "model.npy"
ARRAYS_FILE = "model.npz"


class NumpyFormat:
    """An array, or a dict from texts to arrays; arrays come back in C order."""

    name = "numpy"
    runs_code = False
    rank = 25
    suffixes = (".npy", ".npz")
    extra = "numpy"

    def fits(self, model: object) -> bool:
        """Whether it is an array or a dict of arrays, none of them of Python objects."""
        if isinstance(model, dict):
            return bool(model) and all(isinstance(k, str) and _is_plain_array(v) for k, v in model.items())
        return _is_plain_array(model)

    def save(self, model: Any, directory: Path) -> SavedModel:
        """Write ``model.npy``, or ``model.npz`` with the arrays sorted by name."""
        self._numpy()
        if not self.fits(model):
            msg = "The format 'numpy' holds an array or a dict of arrays, none of Python objects."
            raise Unsupported(msg, hint="Convert it to numbers or texts of fixed width.")
        with storing(self.name, model):
            if isinstance(model, dict):
                entries = ((f"{k}.npy", npy_bytes(model[k])) for k in sorted(model))
                write_archive(directory / ARRAYS_FILE, entries)
                file = ARRAYS_FILE
            else:
                (directory / ARRAY_FILE).write_bytes(npy_bytes(model))
                file = ARRAY_FILE
        return SavedModel(files=(SavedFile(file),), environment=capture_environment("numpy"))

    def describe(self, files: ArtifactFiles) -> SavedModel:
        """Check the header of the array, or of each in the archive."""
        with reading(self.name):
            self._read(files, headers_only=True)
        return SavedModel(
            files=tuple(SavedFile(p) for p in files.paths),
            environment=Environment(framework="numpy"),
        )

    def load(self, files: ArtifactFiles, *, trusted: Sequence[str] = ()) -> object:  # noqa: ARG002
        """The array, or a dict of arrays."""
        with building(self.name):
            return self._read(files, headers_only=False)

    def _read(self, files: ArtifactFiles, *, headers_only: bool) -> object:
        path = main_path(files, self.suffixes, self.name)
        with files.open(path) as file:
            if file.read(4) != b"PK\x03\x04":
                return self._array(file, _size_bytes(file), headers_only=headers_only)
            with zipfile.ZipFile(file) as archive:
                check_archive(archive, _size_bytes(file))
                return {
                    info.filename.removesuffix(".npy"): self._member(archive, info, headers_only=headers_only)
                    for info in archive.infolist()
                }

    def _member(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, *, headers_only: bool) -> object:
        if headers_only:
            with archive.open(info) as member:
                start = io.BytesIO(member.read(2**16))
            return self._array(start, info.file_size, headers_only=True)
        data = io.BytesIO(archive.read(info))
        return self._array(data, info.file_size, headers_only=False)

    def _array(self, file: BinaryIO, size_bytes: int, *, headers_only: bool) -> object:
        numpy = self._numpy()
        file.seek(0)
        lib = numpy.lib.format
        version = lib.read_magic(file)
        if version not in ((1, 0), (2, 0), (3, 0)):
            msg = f"The array is of the unknown layout {version}."
            raise InvalidRequest(msg)
        # Layout 3 differs from 2 only in the header's encoding, and numpy reads both alike.
        header = lib.read_array_header_1_0 if version == (1, 0) else lib.read_array_header_2_0
        shape, _, dtype = header(file)
        expected = file.tell() + dtype.itemsize * _product(shape)
        if dtype.hasobject or expected != size_bytes:
            msg = (
                "The array holds pickled Python objects."
                if dtype.hasobject
                else f"The array should take {expected:,} bytes and has {size_bytes:,}."
            )
            raise ValueError(msg)
        if headers_only:
            return None
        file.seek(0)
        return lib.read_array(file, allow_pickle=False)

    def _numpy(self) -> Any:
        return import_library("numpy", extra=self.extra, purpose=f"The format {self.name!r}")


FORMAT = NumpyFormat()


def _is_plain_array(value: object) -> bool:
    """Exactly an array: a masked one or a memory map would come back as something else."""
    kind = type(value)
    is_array = kind.__name__ == "ndarray" and derives_from(value, "numpy")
    return is_array and not value.dtype.hasobject  # type: ignore[attr-defined]


def _size_bytes(file: BinaryIO) -> int:
    size_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size_bytes


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count
