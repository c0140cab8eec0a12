"""Versions and manifests in SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from chopmark.abc.catalog import Found, KeyedField, Release, Taken, Texts, VersionChange
from chopmark.base.clock import to_us
from chopmark.base.jsons import decoder, encode
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Executor, Prepared
from chopmark.catalog.records import (
    deprecation_text,
    file_rows,
    json_text,
    metric_rows,
    optional_us,
    param_rows,
    tag_rows,
    version_from_row,
    version_row,
    word_rows,
)
from chopmark.catalog.version_statements import VersionStatements
from chopmark.domain.manifest import Manifest
from chopmark.domain.query import Query
from chopmark.domain.versions import Version
from chopmark.domain.words import words_of
from chopmark.errors import NotFound

__all__ = ["SqlManifests", "SqlVersions"]

NUMBER_MAX = 2**63 - 1  # of a database's integer

_decode_manifest = decoder(Manifest)


class SqlVersions:
    """`chopmark.abc.catalog.Versions`."""

    __slots__ = ("_remove_edges", "_run", "_sql")

    def __init__(
        self,
        run: Executor,
        statements: VersionStatements,
        remove_edges: Callable[[list[UUID]], None],
    ) -> None:
        self._run = run
        self._sql = statements
        self._remove_edges = remove_edges

    def insert(self, version: Version, manifest: Manifest) -> None:
        """See the interface."""
        added = self._run.add(self._sql.insert, version_row(version))
        if added is None:
            raise self._refusal(version)
        key = added[0]
        body = {"digest": version.digest, "body": encode(manifest).decode()}
        self._run.change(self._sql.manifest_insert, body)
        tags = tag_rows(version.tags, key, to_us(version.created_at), version.stage)
        self._run.change_each(self._sql.insert_files, file_rows(manifest, key))
        self._run.change_each(self._sql.insert_metrics, metric_rows(version, key))
        self._run.change_each(self._sql.insert_params, param_rows(version, key))
        self._run.change_each(self._sql.insert_tags, tags)
        self._run.change_each(self._sql.insert_words, word_rows(words_of(version), key, to_us(version.created_at)))

    def by_id(self, version_id: UUID) -> Version | None:
        """See the interface."""
        return self._one(self._sql.by_id, {"id": version_id.bytes})

    def by_number(self, model_id: UUID, number: int, *, deleted: bool = False) -> Version | None:
        """See the interface."""
        if not 0 < number <= NUMBER_MAX:
            return None
        values = {"model": model_id.bytes, "number": number}
        return _shown(self._one(self._sql.by_number, values), deleted)

    def by_semver(self, model_id: UUID, semver: str, *, deleted: bool = False) -> Version | None:
        """See the interface."""
        values = {"model": model_id.bytes, "semver": semver}
        return _shown(self._one(self._sql.by_semver, values), deleted)

    def by_digest(self, model_id: UUID, prefix: str, *, deleted: bool = False, limit: int = 2) -> list[Version]:
        """See the interface."""
        high = prefix + "g"  # the first letter after the hexadecimal digits
        values = {"model": model_id.bytes, "low": prefix, "high": high, "limit": limit}
        return self._all(self._sql.by_digest(deleted=deleted), values)

    def latest(self, model_id: UUID) -> Version | None:
        """See the interface."""
        return self._one(self._sql.latest, {"model": model_id.bytes})

    def highest_release(self, model_id: UUID) -> Release | None:
        """See the interface."""
        row = self._run.one(self._sql.highest_release, {"model": model_id.bytes})
        return None if row is None else _release(row)

    def in_range(self, model_id: UUID, low_key: str, high_key: str) -> Version | None:
        """See the interface."""
        values = {"model": model_id.bytes, "low": low_key, "high": high_key}
        return self._one(self._sql.in_range, values)

    def in_stage(self, model_id: UUID, stage: str, *, limit: int = 100) -> list[Version]:
        """See the interface."""
        values = {"model": model_id.bytes, "stage": stage, "limit": limit}
        return self._all(self._sql.in_stage, values)

    def in_model(self, model_id: UUID, *, deleted: bool = False, limit: int) -> list[Version]:
        """See the interface."""
        values = {"model": model_id.bytes, "limit": limit}
        return self._all(self._sql.in_model(deleted=deleted), values)

    def search(
        self,
        query: Query,
        *,
        project: str | None = None,
        model_id: UUID | None = None,
        after: Sequence[Any] | None = None,
        among: Texts | None = None,
        limit: int,
        deleted: bool = False,
    ) -> Found:
        """See the interface."""
        return self._sql.search.page(
            self._run,
            query,
            project=project,
            model_id=model_id,
            after=after,
            among=among,
            limit=limit,
            deleted=deleted,
        )

    def has_key(self, field: KeyedField, key: str) -> bool:
        """See the interface."""
        return self._run.one(self._sql.has_key(field), {"key": key}) is not None

    def keys(self, field: KeyedField, *, limit: int) -> list[str]:
        """See the interface."""
        return [_key(row) for row in self._run.all(self._sql.keys(field), {"limit": limit})]

    def update(self, version_id: UUID, change: VersionChange, at: datetime) -> None:
        """See the interface."""
        columns = {"updated_us": to_us(at), **_changed_columns(change)}
        prepared = self._sql.update(tuple(columns))
        row = self._run.add(prepared, {"id": version_id.bytes, **columns})
        if row is None:
            raise _no_version(version_id)
        key, created_us, stage = row
        if change.tags is not msgspec.UNSET:
            self._run.change(self._sql.delete_tags, {"of_version": key})
            rows = tag_rows(change.tags, key, created_us, stage)
            self._run.change_each(self._sql.insert_tags, rows)
        elif change.stage is not msgspec.UNSET:
            self._run.change(self._sql.restage_tags, {"of_version": key, "stage": stage})
        if any(getattr(change, name) is not msgspec.UNSET for name in _WITH_WORDS):
            self._renew_words(version_id, key)

    def _renew_words(self, version_id: UUID, key: int) -> None:
        """Make the rows of words those of the version as it is now, touching only what differs."""
        version = self._one(self._sql.by_id, {"id": version_id.bytes})
        if version is None:
            raise _no_version(version_id)
        wanted = dict.fromkeys(words_of(version))
        there = {_word(row) for row in self._run.all(self._sql.words, {"of_version": key})}
        gone = [{"word": word, "version_key": key} for word in there if word not in wanted]
        self._run.change_each(self._sql.delete_word, gone)
        new = [word for word in wanted if word not in there]
        self._run.change_each(self._sql.insert_words, word_rows(new, key, to_us(version.created_at)))

    def purge(self, version_id: UUID) -> None:
        """See the interface."""
        self._remove_edges([version_id])
        if not self._run.change(self._sql.purge, {"id": version_id.bytes}):
            raise _no_version(version_id)

    def blob_users(self, digest: str, *, limit: int = 100) -> list[Version]:
        """See the interface."""
        return self._all(self._sql.blob_users, {"digest": digest, "limit": limit})

    def referenced_blobs(self) -> Iterator[str]:
        """See the interface."""
        last = ""
        while rows := self._run.all(self._sql.blobs, {"after": last}):
            digests = [_digest(row) for row in rows]
            yield from digests
            last = digests[-1]

    def _one(self, prepared: Prepared, values: dict[str, Any]) -> Version | None:
        row = self._run.one(prepared, values)
        return None if row is None else version_from_row(row)

    def _all(self, prepared: Prepared, values: dict[str, Any]) -> list[Version]:
        return [version_from_row(row) for row in self._run.all(prepared, values)]

    def _refusal(self, version: Version) -> Taken | NotFound:
        if self.by_number(version.model_id, version.number, deleted=True):
            what = f"the number {version.number}"
        elif self.by_semver(version.model_id, version.semver, deleted=True):
            what = f"the SemVer {version.semver}"
        elif self.by_id(version.id):
            what = f"the id {version.id}"
        else:
            return NotFound(f"There is no model with the id {version.model_id}.")
        msg = f"A version of {version.model} has {what} already."
        return Taken(msg, hint="Register again: the next free one is chosen then.")


class SqlManifests:
    """`chopmark.abc.catalog.Manifests`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: VersionStatements) -> None:
        self._run = run
        self._sql = statements

    def get(self, digest: str) -> Manifest | None:
        """See the interface."""
        row = self._run.one(self._sql.manifest_get, {"digest": digest})
        return None if row is None else _manifest(row)


@row_of("a manifest", "s")
def _manifest(row: tuple[Any, ...]) -> Manifest:
    return _decode_manifest(row[0])


@row_of("a version", "isS")
def _release(row: tuple[Any, ...]) -> Release:
    number, semver, body = row
    return Release(number, semver, None if body is None else _manifest((body,)))


@row_of("a version's file", "s")
def _digest(row: tuple[Any, ...]) -> str:
    digest: str = row[0]
    return digest


@row_of("a key", "s")
def _key(row: tuple[Any, ...]) -> str:
    key: str = row[0]
    return key


@row_of("a version's word", "s")
def _word(row: tuple[Any, ...]) -> str:
    word: str = row[0]
    return word


def _shown(version: Version | None, deleted: bool) -> Version | None:
    if version is not None and version.deleted_at is not None and not deleted:
        return None
    return version


def _no_version(version_id: UUID) -> NotFound:
    return NotFound(f"There is no version with the id {version_id}.")


_WITH_WORDS = ("description", "card", "tags")

_COLUMNS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "stage": ("stage", str),
    "stage_since": ("stage_since_us", to_us),
    "description": ("description", str),
    "card": ("card", str),
    "tags": ("tags", lambda tags: json_text(dict(tags))),
    "annotations": ("annotations", lambda notes: json_text(dict(notes))),
    "deprecation": ("deprecation", deprecation_text),
    "deleted_at": ("deleted_us", optional_us),
}


def _changed_columns(change: VersionChange) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for field, (column, convert) in _COLUMNS.items():
        value = getattr(change, field)
        if value is not msgspec.UNSET:
            changed[column] = convert(value)
    return changed
