"""skops: scikit-learn estimators and pipelines in a file that can be audited before it is built."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chopmark.abc.formats import ArtifactFiles, SavedFile, SavedModel
from chopmark.domain.manifest import Environment
from chopmark.errors import Denied, InvalidRequest
from chopmark.formats.archive import check_archive
from chopmark.formats.environment import capture_environment
from chopmark.formats.faults import building, reading, storing
from chopmark.formats.layout import listed, main_path
from chopmark.formats.libraries import derives_from
from chopmark.formats.params import model_params
from chopmark.formats.skops_canonical import SCHEMA, write_canonical
from chopmark.formats.skops_types import import_skops

__all__ = ["FORMAT", "SkopsFormat"]

FILE = "model.skops"

# A dump can succeed and the load still fail (a class whose state skops cannot give back), and the
# person should hear of it while the model is in memory. Building a file of 8 MiB takes well under
# a second; above, only the tree is read.
VERIFIED_SIZE_BYTES_MAX = 8 * 2**20


class SkopsFormat:
    """Estimators of scikit-learn, and of libraries that keep to its conventions."""

    name = "skops"
    runs_code = False
    rank = 20
    suffixes = (".skops",)
    extra = "sklearn"

    def fits(self, model: object) -> bool:
        """Whether the class descends from scikit-learn's ``BaseEstimator``."""
        return derives_from(model, "sklearn", "BaseEstimator")

    def save(self, model: object, directory: Path) -> SavedModel:
        """Write ``model.skops``; equal models give equal bytes (see `skops_canonical`)."""
        io_module = self._skops()
        path = directory / FILE
        with storing(self.name, model):
            dumped = io.BytesIO()
            io_module.dump(model, dumped)
            write_canonical(dumped, path)
            del dumped
            untrusted = _untrusted(io_module, path)
            if path.stat().st_size <= VERIFIED_SIZE_BYTES_MAX:
                io_module.load(path, trusted=untrusted)  # our own object, still in memory
        return SavedModel(
            files=(SavedFile(FILE),),
            environment=capture_environment("scikit-learn", ("numpy", "scipy", "skops")),
            params=model_params(model),
            untrusted=tuple(untrusted),
        )

    def describe(self, files: ArtifactFiles) -> SavedModel:
        """Types and scikit-learn's version, from the tree of the file; nothing is built."""
        io_module = self._skops()
        name = main_path(files, self.suffixes, self.name)
        with reading(self.name):
            path = files.local(name)
            schema = _checked_schema(path)
            return SavedModel(
                files=tuple(SavedFile(p) for p in files.paths),
                environment=Environment(framework="scikit-learn", framework_version=_sklearn_version(schema)),
                params={"model_class": f"{schema['__module__']}.{schema['__class__']}"},
                untrusted=tuple(_untrusted(io_module, path)),
            )

    def load(self, files: ArtifactFiles, *, trusted: Sequence[str] = ()) -> object:
        """Build the estimator when all its types are known or trusted."""
        io_module = self._skops()
        with building(self.name):
            path = files.local(main_path(files, self.suffixes, self.name))
            _checked_schema(path)
            unknown = [n for n in _untrusted(io_module, path) if n not in set(trusted)]
            if unknown:
                raise _denied(unknown)
            model: object = io_module.load(path, trusted=list(trusted))
            return model

    def _skops(self) -> Any:
        return import_skops(f"The format {self.name!r}")


FORMAT = SkopsFormat()


def _untrusted(io_module: Any, path: Path) -> list[str]:
    names: list[str] = io_module.get_untrusted_types(file=path)
    return names


def _checked_schema(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        check_archive(archive, path.stat().st_size)
        schema = json.loads(archive.read(SCHEMA))
    if not isinstance(schema, dict) or "__class__" not in schema:
        msg = "The archive has no skops schema."
        raise InvalidRequest(msg)
    return schema


def _sklearn_version(schema: dict[str, Any]) -> str:
    """What the outermost estimator says of the scikit-learn that fitted it; empty when nothing."""
    try:
        state = schema["content"]["content"]["_sklearn_version"]["content"]
        version = json.loads(state)
    except (KeyError, TypeError, ValueError):
        return ""
    return version if isinstance(version, str) else ""


def _denied(names: list[str]) -> Denied:
    msg = f"Loading would build types that are not known to be harmless: {listed(names)}."
    return Denied(
        msg,
        hint="Look at them, then record a trust decision for this version.",
        untrusted=names,
    )
