"""Files whose load creates a marker: what a description must never do."""

import io
import zipfile
from pathlib import Path

import skops.io

from chopmark.formats import get_format
from chopmark.testing.files import DirectoryFiles


class Touching:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return Path.touch, (self.marker,)


def touch(path: str) -> None:
    Path(path).touch()


class TouchingCall(Touching):
    """The same through one function of a module, which is all that torch's reader knows."""

    def __reduce__(self) -> tuple:
        return touch, (self.marker,)


class TouchingState:
    """Creates a file when its state is set, as skops does for any object with ``__setstate__``."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __getstate__(self) -> dict:
        return {"marker": self.marker}

    def __setstate__(self, state) -> None:
        Path(state["marker"]).touch()


def pickled_canary(name: str):
    def write(directory: Path, marker: Path) -> DirectoryFiles:
        directory.mkdir()
        return DirectoryFiles.of(get_format(name).save(Touching(marker), directory), directory)

    return write


PICKLED = {name: pickled_canary(name) for name in ("pickle", "joblib", "cloudpickle", "dill")}


def skops_canary(directory: Path, marker: Path) -> DirectoryFiles:
    return DirectoryFiles.write(directory, {"model.skops": skops.io.dumps(TouchingState(marker))})


def torch_canary(directory: Path, marker: Path) -> DirectoryFiles:
    """A torch archive whose pickle touches the marker: torch.save would write the same."""
    import torch

    saved = io.BytesIO()
    torch.save({"weight": torch.zeros(2), "extra": TouchingCall(marker)}, saved)
    assert any(n.endswith("/data.pkl") for n in zipfile.ZipFile(saved).namelist())
    return DirectoryFiles.write(directory, {"model.pt": saved.getvalue()})
