"""cloudpickle: pickle that brings lambdas and the classes of a notebook along, as byte code."""

from __future__ import annotations

from typing import Any, BinaryIO

from chopmark.formats.libraries import import_library
from chopmark.formats.pickled import PickledFormat

__all__ = ["FORMAT", "CloudpickleFormat"]


class CloudpickleFormat(PickledFormat):
    """Byte code is part of the file: it loads only in the same minor version of Python."""

    name = "cloudpickle"
    rank = 91
    suffixes = (".cloudpickle",)
    libraries = ("cloudpickle",)
    by_reference = False
    file = "model.cloudpickle"

    def write(self, model: object, file: BinaryIO) -> None:
        """Pickle with protocol 5."""
        self._cloudpickle().dump(model, file, protocol=5)

    def read(self, file: BinaryIO) -> object:
        """Unpickle: runs what the file says."""
        model: object = self._cloudpickle().load(file)
        return model

    def _cloudpickle(self) -> Any:
        return import_library("cloudpickle", extra=self.extra, purpose=f"The format {self.name!r}")


FORMAT = CloudpickleFormat()
