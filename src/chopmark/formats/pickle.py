"""pickle: what every Python has, for objects whose classes are importable by name."""

from __future__ import annotations

import pickle
from typing import BinaryIO

from chopmark.formats.pickled import PickledFormat

__all__ = ["FORMAT", "PickleFormat"]

PROTOCOL = 5


class PickleFormat(PickledFormat):
    """The standard library's pickle, protocol 5. The last that ``auto`` asks: joblib does more."""

    name = "pickle"
    rank = 93
    suffixes = (".pkl", ".pickle")
    extra = ""
    file = "model.pkl"

    def write(self, model: object, file: BinaryIO) -> None:
        """Pickle with protocol 5."""
        pickle.dump(model, file, protocol=PROTOCOL)

    def read(self, file: BinaryIO) -> object:
        """Unpickle: runs what the file says."""
        return pickle.load(file)


FORMAT = PickleFormat()
