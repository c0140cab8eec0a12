"""The manifest: what a version consists of, in a defined order, with a digest of its own."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from chopmark.base.digest import digest_of, is_digest
from chopmark.base.jsons import canonical
from chopmark.base.leaves import are_leaves
from chopmark.domain.names import shown
from chopmark.domain.signature import Signature
from chopmark.errors import InvalidRequest

__all__ = [
    "ROLES",
    "Environment",
    "FileEntry",
    "Kind",
    "Manifest",
    "Member",
    "Role",
    "check_manifest",
    "check_path",
    "manifest_digest",
    "sorted_files",
]

Kind = Literal["artifact", "llm_config", "ensemble", "external"]
Role = Literal[
    "weights",
    "preprocessor",
    "code",
    "config",
    "evaluation",
    "explainer",
    "card",
    "profile",
    "other",
]
ROLES: tuple[str, ...] = Role.__args__  # type: ignore[attr-defined]

FILES_MAX = 100_000
_PATH_LENGTH_MAX = 1_000
_NUMBERED_DEVICES = tuple(f"{device}{digit}" for device in ("com", "lpt") for digit in "123456789¹²³")
_UNSTORABLE = frozenset('<>"|?*')
_RESERVED_WINDOWS = frozenset(("con", "conin$", "conout$", "clock$", "prn", "aux", "nul", *_NUMBERED_DEVICES))


class FileEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One artifact of a version: where it stands, what it is for, and its bytes by hash.

    Attributes
    ----------
    path, role, size_bytes
        Where it stands in the version, what it is for, how long it is.
    digest
        SHA-256 of its bytes.
    leaves
        BLAKE3 of each 16 MiB of a file that is larger than that (`chopmark.base.leaves`), so that it can be verified on all
        processors, or in part; none of others, and of files that were registered before there were leaves.
    """

    path: str
    role: Role
    size_bytes: int
    digest: str
    leaves: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<{self.path} · {self.role} · {self.size_bytes:,} bytes · {self.digest[:19]}>"


class Environment(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the version was made with, as far as loading it elsewhere needs to know.

    Attributes
    ----------
    python
        Version of Python, for example ``3.11.7``.
    platform
        Operating system and machine, for example ``linux-x86_64``.
    framework, framework_version
        Distribution that made the model, for example ``scikit-learn`` and ``1.7.2``.
    dependencies
        Distribution → version of what loading needs.
    """

    python: str = ""
    platform: str = ""
    framework: str = ""
    framework_version: str = ""
    dependencies: dict[str, str] = {}


class Member(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reference from one version to another, resolved at registration.

    Attributes
    ----------
    relation
        ``derived_from``, ``retrained_from``, ``fine_tuned_from`` or, for a member of an
        ensemble, ``ensemble_member_of``.
    ref
        ``[project/]name:number``.
    digest
        Manifest digest of that version.
    weight
        Weight of an ensemble's member.
    """

    relation: str
    ref: str
    digest: str
    weight: float | None = None


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything about a version that never changes and that its digest covers.

    Attributes
    ----------
    kind, format
        What the version is, and how its bytes become a model (empty where there are none).
    files
        Sorted by path (byte order).
    signature
        Typed inputs and outputs.
    params
        Parameters of the training.
    config
        Configuration of an ``llm_config``, an ``ensemble`` or an ``external`` version.
    environment
        What it was made with.
    parents
        Versions that this one refers to.
    untrusted
        Type names that the format would have to build and does not know to be harmless.
    runs_code
        Whether loading runs code that the version brings.
    artifact_formats
        Directory of an extra artifact → format it was stored in, for those that are objects.
    schema
        Version of this layout.
    """

    kind: Kind
    format: str = ""
    files: tuple[FileEntry, ...] = ()
    signature: Signature | None = None
    params: dict[str, Any] = {}
    config: dict[str, Any] = {}
    environment: Environment = Environment()
    parents: tuple[Member, ...] = ()
    untrusted: tuple[str, ...] = ()
    runs_code: bool = False
    artifact_formats: dict[str, str] = {}
    schema: int = 1

    @property
    def size_bytes(self) -> int:
        """Sum of the sizes of the files."""
        return sum(f.size_bytes for f in self.files)


def manifest_digest(manifest: Manifest) -> str:
    """SHA-256 of the manifest's canonical JSON: the identity of a version's content."""
    return digest_of(canonical(manifest))


def sorted_files(files: Iterable[FileEntry]) -> tuple[FileEntry, ...]:
    """Entries in the order of a manifest: by path, as bytes."""
    return tuple(sorted(files, key=lambda f: f.path.encode()))


def check_path(path: str) -> str:
    """Return a file's path within a version when it is safe on every system.

    Relative, ``/`` between parts, no ``.`` or ``..`` part, no backslash, colon or control
    character, no name that Windows reserves, at most 1,000 bytes, in Unicode's NFC form.

    Raises
    ------
    InvalidRequest
        When it could climb out of a directory or would not survive a download.
    """
    fault = _path_fault(path)
    if fault:
        msg = f"The file path {shown(path)} {fault}."
        raise InvalidRequest(msg, hint="Use a relative path such as 'weights/model.skops'.")
    return path


def _path_fault(path: str) -> str:
    if not path:
        return "is empty"
    if not path.isascii() and any("\ud800" <= c <= "\udfff" for c in path):
        return "is not valid Unicode"
    if len(path.encode()) > _PATH_LENGTH_MAX:
        return f"has more than {_PATH_LENGTH_MAX} bytes"
    if path.startswith("/") or "\\" in path or ":" in path:
        return "is absolute, or has a backslash or colon"
    if not _UNSTORABLE.isdisjoint(path):
        return 'has one of the characters < > " | ? *, which some systems cannot store'
    if not path.isprintable() and any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") for c in path):
        return "has an invisible or control character"
    if not unicodedata.is_normalized("NFC", path):
        return "is not in Unicode's NFC form"
    return next((f for f in map(_part_fault, path.split("/")) if f), "")


def _part_fault(part: str) -> str:
    if part in ("", ".", ".."):
        return "has an empty, '.' or '..' part"
    if part.endswith((" ", ".")) or part.split(".", 1)[0].rstrip().lower() in _RESERVED_WINDOWS:
        return f"has the part {part!r}, which some systems cannot store"
    return ""


def check_manifest(manifest: Manifest) -> None:
    """Refuse a manifest that is not whole and well-formed.

    Raises
    ------
    InvalidRequest
        Naming the first fault.
    """
    paths = [f.path for f in manifest.files]
    if len(paths) > FILES_MAX:
        msg = f"The version has {len(paths):,} files; the limit is {FILES_MAX:,}."
        raise InvalidRequest(msg, hint="Pack small files into an archive.")
    for file in manifest.files:
        check_path(file.path)
        if not is_digest(file.digest) or file.size_bytes < 0:
            msg = f"The entry of {file.path!r} has no valid digest or size."
            raise InvalidRequest(msg)
        if not are_leaves(file.leaves, file.size_bytes):
            msg = f"The leaf digests of {file.path!r} are not those of a file of {file.size_bytes:,} bytes."
            raise InvalidRequest(msg)
    if manifest.files != sorted_files(manifest.files):
        msg = "The files of the manifest are not sorted by path."
        raise InvalidRequest(msg)
    folded: dict[str, str] = {}
    for path in paths:
        other = folded.setdefault(path.casefold(), path)
        if other != path:
            msg = f"The files {other!r} and {path!r} differ only in case."
            raise InvalidRequest(msg, hint="Some systems cannot store both; rename one.")
    if len(set(paths)) != len(paths):
        msg = "Two files of the manifest have one path."
        raise InvalidRequest(msg)
    _check_prefixes(paths)
    _check_kind(manifest)


def _check_prefixes(paths: list[str]) -> None:
    files = set(paths)
    for path in paths:
        parts = path.split("/")
        for end in range(1, len(parts)):
            if "/".join(parts[:end]) in files:
                msg = f"{'/'.join(parts[:end])!r} is both a file and the directory of {path!r}."
                raise InvalidRequest(msg)


def _check_kind(manifest: Manifest) -> None:
    if manifest.kind == "artifact" and not manifest.files:
        msg = "A version of kind 'artifact' needs at least one file, and none was given."
        raise InvalidRequest(msg, hint="Pass a model, path= or files=.")
    if manifest.kind == "ensemble" and not any(p.relation == "ensemble_member_of" for p in manifest.parents):
        msg = "An ensemble needs at least one member."
        raise InvalidRequest(msg, hint="Pass members=['fraud:3', 'fraud:4'].")
    if manifest.kind == "llm_config" and not manifest.config:
        msg = "An LLM configuration needs config={'provider': …, 'model': …}."
        raise InvalidRequest(msg)
