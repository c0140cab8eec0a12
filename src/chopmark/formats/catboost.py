"""CatBoost: the library's own ``.cbm`` file, and a small JSON for the class of the estimator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chopmark.abc.formats import ArtifactFiles, SavedFile, SavedModel
from chopmark.errors import InvalidRequest, Unsupported
from chopmark.formats import wrapper as wrappers
from chopmark.formats.environment import capture_environment
from chopmark.formats.faults import building, reading, storing
from chopmark.formats.libraries import derives_from, import_library
from chopmark.formats.params import model_params

__all__ = ["FORMAT", "CatboostFormat"]

FILE = "model.cbm"
MAGIC = b"CBM1"
_CORE_AT = 8  # after the magic and the size of the trees as 4 bytes
CLASSES = ("CatBoost", "CatBoostClassifier", "CatBoostRanker", "CatBoostRegressor")


class CatboostFormat:
    """``CatBoost`` and the library's classifier, regressor and ranker; no subclass of them.

    A model file carries the time of its training, so two trainings never have equal bytes; one
    model saved twice does.
    """

    name = "catboost"
    runs_code = False
    rank = 15
    suffixes = (".cbm",)
    extra = "catboost"

    def fits(self, model: object) -> bool:
        """Whether it is exactly one of the library's classes."""
        kind = type(model)
        return derives_from(model, "catboost", *CLASSES) and kind.__module__.startswith("catboost.")

    def save(self, model: Any, directory: Path) -> SavedModel:
        """Write ``model.cbm`` and ``wrapper.json``."""
        self._catboost()
        if not self.fits(model):
            raise Unsupported(f"The format 'catboost' holds a model of catboost, not {type(model).__qualname__}.")
        with storing(self.name, model):
            wrapper = wrappers.Wrapper(type(model).__name__, model.get_params())
            (directory / wrappers.FILE).write_bytes(wrappers.encode_wrapper(wrapper))
            model.save_model(str(directory / FILE), format="cbm")
        params = {**model_params(model), **wrapper.params}
        return SavedModel(
            files=(SavedFile(FILE), SavedFile(wrappers.FILE, role="config")),
            environment=capture_environment("catboost", ("numpy",)),
            params=params,
        )

    def describe(self, files: ArtifactFiles) -> SavedModel:
        """Class when the wrapper is there; the native file is read by the library."""
        with reading(self.name):
            wrapper = wrappers.read_wrapper(files, CLASSES)
            self._read(self._catboost().CatBoost(), files)
        class_name = "CatBoost" if wrapper is None else wrapper.class_name
        return wrappers.described("catboost", files, f"core.{class_name}")

    def load(self, files: ArtifactFiles, *, trusted: Sequence[str] = ()) -> object:  # noqa: ARG002
        """The model in its class; a ``CatBoost`` when only the native file is there."""
        with building(self.name):
            wrapper = wrappers.read_wrapper(files, CLASSES) or wrappers.Wrapper("CatBoost", {})
            return self._read(getattr(self._catboost(), wrapper.class_name)(**wrapper.params), files)

    def _read(self, model: Any, files: ArtifactFiles) -> object:
        path = wrappers.native_path(files, self.suffixes, self.name)
        with files.open(path) as file:
            data = file.read()
        if not data.startswith(MAGIC):
            raise InvalidRequest("The file does not start with CBM1, as CatBoost's own files do.")
        if len(data) < _CORE_AT + int.from_bytes(data[len(MAGIC) : _CORE_AT], "little"):
            raise InvalidRequest("The file ends within its trees.")
        model.load_model(blob=data)
        return model

    def _catboost(self) -> Any:
        return import_library("catboost", extra=self.extra, purpose=f"The format {self.name!r}")


FORMAT = CatboostFormat()
