"""One version as one file: out of a registry, by any way, into another.

The file is a ZIP archive that any tool can look into (its bytes are stored as they are)::

    version.json          what the version is, and what was said of it
    manifest.json         its manifest; the SHA-256 of this member is the version's digest
    blobs/<sha256>        each file of the manifest, under the hash of its bytes
"""

from __future__ import annotations

import os
import zipfile
from datetime import datetime
from pathlib import Path
from typing import IO, BinaryIO, cast

import msgspec

from chopmark.abc.blobs import Progress
from chopmark.base.digest import PREFIX
from chopmark.base.jsons import canonical, decode, encode
from chopmark.base.settings import Settings
from chopmark.domain.manifest import FileEntry, Manifest, check_manifest, manifest_digest
from chopmark.domain.names import counted, shown
from chopmark.domain.records import VersionState
from chopmark.domain.versions import Origin, Version
from chopmark.errors import Conflict, IntegrityFailure, InvalidRequest, NotFound
from chopmark.ops.keeping import ExportVersion, ImportVersion, PortableVersion
from chopmark.ops.results import Registered
from chopmark.sdk.files import writing_to
from chopmark.sdk.progress import progress_bar
from chopmark.sdk.transport import DryRun, Transport

__all__ = ["Exported", "export_version", "import_version"]

LAYOUT = "chopmark-version"
SCHEMA = 1
SUFFIX = ".chopmark"
TEXT_BYTES_MAX = 64 * 1024 * 1024
_DATE = (1980, 1, 1, 0, 0, 0)  # the archive's own times say nothing
_PIECE_BYTES = 1 << 20


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was written to a file."""

    ref: str
    digest: str
    file: str
    file_count: int
    size_bytes: int

    def __repr__(self) -> str:
        held = f"{counted(self.file_count, 'file')}, {counted(self.size_bytes, 'byte')}"
        return f"<{self.ref} in {self.file} · {held} · {self.digest[:19]}>"


class _Described(msgspec.Struct, frozen=True, kw_only=True):
    layout: str
    schema: int
    exported_at: datetime
    ref: str
    digest: str
    state: VersionState
    task: str
    owner: str
    team: str
    model_description: str = ""


def export_version(transport: Transport, settings: Settings, ref: str, target: Path, *, force: bool) -> Exported:
    """Write a version to a file, whole or not at all.

    Raises
    ------
    Conflict
        When the file is there and not ``force``.
    IntegrityFailure
        When bytes of the version are missing or damaged; no file is left then.
    """
    portable: PortableVersion = transport.call(ExportVersion(ref=ref))
    version = portable.state.version
    if target.is_dir():
        target /= f"{version.model}-{version.number}{SUFFIX}"
    if target.exists() and not force:
        msg = f"There is a file {target} already."
        raise Conflict(msg, hint="Choose another name, or pass force (--force).")
    if not target.parent.is_dir():
        msg = f"There is no directory {target.parent}."
        raise NotFound(msg, hint="Make it first.")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with writing_to(target):
        try:
            with progress_bar(f"Exporting {version.ref}", version.size_bytes, settings.progress) as told:
                _write(transport, portable, part, told)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    return Exported(
        ref=version.ref,
        digest=version.digest,
        file=str(target),
        file_count=version.file_count,
        size_bytes=target.stat().st_size,
    )


def _write(transport: Transport, portable: PortableVersion, part: Path, told: Progress) -> None:
    version, model = portable.state.version, portable.model
    described = _Described(
        layout=LAYOUT,
        schema=SCHEMA,
        exported_at=portable.exported_at,
        ref=version.ref,
        digest=version.digest,
        state=portable.state,
        task=model.task,
        owner=model.owner,
        team=model.team,
        model_description=model.description,
    )
    with zipfile.ZipFile(part, "x", zipfile.ZIP_STORED, allowZip64=True) as archive:
        archive.writestr(zipfile.ZipInfo("version.json", _DATE), encode(described))
        archive.writestr(zipfile.ZipInfo("manifest.json", _DATE), canonical(portable.manifest))
        for file in _different(portable.manifest):
            member = zipfile.ZipInfo(_member(file), _DATE)
            member.file_size = file.size_bytes
            with transport.store.open(file.digest) as reader, archive.open(member, "w", force_zip64=True) as writer:
                while piece := reader.read(_PIECE_BYTES):
                    writer.write(piece)
                    told(len(piece))
    with part.open("rb") as written:
        os.fsync(written.fileno())


def _different(manifest: Manifest) -> list[FileEntry]:
    """The files of a manifest, equal bytes once."""
    return list({file.digest: file for file in manifest.files}.values())


def _member(file: FileEntry) -> str:
    return f"blobs/{file.digest.removeprefix(PREFIX)}"


def import_version(
    transport: Transport, settings: Settings, source: Path, *, model: str, semver: str, allow_twin: bool
) -> Registered:
    """Register the version of a file; every byte is checked against the manifest, and that against the digest.

    Raises
    ------
    NotFound
        When there is no such file.
    InvalidRequest
        When it is no file of a version.
    IntegrityFailure
        When it was cut or changed; nothing is registered then.
    """
    try:
        archive = zipfile.ZipFile(source)
    except FileNotFoundError as error:
        msg = f"There is no file {shown(source)}."
        raise NotFound(msg) from error
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise _no_version(source, str(error)) from error
    with archive:
        described, manifest = _read(archive, source)
        version = described.state.version
        request = _request(described, manifest, model or version.model, semver, allow_twin)
        if not isinstance(transport, DryRun):
            _store_all(transport, settings, archive, source, version, manifest)
        added: Registered = transport.call(request)
        return added


def _no_version(source: Path, why: str) -> InvalidRequest:
    msg = f"{shown(source)} is not the file of a version: {why}."
    return InvalidRequest(msg, hint="Such a file is written by: chopmark export REF FILE")


def _read(archive: zipfile.ZipFile, source: Path) -> tuple[_Described, Manifest]:
    described = decode(_text(archive, "version.json", source), _Described)
    if described.layout != LAYOUT or described.schema != SCHEMA:
        raise _no_version(source, f"its layout {described.layout!r} {described.schema} is not known to this release")
    manifest = decode(_text(archive, "manifest.json", source), Manifest)
    check_manifest(manifest)
    if not manifest_digest(manifest) == described.digest == described.state.version.digest:
        msg = f"The manifest in {shown(source)} is not the one of {described.ref} ({described.digest[:19]})."
        raise IntegrityFailure(msg, hint="Export the version again.")
    return described, manifest


def _text(archive: zipfile.ZipFile, name: str, source: Path) -> bytes:
    with _member_of(archive, name, source) as member:
        text = member.read(TEXT_BYTES_MAX + 1)
    if len(text) > TEXT_BYTES_MAX:
        raise _no_version(source, f"its {name} is too large")
    return text


def _member_of(archive: zipfile.ZipFile, name: str, source: Path) -> IO[bytes]:
    try:
        info = archive.getinfo(name)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise _no_version(source, f"its {name} is compressed or encrypted")
        return archive.open(info)
    except KeyError as error:
        raise _no_version(source, f"it has no {name}") from error
    except zipfile.BadZipFile as error:
        raise _cut(source, name) from error


def _cut(source: Path, name: str) -> IntegrityFailure:
    msg = f"{name} in {shown(source)} was cut or changed."
    return IntegrityFailure(msg, hint="Copy the file again, or export the version again.")


def _store_all(
    transport: Transport,
    settings: Settings,
    archive: zipfile.ZipFile,
    source: Path,
    version: Version,
    manifest: Manifest,
) -> None:
    with progress_bar(f"Importing {version.ref}", manifest.size_bytes, settings.progress) as told:
        for file in _different(manifest):
            with _member_of(archive, _member(file), source) as member:
                try:
                    transport.store.put(cast("BinaryIO", member), expected=file.digest, progress=told)
                except (zipfile.BadZipFile, EOFError, IntegrityFailure) as error:
                    raise _cut(source, file.path) from error


def _request(described: _Described, manifest: Manifest, model: str, semver: str, allow_twin: bool) -> ImportVersion:
    version = described.state.version
    return ImportVersion(
        model=model,
        manifest=manifest,
        metrics=version.metrics,
        tags=version.tags,
        datasets=version.datasets,
        git=version.git,
        semver=semver or version.semver,
        description=version.description,
        card=version.card,
        task=version.task or described.task,
        owner=version.owner or described.owner,
        team=version.team or described.team,
        risk_tier=version.risk_tier,
        compliance=version.compliance,
        business_value=version.business_value,
        cost_per_request=version.cost_per_request,
        run_id=version.run_id,
        experiment_id=version.experiment_id,
        metadata=version.metadata,
        allow_twin=allow_twin,
        allow_breaking=True,
        origin=Origin(
            ref=described.ref,
            digest=described.digest,
            created_by=version.created_by,
            created_at=version.created_at,
            exported_at=described.exported_at,
        ),
        evaluations=tuple(described.state.evaluations),
    )
