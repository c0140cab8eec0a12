"""LightGBM: the library's own text file, and a small JSON for its scikit-learn estimators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chopmark.abc.formats import ArtifactFiles, SavedFile, SavedModel
from chopmark.base.jsons import decode
from chopmark.errors import InvalidRequest, Unsupported
from chopmark.formats import wrapper as wrappers
from chopmark.formats.environment import capture_environment
from chopmark.formats.faults import building, reading, storing
from chopmark.formats.libraries import derives_from, import_library
from chopmark.formats.params import model_params

__all__ = ["FORMAT", "LightgbmFormat"]

FILE = "model.lgb.txt"
CLASSES = ("LGBMClassifier", "LGBMModel", "LGBMRanker", "LGBMRegressor")

# What an estimator keeps of its fit outside the booster; those that are there are stored.
_FITTED = ("_best_iteration", "_fitted_with_feature_names", "_n_features", "_n_features_in", "_objective")


class LightgbmFormat:
    """A ``Booster``, or one of the library's own scikit-learn estimators; no subclass of them."""

    name = "lightgbm"
    runs_code = False
    rank = 15
    suffixes = (".lgb.txt", ".lgb", ".txt")
    extra = "lightgbm"

    def fits(self, model: object) -> bool:
        """Whether it is a booster or estimator of exactly the library's classes."""
        kind = type(model)
        return derives_from(model, "lightgbm", "Booster", *CLASSES) and kind.__module__.startswith("lightgbm.")

    def save(self, model: Any, directory: Path) -> SavedModel:
        """Write ``model.lgb.txt``, and ``wrapper.json`` for an estimator."""
        self._lightgbm()
        if not self.fits(model):
            raise Unsupported(
                f"The format 'lightgbm' holds a Booster or an estimator of lightgbm, not {type(model).__qualname__}."
            )
        files = [SavedFile(FILE)]
        is_wrapped = type(model).__name__ in CLASSES
        with storing(self.name, model):
            booster = model.booster_ if is_wrapped else model
            if is_wrapped:
                (directory / wrappers.FILE).write_bytes(wrappers.encode_wrapper(_wrapper(model)))
                files.append(SavedFile(wrappers.FILE, role="config"))
            # All trees; the best iteration is kept beside them.
            booster.save_model(directory / FILE, num_iteration=-1)
        return SavedModel(
            files=tuple(files),
            environment=capture_environment("lightgbm", ("numpy", *(("scikit-learn",) if is_wrapped else ()))),
            params=model_params(model),
        )

    def describe(self, files: ArtifactFiles) -> SavedModel:
        """Class when the wrapper is there; the native file is read by the library."""
        with reading(self.name):
            self._booster(files)
            wrapper = wrappers.read_wrapper(files, CLASSES)
        model_class = "basic.Booster" if wrapper is None else f"sklearn.{wrapper.class_name}"
        return wrappers.described("lightgbm", files, model_class)

    def load(self, files: ArtifactFiles, *, trusted: Sequence[str] = ()) -> object:  # noqa: ARG002
        """The booster, or a fitted estimator that predicts as before."""
        with building(self.name):
            wrapper = wrappers.read_wrapper(files, CLASSES)
            booster = self._booster(files)
            return booster if wrapper is None else self._estimator(wrapper, booster)

    def _estimator(self, wrapper: wrappers.Wrapper, booster: Any) -> object:
        attributes = dict(wrapper.attributes)
        classes, dtype = attributes.pop("classes", None), attributes.pop("classes_dtype", "")
        model = getattr(self._lightgbm(), wrapper.class_name)(**wrapper.params)
        booster.best_iteration = attributes.get("_best_iteration", -1)
        for name in _FITTED:
            if name in attributes:
                setattr(model, name, attributes[name])
        model._Booster = booster  # noqa: SLF001  # the library has no public way back from a file
        model.fitted_ = True
        if classes is not None:
            _restore_classes(model, classes, dtype)
        return model

    def _booster(self, files: ArtifactFiles) -> Any:
        path = wrappers.native_path(files, self.suffixes, self.name)
        with files.open(path) as file:
            text = file.read().decode()
        _check_whole(text)
        return self._lightgbm().Booster(model_str=text)

    def _lightgbm(self) -> Any:
        return import_library("lightgbm", extra=self.extra, purpose=f"The format {self.name!r}")


FORMAT = LightgbmFormat()


def _check_whole(text: str) -> None:
    """The library reads a text that was cut as far as it goes, or ends the process."""
    _, found, tail = text.rpartition("\nend of parameters\n")
    categories = tail.strip("\n").removeprefix("pandas_categorical:")
    if not text.startswith("tree\n") or not found:
        raise InvalidRequest("The file is no whole text model of LightGBM.")
    if tail.strip("\n"):
        decode(categories if tail.endswith("\n") else "", Any)


def _wrapper(model: Any) -> wrappers.Wrapper:
    attributes = {name: getattr(model, name) for name in _FITTED if hasattr(model, name)}
    classes = getattr(model, "_classes", None)
    if classes is not None:
        if classes.dtype.kind not in "biufU" and not all(isinstance(c, str) for c in classes):
            raise Unsupported(f"Class labels of type {classes.dtype} cannot be kept in the native file.")
        attributes |= {"classes": classes, "classes_dtype": classes.dtype.str}
    return wrappers.Wrapper(type(model).__name__, model.get_params(deep=False), attributes)


def _restore_classes(model: Any, classes: list[Any], dtype: str) -> None:
    import numpy as np
    from sklearn.preprocessing import LabelEncoder

    if np.dtype(dtype).kind not in "biufUO":
        raise InvalidRequest(f"The class labels are of the unknown type {dtype!r}.")
    encoder = LabelEncoder()
    encoder.classes_ = np.array(classes, dtype=dtype)
    model._le = encoder  # noqa: SLF001
    model._classes = encoder.classes_  # noqa: SLF001
    model._n_classes = len(classes)  # noqa: SLF001
    model._class_map = dict(zip(encoder.classes_, range(len(classes)), strict=True))  # noqa: SLF001
