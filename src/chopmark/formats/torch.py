"""torch: a state dict or checkpoint as ``torch.save`` writes it, read with ``weights_only``."""

from __future__ import annotations

import importlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from chopmark.abc.formats import ArtifactFiles, SavedFile, SavedModel
from chopmark.domain.manifest import Environment
from chopmark.errors import Denied, InvalidRequest, Unsupported
from chopmark.formats.archive import check_archive
from chopmark.formats.environment import capture_environment
from chopmark.formats.faults import building, reading, storing
from chopmark.formats.layout import listed, main_path
from chopmark.formats.libraries import derives_from, import_library
from chopmark.formats.pickle_scan import scan_pickle

__all__ = ["FORMAT", "TorchFormat"]

FILE = "model.pt"
_DEPTH_MAX = 20

# What torch's own reader of weights builds without being asked (torch._weights_only_unpickler).
_HARMLESS = re.compile(
    r"collections\.(OrderedDict|defaultdict|Counter)|builtins\.(set|complex|bytearray)"
    r"|torch\.\w*Storage|torch\.storage\.\w*Storage|torch\._utils\._rebuild_\w+"
    r"|torch\.nn\.parameter\.(Parameter|Buffer)|torch\._tensor\._rebuild_from_type_v2"
    r"|torch\.(Size|Tensor|device|bfloat16|bool|u?int\d+|float\w+|complex\w+|q\w+)"
    r"|torch\.serialization\._get_layout|_codecs\.encode"
)


class TorchFormat:
    """Tensors in dicts and lists, with plain values beside them; loaded onto the CPU.

    A whole ``nn.Module`` is refused: storing one is a pickle, whose load runs code.
    """

    name = "torch"
    runs_code = False
    rank = 40
    suffixes = (".pt", ".pth")
    extra = "torch"

    def fits(self, model: object) -> bool:
        """Whether it is a tensor, or a dict with at least one tensor and nothing but plain values."""
        return _holds_tensor(model) and _is_plain(model, 0)

    def save(self, model: object, directory: Path) -> SavedModel:
        """Write ``model.pt``."""
        if not self.fits(model):
            hint = "Pass model.state_dict()." if derives_from(model, "torch", "Module") else "Pass a state dict."
            raise Unsupported(
                f"The format 'torch' holds a state dict, and a {type(model).__qualname__} as such would be "
                "stored as code that runs on load.",
                hint=f"{hint} For the object itself, format='cloudpickle' exists.",
            )
        torch = self._torch()
        with storing(self.name, model):
            torch.save(model, directory / FILE)
        return SavedModel(files=(SavedFile(FILE),), environment=capture_environment("torch", ("numpy",)))

    def describe(self, files: ArtifactFiles) -> SavedModel:
        """The names that the pickle inside imports, beyond tensors; needs no torch."""
        with reading(self.name), files.open(main_path(files, self.suffixes, self.name)) as file:
            names = _untrusted(file)
        return SavedModel(
            files=tuple(SavedFile(p) for p in files.paths),
            environment=Environment(framework="torch"),
            untrusted=tuple(names),
        )

    def load(self, files: ArtifactFiles, *, trusted: Sequence[str] = ()) -> object:
        """The state dict or checkpoint, by torch's own reader that builds tensors only."""
        torch = self._torch()
        with building(self.name), files.open(main_path(files, self.suffixes, self.name)) as file:
            names = _untrusted(file)
            unknown = [n for n in names if n not in set(trusted)]
            if unknown:
                raise Denied(
                    f"Loading would build types that are no tensors: {listed(unknown)}.",
                    hint="Look at them, then record a trust decision for this version.",
                    untrusted=unknown,
                )
            file.seek(0)
            with torch.serialization.safe_globals([(_found(n), n) for n in names]):
                model: object = torch.load(file, map_location="cpu", weights_only=True)
            return model

    def _torch(self) -> Any:
        return import_library("torch", extra=self.extra, purpose=f"The format {self.name!r}")


FORMAT = TorchFormat()


def _untrusted(file: BinaryIO) -> list[str]:
    if file.read(4) != b"PK\x03\x04":
        raise InvalidRequest(
            "The file is no archive of torch.save (before torch 1.6 it wrote another layout).",
            hint="Load it with your torch and save it again.",
        )
    size_bytes = file.seek(0, 2)
    with zipfile.ZipFile(file) as archive:
        check_archive(archive, size_bytes)
        inner = [n for n in archive.namelist() if n.endswith("/data.pkl")]
        if len(inner) != 1:
            raise InvalidRequest(f"The archive holds {len(inner)} pickles, not one.")
        with archive.open(inner[0]) as pickled:
            scan = scan_pickle(pickled)  # type: ignore[arg-type]
    if not scan.complete:
        raise InvalidRequest("The pickle in the archive is too long to be looked through.")
    return [n for n in scan.names if not _HARMLESS.fullmatch(n)]


def _found(name: str) -> object:
    """The object that a trusted name stands for; importing it is what the trust is about."""
    module, _, attribute = name.rpartition(".")
    found: object = getattr(importlib.import_module(module), attribute)
    return found


def _holds_tensor(value: object) -> bool:
    if derives_from(value, "torch", "Tensor"):
        return True
    return isinstance(value, Mapping) and any(_holds_tensor(v) for v in value.values())


def _is_plain(value: object, depth: int) -> bool:
    if value is None or isinstance(value, (bool, int, float, str, bytes)) or derives_from(value, "torch", "Tensor"):
        return True
    if depth > _DEPTH_MAX:
        return False
    if isinstance(value, dict):
        return all(isinstance(k, (str, int)) and _is_plain(v, depth + 1) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(v, depth + 1) for v in value)
    return type(value).__module__ == "torch" and type(value).__name__ in ("Size", "dtype", "device")
