"""``registry.files``: the files of a version, listed, read, downloaded and verified."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from chopmark.abc.blobs import Progress
from chopmark.domain.manifest import FileEntry, Manifest
from chopmark.domain.names import counted, shown
from chopmark.domain.versions import Version
from chopmark.errors import AlreadyRegistered, Conflict, Denied, IntegrityFailure, NotFound, Unavailable
from chopmark.ops.requests import GetManifest
from chopmark.ops.results import Registered
from chopmark.sdk.files import StoredFiles, writing_to
from chopmark.sdk.loading import load_artifact
from chopmark.sdk.portable import Exported, export_version, import_version
from chopmark.sdk.progress import progress_bar
from chopmark.sdk.results import Page
from chopmark.sdk.surface import ModelReference, Reference, Surface

__all__ = ["FileFault", "Files", "Verification"]


class FileFault(msgspec.Struct, frozen=True):
    """A file that is not what the manifest says."""

    path: str
    digest: str
    reason: str


class Verification(msgspec.Struct, frozen=True):
    """What a check of a version's bytes found.

    Attributes
    ----------
    ref, digest
        The version.
    file_count, size_bytes
        What was read.
    faults
        What is wrong; empty when all is well.
    """

    ref: str
    digest: str
    file_count: int
    size_bytes: int
    faults: tuple[FileFault, ...] = ()

    def __repr__(self) -> str:
        found = "; ".join(f"{f.path or 'manifest'}: {f.reason}" for f in self.faults) or "intact"
        size = f"{counted(self.file_count, 'file')}, {counted(self.size_bytes, 'byte')}"
        return f"<{self.ref} · {size} · {found}>"

    @property
    def ok(self) -> bool:
        """Whether every byte is as recorded."""
        return not self.faults


class Files(Surface):
    """Verbs about the files of a version."""

    def manifest(self, ref: Reference) -> Manifest:
        """The manifest: files, signature, parameters, environment, parents."""
        found: Manifest = self._call(GetManifest(ref=self._ref(ref)))
        return found

    def list(self, ref: Reference) -> Page[FileEntry]:
        """Files of a version by path."""
        return Page(self.manifest(ref).files)

    def open(self, ref: Reference, path: str, *, offset: int = 0, length: int | None = None) -> BinaryIO:
        """Open one file, verified; the caller closes it.

        Parameters
        ----------
        ref, path
            The version, and the file in it.
        offset, length
            A part of it, in bytes. Of a large file only the 16 MiB leaves that hold the part are read and verified.

        Raises
        ------
        NotFound
            When the version has no such file.
        IntegrityFailure
            When its bytes are missing or changed.
        """
        return self._files(ref, self.manifest(ref).files).open(path, offset=offset, length=length)

    def load(self, ref: Reference, key: str) -> Any:
        """Build an extra artifact that was registered as an object, such as ``preprocessor``."""
        return load_artifact(self._transport, self._settings, self._version(ref), key)

    def download(self, ref: Reference, target: str | Path) -> Path:
        """Write all files of a version below a new directory, verified.

        Parameters
        ----------
        ref
            The version.
        target
            A directory that does not exist yet or is empty. It appears whole or not at all.

        Raises
        ------
        Conflict
            When there is something already.
        IntegrityFailure
            When bytes are missing or changed; nothing is left then.
        """
        target = Path(target)
        version = self._version(ref)
        files = self.manifest(version).files
        with writing_to(target):
            _check_free(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=".chopmark-", dir=target.parent))
            try:
                self._write_all(version.ref, files, scratch)
                scratch.chmod(0o755)
                scratch.replace(target)
            except BaseException:
                shutil.rmtree(scratch, ignore_errors=True)
                raise
        return target

    def _write_all(self, ref: str, files: Sequence[FileEntry], directory: Path) -> None:
        total = sum(f.size_bytes for f in files)
        with progress_bar(f"Downloading {ref}", total, self._settings.progress) as told:
            stored = self._files(ref, files, told)
            for file in files:
                stored.fetch(file.path, directory / file.path)

    def _files(self, ref: Reference, files: Sequence[FileEntry], told: Progress | None = None) -> StoredFiles:
        entries = {f.path: f for f in files}
        return StoredFiles(self._transport.store, self._ref(ref), entries, told, verify=self._settings.verify)

    def export(self, ref: Reference, target: str | Path, *, force: bool = False) -> Exported:
        """Write a version to one file that another registry can import.

        Parameters
        ----------
        ref
            The version.
        target
            The file, or a directory to put ``MODEL-NUMBER.chopmark`` in. It appears whole or not at all.
        force
            Whether to replace a file that is there.

        Returns
        -------
        Exported
            Where it is, and its SHA-256, to be told another way than the file goes.

        Raises
        ------
        Conflict
            When there is a file already, or something that is no regular file; when it would be in the registry itself.
        IntegrityFailure
            When bytes of the version are missing or changed.
        """
        return export_version(self._transport, self._settings, self._ref(ref), Path(target), force=force)

    def import_file(
        self,
        source: str | Path,
        *,
        model: ModelReference | None = None,
        semver: str = "",
        allow_twin: bool = False,
        sha256: str = "",
    ) -> Version:
        """Register the version of a file that `export` wrote, here or elsewhere.

        Manifest, metrics, tags, evaluations and parents come along, number, stage, aliases and trust do not. Parents
        that are not here stay named in the manifest. A version that is here already is given back, with its edges to
        parents that have come since; the warning says what the file tells otherwise.

        The digest proves bytes, manifest and parameters. What is said of the version is only as good as the way the
        file came, unless its ``sha256`` came another way.

        Parameters
        ----------
        source
            The file: a regular one.
        model
            Name to register it under; by default the one it had.
        semver
            Semantic version to give it; by default the one it had.
        allow_twin
            Whether to add it even when the same content is here already.
        sha256
            SHA-256 of the whole file, as the export told it; when given, no other file is imported.

        Raises
        ------
        IntegrityFailure
            When the file was cut or changed, or is not the one with that SHA-256; nothing is registered then.
        InvalidRequest
            When it is not the file of a version.
        Conflict
            When the semantic version is taken by other content.
        """
        name = self._model(model) if model is not None else ""
        added, otherwise = import_version(
            self._transport,
            self._settings,
            Path(source),
            model=name,
            semver=semver,
            allow_twin=allow_twin,
            sha256=sha256,
        )
        if not added.created:
            warnings.warn(_told_again(added, otherwise), AlreadyRegistered, stacklevel=2)
        return added.version

    def verify(self, ref: Reference) -> Verification:
        """Read every byte of a version again and compare it with the manifest.

        Returns
        -------
        Verification
            With every fault; it does not raise for them.
        """
        version = self._version(ref)
        try:
            manifest = self.manifest(version)
        except IntegrityFailure as error:
            fault = FileFault("", version.digest, error.message)
            return Verification(version.ref, version.digest, 0, 0, (fault,))
        faults = []
        with progress_bar(f"Verifying {version.ref}", manifest.size_bytes, self._settings.progress) as told:
            for file in manifest.files:
                reason = self._fault_of(file)
                told(file.size_bytes)
                if reason:
                    faults.append(FileFault(file.path, file.digest, reason))
        return Verification(version.ref, version.digest, len(manifest.files), manifest.size_bytes, tuple(faults))

    def _fault_of(self, file: FileEntry) -> str:
        try:
            with self._transport.store.open(file.digest) as stream:
                size = stream.seek(0, os.SEEK_END)
            if file.leaves:  # loads rest on them
                self._transport.store.open(file.digest, leaves=file.leaves).close()
        except NotFound:
            return "its bytes are missing"
        except (IntegrityFailure, Unavailable, Denied) as error:
            return error.message
        return "" if size == file.size_bytes else f"it has {size:,} bytes"


def _told_again(added: Registered, otherwise: Sequence[str]) -> str:
    said = f"The same content was registered before as {added.version.ref}; "
    said += f"its place under {', '.join(added.linked)} was added." if added.linked else "nothing was added."
    if otherwise:
        said += f" The file tells of other {', '.join(otherwise)}; what was recorded here stays."
    return said


def _check_free(target: Path) -> None:
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        msg = f"There is something at {shown(target)} already."
        raise Conflict(msg, hint="Choose a directory that does not exist, or an empty one.")
    if target.exists() and target.samefile(Path.cwd()):
        msg = "The working directory cannot be replaced by the download."
        raise Conflict(msg, hint="Choose a directory that does not exist yet.")
