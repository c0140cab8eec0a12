"""joblib: pickle that writes numpy arrays as they lie in memory; compressed files are read too."""

from __future__ import annotations

from typing import Any, BinaryIO

from chopmark.formats.libraries import import_library
from chopmark.formats.pickled import PickledFormat

__all__ = ["FORMAT", "JoblibFormat"]


class JoblibFormat(PickledFormat):
    """``joblib.dump`` without compression: blobs are compressed where they are kept."""

    name = "joblib"
    rank = 90
    suffixes = (".joblib", ".jl")
    libraries = ("joblib",)
    file = "model.joblib"

    def write(self, model: object, file: BinaryIO) -> None:
        """Dump uncompressed."""
        self._joblib().dump(model, file, compress=0, protocol=5)

    def read(self, file: BinaryIO) -> object:
        """Unpickle: runs what the file says."""
        model: object = self._joblib().load(file)
        return model

    def _joblib(self) -> Any:
        return import_library("joblib", extra=self.extra, purpose=f"The format {self.name!r}")


FORMAT = JoblibFormat()
