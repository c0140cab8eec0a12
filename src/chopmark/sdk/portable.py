"""One version as one file: out of a registry, by any way, into another.

The file is a ZIP archive that any tool can look into (its bytes are stored as they are)::

    version.json          what the version is, and what was said of it
    manifest.json         its manifest; the SHA-256 of this member is the version's digest
    SHA256SUMS            the SHA-256 of the two above, so that accidental damage of what was said is found too
    blobs/<sha256>        each file of the manifest, under the hash of its bytes

Bytes, manifest and parameters are proven by the digest. What was *said* of a version (metrics, tags, texts, evaluations)
is as good as the way the file came; the SHA-256 of the whole file, told another way, proves that too.
"""

from __future__ import annotations

import os
import stat
import zipfile
from datetime import datetime
from pathlib import Path

import msgspec

from chopmark.abc.blobs import Progress
from chopmark.base.jsons import canonical, decode, encode
from chopmark.base.settings import Settings
from chopmark.domain.manifest import Manifest, check_manifest, manifest_digest
from chopmark.domain.names import counted, shown
from chopmark.domain.records import VersionState
from chopmark.domain.versions import Origin, Version
from chopmark.errors import Conflict, IntegrityFailure, NotFound
from chopmark.ops.keeping import ExportVersion, ImportVersion, PortableVersion
from chopmark.ops.results import Registered
from chopmark.sdk.files import writing_to
from chopmark.sdk.portable_archive import (
    MANIFEST,
    SUMS,
    VERSION,
    PortableArchive,
    different,
    file_sha256,
    member_name,
    no_version,
    open_archive,
    sums_of,
)
from chopmark.sdk.progress import progress_bar
from chopmark.sdk.transport import DryRun, Transport

__all__ = ["Exported", "check_file", "differing_facts", "export_version", "import_version"]

LAYOUT = "chopmark-version"
SCHEMA = 1
SUFFIX = ".chopmark"
_DATE = (1980, 1, 1, 0, 0, 0)  # the archive's own times say nothing
_PIECE_BYTES = 1 << 20


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was written to a file.

    Attributes
    ----------
    ref, digest
        The version.
    file
        Where it is.
    file_count, size_bytes
        How many files of the version are in it; length of the file itself.
    sha256
        SHA-256 of the file itself, in hexadecimal digits: whoever gets it told another way than the file
        can ask an import for just this file.
    """

    ref: str
    digest: str
    file: str
    file_count: int
    size_bytes: int
    sha256: str

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
        When the file is there and not ``force``, when it is no regular file, or is in the registry itself.
    IntegrityFailure
        When bytes of the version are missing or damaged; no file is left then.
    """
    portable: PortableVersion = transport.call(ExportVersion(ref=ref))
    version = portable.state.version
    if target.is_dir():
        target /= f"{version.model}-{version.number}{SUFFIX}"
    with writing_to(target):
        _check_target(settings, target, force=force)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with writing_to(target):
        try:
            with progress_bar(f"Exporting {version.ref}", version.size_bytes, settings.progress) as told:
                _write(transport, portable, part, told)
            with part.open("rb") as written:
                sha256 = file_sha256(written)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    return Exported(
        ref=version.ref,
        digest=version.digest,
        file=str(target),
        file_count=version.file_count,
        size_bytes=target.stat().st_size,
        sha256=sha256,
    )


def _check_target(settings: Settings, target: Path, *, force: bool) -> None:
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        msg = f"{target} is no regular file, which an export could replace."
        raise Conflict(msg, hint="Choose another name.")
    if mode is not None and not force:
        msg = f"There is a file {target} already."
        raise Conflict(msg, hint="Choose another name, or pass force (--force).")
    if not target.parent.is_dir():
        msg = f"There is no directory {target.parent}."
        raise NotFound(msg, hint="Make it first.")
    place = target.parent.resolve() / target.name
    if any(place.is_relative_to(own) for own in _own_places(settings)):
        msg = f"{target} is in the registry itself, which no export may write to."
        raise Conflict(msg, hint="Choose a place outside.")


def _own_places(settings: Settings) -> list[Path]:
    """Files and directories of the registry, as far as it has some here."""
    from chopmark.wiring import database_file, store_url  # which knows databases, as nothing else here does

    places = [] if settings.database_url and settings.store_url else [Path(settings.url)]
    if "://" not in store_url(settings):
        places.append(Path(store_url(settings)))
    database = database_file(settings)
    if database is not None:
        places += [database.with_name(database.name + suffix) for suffix in ("", "-wal", "-shm", "-journal")]
    return [place.resolve() for place in places]


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
        texts = encode(described), canonical(portable.manifest)
        for name, text in ((VERSION, texts[0]), (MANIFEST, texts[1]), (SUMS, sums_of(*texts))):
            archive.writestr(zipfile.ZipInfo(name, _DATE), text)
        for file in different(portable.manifest):
            member = zipfile.ZipInfo(member_name(file), _DATE)
            member.file_size = file.size_bytes
            with transport.store.open(file.digest) as reader, archive.open(member, "w", force_zip64=True) as writer:
                while piece := reader.read(_PIECE_BYTES):
                    writer.write(piece)
                    told(len(piece))
    with part.open("rb") as written:
        os.fsync(written.fileno())


def import_version(
    transport: Transport, settings: Settings, source: Path, *, model: str, semver: str, allow_twin: bool, sha256: str
) -> tuple[Registered, tuple[str, ...]]:
    """Register the version of a file; every byte is checked against the manifest, and that against the digest.

    Returns
    -------
    tuple of Registered and of str
        What was added or was here; and where it was here, what the file says otherwise (`differing_facts`).

    Raises
    ------
    NotFound
        When there is no such file.
    InvalidRequest
        When it is no file of a version.
    IntegrityFailure
        When it was cut or changed, or is not the one with that SHA-256; nothing is registered then.
    """
    with open_archive(source, sha256) as archive:
        described, manifest = _read(archive, source)
        version = described.state.version
        request = _request(described, manifest, model or version.model, semver, allow_twin)
        if isinstance(transport, DryRun):
            archive.verify_blobs(manifest)
        else:
            _store_all(transport, settings, archive, version, manifest)
    added: Registered = transport.call(request)
    return added, () if added.created else differing_facts(added.version, version)


def check_file(source: Path, sha256: str = "") -> None:
    """Refuse what `import_version` would refuse of a file, without a registry.

    Raises
    ------
    NotFound, InvalidRequest, IntegrityFailure
        As there.
    """
    with open_archive(source, sha256) as archive:
        _, manifest = _read(archive, source)
        archive.verify_blobs(manifest)


_SAID = ("metrics", "tags", "description", "card", "datasets", "git", "run_id", "experiment_id", "metadata")


def differing_facts(here: Version, there: Version) -> tuple[str, ...]:
    """Names of what is said of one content in two places, and not alike."""
    return tuple(name for name in _SAID if getattr(here, name) != getattr(there, name))


def _read(archive: PortableArchive, source: Path) -> tuple[_Described, Manifest]:
    version, listing = archive.texts()
    try:
        described = decode(version, _Described)
        manifest = decode(listing, Manifest)
    except RecursionError as error:
        raise no_version(source, "what it says is nested too deep") from error
    if described.layout != LAYOUT or described.schema != SCHEMA:
        raise no_version(source, f"its layout {described.layout!r} {described.schema} is not known to this release")
    check_manifest(manifest)
    if not manifest_digest(manifest) == described.digest == described.state.version.digest:
        msg = f"The manifest in {shown(source)} is not the one of {described.ref} ({described.digest[:19]})."
        raise IntegrityFailure(msg, hint="Export the version again.")
    archive.refuse_others(manifest)
    return described, manifest


def _store_all(
    transport: Transport, settings: Settings, archive: PortableArchive, version: Version, manifest: Manifest
) -> None:
    with progress_bar(f"Importing {version.ref}", manifest.size_bytes, settings.progress) as told:
        for file in different(manifest):
            with archive.blob(file) as stream:
                try:
                    stored = transport.store.put(stream, expected=file.digest, progress=told)
                except IntegrityFailure as error:
                    raise archive.damaged(file.path) from error
                if file.leaves and stored.leaves not in {(), file.leaves}:
                    raise archive.damaged(file.path)


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
