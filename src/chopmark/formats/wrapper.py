"""The scikit-learn wrapper of a booster, beside the native file: its class and its parameters.

XGBoost's, LightGBM's and CatBoost's own files hold the trees, and not the estimator around them.
This small JSON does, so that a load gives back an estimator that predicts as before. A class is
only ever looked up by name among those that a format lists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from chopmark.abc.formats import ArtifactFiles, SavedFile, SavedModel
from chopmark.base.jsons import canonical, decode
from chopmark.domain.manifest import Environment
from chopmark.errors import IntegrityFailure, Unsupported
from chopmark.formats.layout import main_path, optional_path

__all__ = ["FILE", "Wrapper", "described", "encode_wrapper", "native_path", "read_wrapper"]

FILE = "wrapper.json"
_FLOAT = "$float"
_SIZE_BYTES_MAX = 64 * 2**20


class Wrapper(msgspec.Struct, frozen=True, rename={"class_name": "class"}):
    """What stands around a booster.

    Attributes
    ----------
    class_name
        Name of the class in the library's root module.
    params
        Arguments of its constructor.
    attributes
        What fitting added, where the native file does not hold it.
    """

    class_name: str
    params: dict[str, Any]
    attributes: dict[str, Any] = {}


def encode_wrapper(wrapper: Wrapper) -> bytes:
    """Canonical JSON; numbers of numpy become plain ones, NaN and infinities are kept.

    Raises
    ------
    Unsupported
        When a parameter is an object that JSON cannot say, for example a function.
    """
    return canonical(
        Wrapper(
            wrapper.class_name,
            {k: _plain(v, k) for k, v in wrapper.params.items()},
            {k: _plain(v, k) for k, v in wrapper.attributes.items()},
        )
    )


def read_wrapper(files: ArtifactFiles, classes: Sequence[str]) -> Wrapper | None:
    """The wrapper beside a native file; None when there is none.

    Raises
    ------
    InvalidRequest
        When it is no such JSON.
    IntegrityFailure
        When it names another class than those of ``classes``, or is beyond 64 MiB.
    """
    path = optional_path(files, FILE)
    if path is None:
        return None
    with files.open(path) as file:
        data = file.read(_SIZE_BYTES_MAX + 1)
    if len(data) > _SIZE_BYTES_MAX:
        raise IntegrityFailure(f"The file {path!r} has more than {_SIZE_BYTES_MAX:,} bytes.")
    wrapper = decode(data, Wrapper)
    if wrapper.class_name not in classes:
        raise IntegrityFailure(
            f"The file {path!r} names the class {wrapper.class_name[:80]!r}, which the format does not know.",
            hint=f"It may be {', '.join(classes)}.",
        )
    return Wrapper(wrapper.class_name, _revived(wrapper.params), _revived(wrapper.attributes))


def native_path(files: ArtifactFiles, suffixes: Sequence[str], format_name: str) -> str:
    """The library's own file among the version's: the only one beside the wrapper, or the one of a known suffix."""
    names = [p for p in files.paths if not _is_wrapper(p)]
    return names[0] if len(names) == 1 else main_path(files, suffixes, format_name)


def described(library: str, files: ArtifactFiles, model_class: str) -> SavedModel:
    """What files say of themselves: their roles, the library, and the class of the model."""
    saved = tuple(SavedFile(p, role="config" if _is_wrapper(p) else "weights") for p in files.paths)
    params = {"model_class": f"{library}.{model_class}"}
    return SavedModel(files=saved, environment=Environment(framework=library), params=params)


def _is_wrapper(path: str) -> bool:
    return path.rpartition("/")[2] == FILE


def _plain(value: Any, place: str) -> Any:
    if hasattr(value, "tolist") and hasattr(value, "dtype"):  # numpy, without importing it
        value = value.tolist()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_FLOAT: str(float(value))}
    if isinstance(value, (list, tuple)):
        return [_plain(v, place) for v in value]
    if isinstance(value, Mapping) and all(isinstance(k, str) for k in value):
        return {k: _plain(v, place) for k, v in value.items()}
    raise Unsupported(
        f"The parameter {place!r} is of type {type(value).__qualname__}, which the native file cannot keep.",
        hint="Pass a named objective or metric, or let format='auto' choose.",
    )


def _revived(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {_FLOAT}:
            return float(value[_FLOAT])
        return {k: _revived(v) for k, v in value.items()}
    return [_revived(v) for v in value] if isinstance(value, list) else value
