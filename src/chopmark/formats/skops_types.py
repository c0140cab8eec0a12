"""skops's scikit-learn: which estimators it may build, told one at a time.

skops lists all estimators of scikit-learn when it is imported, which imports all of scikit-learn, and whatever that imports where it is
installed. A file names a few. Here the same question is asked of each of them (`is_estimator`), and importing skops asks for no list
(ADR 24).
"""

from __future__ import annotations

import importlib
import inspect
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

from chopmark.formats.libraries import import_library

__all__ = ["import_skops", "is_estimator"]

# Of a module's path: those that scikit-learn's own list of estimators leaves out.
_LEFT_OUT = frozenset(("tests", "externals", "setup", "conftest", "experimental", "estimator_checks"))

_importing = threading.Lock()


def import_skops(purpose: str) -> Any:
    """``skops.io``, by which files are loaded that name estimators; what it trusts is the same as ever.

    Where it was imported before, as a notebook may have, it has its list already.

    Raises
    ------
    Unsupported
        When it is not installed.
    """
    with _importing:
        if "skops.io._trusted_types" in sys.modules:
            return import_library("skops.io", extra="sklearn", purpose=purpose)
        discovery = import_library("sklearn.utils", extra="sklearn", purpose=purpose)
        listed: Callable[..., list[Any]] = discovery.all_estimators
        here = threading.get_ident()

        def none_here(*arguments: Any, **named: Any) -> list[Any]:
            return listed(*arguments, **named) if threading.get_ident() != here else []

        discovery.all_estimators = none_here
        try:
            found = import_library("skops.io", extra="sklearn", purpose=purpose)
        finally:
            discovery.all_estimators = listed
        _ask_instead()
        return found


def _ask_instead() -> None:
    """Have skops ask `is_estimator` of each object that a file would have it build, where it would have looked at its list."""
    from skops.io import _audit, _general

    plain: Any = _general.ObjectNode

    class Asking(plain):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            if is_estimator(self.module_name, self.class_name):
                self.trusted: list[str] = [*self.trusted, f"{self.module_name}.{self.class_name}"]

    for key, kind in _audit.NODE_TYPE_MAPPING.items():
        if kind is plain:
            _audit.NODE_TYPE_MAPPING[key] = Asking


def is_estimator(module: object, name: object) -> bool:
    """Whether a class is one that ``sklearn.utils.all_estimators()`` lists.

    No module is imported that listing them all would not import too.

    >>> is_estimator("sklearn.linear_model._logistic", "LogisticRegression")
    True
    >>> is_estimator("sklearn.tree._tree", "Tree"), is_estimator("os", "system")
    (False, False)
    """
    if not isinstance(module, str) or not isinstance(name, str) or name.startswith("_"):
        return False
    public = _public(module)
    if not public:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            found = vars(importlib.import_module(public)).get(name)
    except ImportError:
        return False
    if not isinstance(found, type) or (found.__module__, found.__name__) != (module, name):
        return False
    from sklearn.base import BaseEstimator

    return issubclass(found, BaseEstimator) and found is not BaseEstimator and not inspect.isabstract(found)


def _public(module: str) -> str:
    """The public module of scikit-learn that shows what one of its modules has; empty when there is none."""
    parts = module.split(".")
    private = next((at for at, part in enumerate(parts) if part.startswith("_")), len(parts))
    parts = parts[:private]
    is_known = parts[:1] == ["sklearn"] and all(part.isidentifier() for part in parts) and not _LEFT_OUT & set(parts)
    return ".".join(parts) if is_known else ""
