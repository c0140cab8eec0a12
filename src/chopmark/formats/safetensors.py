"""safetensors: named tensors in a file that holds a JSON header and numbers, and nothing else.

Specification: https://huggingface.co/docs/safetensors (header length as 8 bytes little-endian,
header, then the tensors without gaps).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from chopmark.abc.formats import ArtifactFiles, SavedFile, SavedModel
from chopmark.base.jsons import decode
from chopmark.domain.manifest import Environment
from chopmark.errors import InvalidRequest, Unsupported
from chopmark.formats.environment import capture_environment
from chopmark.formats.faults import building, reading, storing
from chopmark.formats.layout import main_path
from chopmark.formats.libraries import derives_from, import_library

__all__ = ["FORMAT", "SafetensorsFormat"]

FILE = "model.safetensors"
HEADER_SIZE_BYTES_MAX = 100 * 2**20
_METADATA = "__metadata__"
_TORCH, _NUMPY = "pt", "np"


class Tensor(msgspec.Struct, frozen=True):
    """Entry of the header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class SafetensorsFormat:
    """A dict of numpy arrays or of torch tensors; it comes back as what it was saved from.

    The header's metadata says which (``format``: ``pt`` or ``np``, as Hugging Face writes it). A
    file without that comes back as numpy arrays.
    """

    name = "safetensors"
    runs_code = False
    rank = 30
    suffixes = (".safetensors",)
    extra = "safetensors"

    def fits(self, model: object) -> bool:
        """Whether it is a dict with text keys of dense tensors, all of one library."""
        return isinstance(model, dict) and bool(model) and _library(model) != ""

    def save(self, model: Any, directory: Path) -> SavedModel:
        """Write ``model.safetensors``; tensors stand in an order that depends on names and types only."""
        self._safetensors("safetensors")
        library = _library(model) if isinstance(model, dict) and model else ""
        if not library:
            raise Unsupported(
                "The format 'safetensors' holds a dict of numpy arrays or of torch tensors.",
                hint="Pass model.state_dict() instead of the module.",
            )
        with storing(self.name, model):
            if library == _TORCH:
                self._save_torch(model, directory / FILE)
            else:
                self._save_numpy(model, directory / FILE)
        framework = "torch" if library == _TORCH else "numpy"
        return SavedModel(
            files=(SavedFile(FILE),), environment=capture_environment(framework, ("numpy", "safetensors"))
        )

    def describe(self, files: ArtifactFiles) -> SavedModel:
        """Check the header against the size of the file."""
        with reading(self.name):
            metadata = self._checked_header(files)
        framework = {"pt": "torch", "np": "numpy"}.get(metadata.get("format", ""), "")
        return SavedModel(files=tuple(SavedFile(p) for p in files.paths), environment=Environment(framework=framework))

    def load(self, files: ArtifactFiles, *, trusted: Sequence[str] = ()) -> object:  # noqa: ARG002
        """A dict of tensors (on the CPU)."""
        with building(self.name):
            path = main_path(files, self.suffixes, self.name)
            is_torch = self._checked_header(files).get("format") == _TORCH
            if is_torch:
                import_library("torch", extra="torch", purpose="This file of torch tensors")
            library = self._safetensors("safetensors.torch" if is_torch else "safetensors.numpy")
            with files.open(path) as file:
                tensors: dict[str, Any] = library.load(file.read())
            return tensors

    def _save_torch(self, model: dict[str, Any], path: Path) -> None:
        library = self._safetensors("safetensors.torch")
        library.save_file({k: v.contiguous() for k, v in model.items()}, path, metadata={"format": _TORCH})

    def _save_numpy(self, model: dict[str, Any], path: Path) -> None:
        import numpy as np

        library = self._safetensors("safetensors.numpy")
        library.save_file({k: np.asarray(v, order="C") for k, v in model.items()}, path, metadata={"format": _NUMPY})

    def _checked_header(self, files: ArtifactFiles) -> dict[str, str]:
        with files.open(main_path(files, self.suffixes, self.name)) as file:
            size_bytes = file.seek(0, io.SEEK_END)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(HEADER_SIZE_BYTES_MAX, size_bytes - 8):  # noqa: PLR2004  # "{}"
                raise InvalidRequest(f"The header would take {length:,} of {size_bytes:,} bytes.")
            entries = decode(file.read(length), dict[str, Any])
        metadata = decode(msgspec.json.encode(entries.pop(_METADATA, {})), dict[str, str])
        tensors = decode(msgspec.json.encode(entries), dict[str, Tensor])
        end = max((t.data_offsets[1] for t in tensors.values()), default=0)
        if 8 + length + end != size_bytes:
            raise InvalidRequest(f"The tensors should end at byte {8 + length + end:,} of {size_bytes:,}.")
        return metadata

    def _safetensors(self, module: str) -> Any:
        return import_library(module, extra=self.extra, purpose=f"The format {self.name!r}")


FORMAT = SafetensorsFormat()


def _library(model: dict[Any, Any]) -> str:
    if not all(isinstance(k, str) and k != _METADATA for k in model):
        return ""
    if all(derives_from(v, "torch", "Tensor") for v in model.values()):
        return _TORCH
    return _NUMPY if all(_is_number_array(v) for v in model.values()) else ""


def _is_number_array(value: object) -> bool:
    kind = type(value)
    is_array = kind.__name__ == "ndarray" and derives_from(value, "numpy")
    return is_array and value.dtype.kind in "biuf" and value.dtype.isnative  # type: ignore[attr-defined]
