"""The interface of a format: how a model becomes files, and files a model again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec

from chopmark.domain.manifest import Environment, Role

__all__ = ["ANY_CODE", "ArtifactFiles", "Format", "SavedFile", "SavedModel"]

ANY_CODE = "*"
"""What ``trusted`` must hold before a format with ``runs_code`` loads: names cannot bound a pickle."""


class SavedFile(msgspec.Struct, frozen=True):
    """A file that a format wrote, relative to the directory it was given."""

    path: str
    role: Role = "weights"


class SavedModel(msgspec.Struct, frozen=True):
    """What a format made of a model.

    Attributes
    ----------
    files
        What it wrote.
    environment
        Framework, its version, and the distributions that loading needs; Python and platform
        are filled in by the caller.
    params
        Hyperparameters that the model tells about itself, as JSON values.
    untrusted
        Type names that loading would have to build and that are not known to be harmless.
    """

    files: tuple[SavedFile, ...]
    environment: Environment = Environment()
    params: dict[str, Any] = {}
    untrusted: tuple[str, ...] = ()


class ArtifactFiles(Protocol):
    """A version's files as a format reads them; every byte was verified before."""

    @property
    def paths(self) -> Sequence[str]:
        """Paths of the files that belong to the format, sorted."""
        ...

    def open(self, path: str) -> BinaryIO:
        """A verified, seekable stream; the caller closes it."""
        ...

    def local(self, path: str) -> Path:
        """A verified read-only file on disk, for libraries that want a file name.

        It lives until the load is over. Sibling files stand beside it as in the manifest.
        """
        ...

    def directory(self) -> Path:
        """A directory with all the files, verified, as in the manifest; lives like `local`."""
        ...


class Format(Protocol):
    """How a model becomes files and files become a model.

    A format imports its framework only inside its methods, and is found by the entry point group
    ``chopmark.formats``, the built-in ones too.

    Attributes
    ----------
    name
        What a version records.
    runs_code
        Whether loading may run code that the files bring (pickle and its kin).
    rank
        Order in which ``format="auto"`` asks: the lowest rank that fits wins. Safe native formats
        are below 50, formats that run code from 90.
    suffixes
        Of file names that are this format when a path is registered, with the dot.
    extra
        The extra of ``chopmark`` that brings what it needs; empty when nothing.
    """

    name: str
    runs_code: bool
    rank: int
    suffixes: tuple[str, ...]
    extra: str

    def fits(self, model: object) -> bool:
        """Whether the format can hold this object. Never imports a framework to find out."""
        ...

    def save(self, model: object, directory: Path) -> SavedModel:
        """Write the model into an empty directory; equal models give equal bytes where possible.

        Raises
        ------
        Unsupported
            When the object turns out not to be storable in this format (``auto`` goes on to the
            next), or a library is missing (the message says what to install).
        """
        ...

    def describe(self, files: ArtifactFiles) -> SavedModel:
        """What files of this format say of themselves, without running what they bring.

        Called when a path is registered. Raises `InvalidRequest` when they are not of this format.
        """
        ...

    def load(self, files: ArtifactFiles, *, trusted: Sequence[str] = ()) -> object:
        """Build the model.

        Parameters
        ----------
        files
            Verified files.
        trusted
            Type names that a recorded decision lets through. For a format with ``runs_code`` it
            must hold `ANY_CODE`: the decision is then about all that the bytes may do.

        Raises
        ------
        Denied
            When a type outside ``trusted`` would have to be built; the detail ``untrusted`` lists
            the names.
        Unsupported
            When a library is missing.
        IntegrityFailure
            When the bytes are not of this format.
        """
        ...
