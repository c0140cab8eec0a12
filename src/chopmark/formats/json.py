"""JSON: configurations, rules and other plain values, in one canonical form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from chopmark.abc.formats import ArtifactFiles, SavedFile, SavedModel
from chopmark.base.jsons import canonical
from chopmark.errors import Unsupported
from chopmark.formats.faults import building, reading
from chopmark.formats.layout import main_path

__all__ = ["FORMAT", "JsonFormat"]

FILE = "model.json"
_DEPTH_MAX = 100


class JsonFormat:
    """A dict or list of JSON values. Keys come back sorted, and tuples as lists."""

    name = "json"
    runs_code = False
    rank = 10
    suffixes = (".json",)
    extra = ""

    def fits(self, model: object) -> bool:
        """Whether it is a dict or list that JSON can say without loss (but for tuples)."""
        return isinstance(model, (dict, list)) and not _fault(model, "value", 0)

    def save(self, model: object, directory: Path) -> SavedModel:
        """Write ``model.json`` with sorted keys and no white space."""
        fault = _fault(model, "value", 0)
        if fault or not isinstance(model, (dict, list)):
            msg = f"The format 'json' cannot hold it: {fault or 'it is no dict or list'}."
            raise Unsupported(msg, hint="Use texts, finite numbers, lists and dicts with text keys.")
        (directory / FILE).write_bytes(canonical(model))
        return SavedModel(files=(SavedFile(FILE, role="config"),))

    def describe(self, files: ArtifactFiles) -> SavedModel:
        """Check that it is JSON."""
        with reading(self.name):
            self._read(files)
        return SavedModel(files=tuple(SavedFile(p, role="config") for p in files.paths))

    def load(self, files: ArtifactFiles, *, trusted: Sequence[str] = ()) -> object:  # noqa: ARG002
        """The value."""
        with building(self.name):
            return self._read(files)

    def _read(self, files: ArtifactFiles) -> Any:
        with files.open(main_path(files, self.suffixes, self.name)) as file:
            return msgspec.json.decode(file.read())  # noqa: TID251 - no type is read


FORMAT = JsonFormat()


def _fault(value: Any, place: str, depth: int) -> str:
    if depth > _DEPTH_MAX:
        return f"{place[:80]} nests more than {_DEPTH_MAX} levels"
    if value is None or isinstance(value, bool):
        return ""
    if type(value) is int:
        return "" if -(2**63) <= value < 2**64 else f"{place} is beyond 64 bits"
    if type(value) is float:
        return "" if math.isfinite(value) else f"{place} is {value}"
    if type(value) is str:
        return "" if value.isascii() or _is_unicode(value) else f"{place} is not valid Unicode"
    if isinstance(value, (list, tuple)):
        faults = (_fault(v, f"{place}[{i}]", depth + 1) for i, v in enumerate(value))
        return next((f for f in faults if f), "")
    if isinstance(value, dict):
        if any(type(k) is not str for k in value):
            return f"{place} has keys that are not texts"
        faults = (_fault(v, f"{place}.{k}", depth + 1) for k, v in value.items())
        return next((f for f in faults if f), "")
    return f"{place} is of type {type(value).__qualname__}"


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text)
