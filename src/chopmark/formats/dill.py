"""dill: pickle that also holds some things that cloudpickle refuses, such as open generators' code."""

from __future__ import annotations

import sys
from typing import Any, BinaryIO

from chopmark.formats.libraries import import_library
from chopmark.formats.pickled import PickledFormat

__all__ = ["FORMAT", "DillFormat"]


class DillFormat(PickledFormat):
    """Byte code is part of the file: it loads only in the same minor version of Python."""

    name = "dill"
    rank = 92
    suffixes = (".dill",)
    libraries = ("dill",)
    by_reference = False
    file = "model.dill"

    def write(self, model: object, file: BinaryIO) -> None:
        """Pickle with protocol 5."""
        self._dill().dump(model, file, protocol=5)

    def read(self, file: BinaryIO) -> object:
        """Unpickle: runs what the file says."""
        model: object = self._dill().load(file)
        return model

    def _dill(self) -> Any:
        is_new = "dill" not in sys.modules
        dill = import_library("dill", extra=self.extra, purpose=f"The format {self.name!r}")
        if is_new:
            # On import dill teaches its types to Python's own pickler, and joblib's files would
            # then need dill. Whoever imported dill before us may want that; nobody asked us for it.
            dill.extend(use_dill=False)
        return dill


FORMAT = DillFormat()
