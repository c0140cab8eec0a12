"""What takes room, and why bytes are kept."""

from __future__ import annotations

import re
from datetime import timedelta

from chopmark.app.context import Context, the_model
from chopmark.app.garbage import BLOBS_A_STEP, needed_blobs, stored_after
from chopmark.app.retention import due_versions
from chopmark.base.digest import PREFIX
from chopmark.base.jsons import canonical
from chopmark.base.paging import check_limit, decode_cursor, encode_cursor
from chopmark.domain.names import check_name, shown
from chopmark.domain.refs import parse_model
from chopmark.domain.storage import side_by_side
from chopmark.domain.versions import Version
from chopmark.errors import InvalidRequest, NotFound
from chopmark.ops.storage import (
    BlobUser,
    ExplainBlob,
    StorageTotals,
    TotalStorage,
    Usage,
    UsageByName,
    UsagePage,
    Why,
)

__all__ = ["totals", "usage", "why"]

USERS_MAX = 100
_DIGITS = re.compile(r"[0-9a-f]{8,64}")


def usage(ctx: Context, request: UsageByName) -> UsagePage:
    """A page of what projects, models or versions hold."""
    limit = check_limit(request.limit)
    if request.project is not None:
        check_name(request.project, "project")
    model = the_model(ctx, parse_model(request.model), deleted=True) if request.model else None
    query = canonical(["usage", request.by, request.project, request.model])
    after = int(decode_cursor(request.cursor, query)[0]) if request.cursor else 0
    rows = ctx.tx.collection.usage(
        request.by,
        project=request.project,
        model_id=model.id if model else None,
        after=after,
        limit=limit + 1,
    )
    items = []
    for row in rows[:limit]:
        held = ctx.tx.collection.holding(request.by, row.key)
        items.append(
            Usage(
                name=row.name,
                versions=row.versions,
                deleted_versions=row.deleted_versions,
                files=held.files,
                logical_bytes=row.logical_bytes,
                unique_bytes=held.unique_bytes,
                shared_bytes=held.shared_bytes,
            )
        )
    more = len(rows) > limit
    return UsagePage(items=items, cursor=encode_cursor([rows[limit - 1].key], query) if more else "")


def totals(ctx: Context, request: TotalStorage) -> StorageTotals:
    """Blobs of a part of the store, and how many of them a collection would free now."""
    query = canonical(["totals", request.grace_hours, request.purge_after_days])
    after = str(decode_cursor(request.cursor, query)[0]) if request.cursor else ""
    put_before = ctx.now - timedelta(hours=request.grace_hours)
    purge_before = ctx.now - timedelta(days=request.purge_after_days)
    needed = needed_blobs(ctx.tx, due_versions(ctx.tx, purge_before))
    live = ctx.tx.collection.live_blobs(purge_before, after=after)
    blobs = raw = stored = garbage = garbage_bytes = looked_at = 0
    cursor = ""
    for digest, stat, size_bytes in side_by_side(((s.digest, s) for s in stored_after(ctx.store, after)), live):
        if looked_at == BLOBS_A_STEP:
            cursor = encode_cursor([after], query)
            break
        looked_at, after = looked_at + 1, digest
        if stat is None:
            continue
        blobs, raw, stored = blobs + 1, raw + stat.size_bytes, stored + stat.stored_bytes
        if size_bytes is None and digest not in needed and stat.modified_at <= put_before:
            garbage, garbage_bytes = garbage + 1, garbage_bytes + stat.stored_bytes
    return StorageTotals(
        blobs=blobs,
        raw_bytes=raw,
        stored_bytes=stored,
        garbage_blobs=garbage,
        garbage_bytes=garbage_bytes,
        cursor=cursor,
    )


def why(ctx: Context, request: ExplainBlob) -> Why:
    """Who refers to a digest.

    Raises
    ------
    InvalidRequest
        When it is no beginning of a digest, or of several.
    NotFound
        When neither catalog nor store knows it.
    """
    digest, is_manifest = _whole(ctx, request.digest)
    if is_manifest:
        ids = ctx.tx.collection.manifest_users(digest, limit=USERS_MAX)
        users = [_user(ctx, v, None) for i in ids if (v := ctx.tx.versions.by_id(i)) is not None]
        return Why(digest=digest, kind="manifest", users=users)
    stat = ctx.store.stat(digest)
    versions = ctx.tx.versions.blob_users(digest, limit=USERS_MAX)
    free_at = None
    if stat is not None and not versions:
        free_at = stat.modified_at + timedelta(hours=request.grace_hours)
    elif versions:
        due = due_versions(ctx.tx, ctx.now - timedelta(days=request.purge_after_days)).going
        if stat is not None and all(v.id in due for v in versions):
            free_at = stat.modified_at + timedelta(hours=request.grace_hours)
    return Why(
        digest=digest,
        kind="blob",
        size_bytes=None if stat is None else stat.size_bytes,
        stored_bytes=None if stat is None else stat.stored_bytes,
        modified_at=None if stat is None else stat.modified_at,
        users=[_user(ctx, v, digest) for v in versions],
        collectable_at=free_at,
    )


def _user(ctx: Context, version: Version, digest: str | None) -> BlobUser:
    manifest = ctx.tx.manifests.get(version.digest)
    files = [f for f in manifest.files if f.digest == digest] if manifest is not None else []
    return BlobUser(
        version.ref,
        tuple(f.path for f in files),
        tuple(dict.fromkeys(f.role for f in files)),
        version.deleted_at,
    )


def _whole(ctx: Context, text: str) -> tuple[str, bool]:
    """The digest that begins so, and whether it is a manifest's."""
    digits = text.strip().removeprefix(PREFIX)
    if not _DIGITS.fullmatch(digits):
        msg = f"{shown(text)} is not the beginning of a digest."
        raise InvalidRequest(msg, hint="Pass 'sha256:' and 8 to 64 hexadecimal digits.")
    prefix = PREFIX + digits
    stored = (stat.digest for stat, _ in zip(ctx.store.list(digits), range(2), strict=False))
    blobs = {*ctx.tx.collection.blobs_like(prefix, limit=2), *stored}
    manifests = set(ctx.tx.collection.manifests_like(prefix, limit=2))
    if len(blobs | manifests) > 1:
        msg = f"{shown(text)} is the beginning of several digests."
        raise InvalidRequest(msg, hint="Give more digits of it.")
    if not blobs | manifests:
        msg = f"Neither the catalog nor the store knows {shown(text)}."
        raise NotFound(msg, hint="See the digests of a version's files with: chopmark files fraud:1 --json")
    return next(iter(blobs | manifests)), not blobs
