"""XGBoost: the library's own UBJSON file, and a small JSON for its scikit-learn estimators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from chopmark.abc.formats import ArtifactFiles, SavedFile, SavedModel
from chopmark.base.jsons import decode
from chopmark.errors import InvalidRequest, Unsupported
from chopmark.formats import wrapper as wrappers
from chopmark.formats.environment import capture_environment
from chopmark.formats.faults import building, reading, storing
from chopmark.formats.libraries import derives_from, import_library
from chopmark.formats.params import model_params
from chopmark.formats.ubjson import check_ubjson

__all__ = ["FORMAT", "XgboostFormat"]

FILE = "model.ubj"
CLASSES = ("XGBClassifier", "XGBModel", "XGBRFClassifier", "XGBRFRegressor", "XGBRanker", "XGBRegressor")


class XgboostFormat:
    """A ``Booster``, or one of the library's own scikit-learn estimators; no subclass of them."""

    name = "xgboost"
    runs_code = False
    rank = 15
    suffixes = (".ubj", ".xgb")
    extra = "xgboost"

    def fits(self, model: object) -> bool:
        """Whether it is a booster or estimator of exactly the library's classes."""
        kind = type(model)
        return derives_from(model, "xgboost", "Booster", *CLASSES) and kind.__module__.startswith("xgboost.")

    def save(self, model: Any, directory: Path) -> SavedModel:
        """Write ``model.ubj``, and ``wrapper.json`` for an estimator."""
        self._xgboost()
        if not self.fits(model):
            raise Unsupported(
                f"The format 'xgboost' holds a Booster or an estimator of xgboost, not {type(model).__qualname__}."
            )
        files = [SavedFile(FILE)]
        is_wrapped = type(model).__name__ in CLASSES
        with storing(self.name, model):
            if is_wrapped:
                wrapper = wrappers.Wrapper(type(model).__name__, model.get_params(deep=False))
                (directory / wrappers.FILE).write_bytes(wrappers.encode_wrapper(wrapper))
                files.append(SavedFile(wrappers.FILE, role="config"))
            model.save_model(directory / FILE)
        return SavedModel(
            files=tuple(files),
            environment=capture_environment("xgboost", ("numpy", *(("scikit-learn",) if is_wrapped else ()))),
            params=model_params(model),
        )

    def describe(self, files: ArtifactFiles) -> SavedModel:
        """Class and parameters when the wrapper is there; the native file is read by the library."""
        with reading(self.name):
            self._booster(files)
            wrapper = wrappers.read_wrapper(files, CLASSES)
        model_class = "core.Booster" if wrapper is None else f"sklearn.{wrapper.class_name}"
        return wrappers.described("xgboost", files, model_class)

    def load(self, files: ArtifactFiles, *, trusted: Sequence[str] = ()) -> object:  # noqa: ARG002
        """The booster, or the estimator with its parameters as they were given."""
        with building(self.name):
            wrapper = wrappers.read_wrapper(files, CLASSES)
            if wrapper is None:
                return self._booster(files)
            model = getattr(self._xgboost(), wrapper.class_name)(**wrapper.params)
            model.load_model(self._native(files))
            for name, value in wrapper.params.items():  # loading wrote the booster's own into them
                setattr(model, name, value)
            return model

    def _booster(self, files: ArtifactFiles) -> object:
        booster = self._xgboost().Booster()
        booster.load_model(self._native(files))
        return booster

    def _native(self, files: ArtifactFiles) -> bytearray:
        """The native file's bytes: with a file name, the library would judge by the suffix."""
        path = wrappers.native_path(files, self.suffixes, self.name)
        with files.open(path) as file:
            data = bytearray(file.read())
        _check_whole(data)
        return data

    def _xgboost(self) -> Any:
        return import_library("xgboost", extra=self.extra, purpose=f"The format {self.name!r}")


FORMAT = XgboostFormat()


def _check_whole(data: bytearray) -> None:
    """The library ends the process on a file that is not whole."""
    if not data.startswith(b"{"):
        raise InvalidRequest("The file is neither UBJSON nor JSON of XGBoost.")
    if data[1:].lstrip()[:1] == b'"':
        decode(bytes(data), dict[str, msgspec.Raw])
    else:
        check_ubjson(data)
    if b"learner" not in data or b"gradient_booster" not in data:
        raise InvalidRequest("The file holds no learner of XGBoost.")
