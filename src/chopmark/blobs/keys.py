"""Names of blobs in an object store, and putting a listing of them in order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from chopmark.abc.blobs import BlobStat
from chopmark.base.digest import PREFIX
from chopmark.errors import Unavailable

__all__ = ["FOLDER", "Listed", "in_order", "key_of", "touch_key_of"]

FOLDER = "blobs/sha256"
_TOUCHED = ".touched"
_KEY = re.compile(r"blobs/sha256/([0-9a-f]{2})/(\1[0-9a-f]{62})(\.touched)?")


class Listed(NamedTuple):
    """One object of a listing."""

    key: str
    size_bytes: int
    modified_at: datetime


def key_of(digest: str) -> str:
    """Where the bytes of a digest are."""
    digits = digest.removeprefix(PREFIX)
    return f"{FOLDER}/{digits[:2]}/{digits}"


def touch_key_of(digest: str) -> str:
    """Where it says when they were put again."""
    return key_of(digest) + _TOUCHED


def in_order(objects: Iterable[Listed], prefix: str) -> Iterator[BlobStat]:
    """Blobs of a listing by digest, with the time of their last put; what is no blob of ours is passed over.

    The listing has to be in order of the 256 folders, as S3, GCS, Azure and what imitates them list; within a folder any
    order will do, so that one folder is held in memory at a time.

    Raises
    ------
    Unavailable
        When a folder comes up again.
    """
    shard = ""
    held: list[Listed] = []
    for each in objects:
        matched = _KEY.fullmatch(each.key)
        if matched is None:
            continue
        if matched[1] != shard:
            if matched[1] < shard:
                raise Unavailable(
                    "The object store lists its objects in no order, so they cannot be listed by digest.",
                    hint="Use a general purpose bucket.",
                )
            yield from _merged(held, prefix)
            shard, held = matched[1], []
        held.append(each)
    yield from _merged(held, prefix)


def _merged(held: list[Listed], prefix: str) -> Iterator[BlobStat]:
    touched = {each.key.removesuffix(_TOUCHED): each.modified_at for each in held if each.key.endswith(_TOUCHED)}
    for each in sorted(held):
        digits = each.key.rsplit("/", 1)[1]
        if not each.key.endswith(_TOUCHED) and digits.startswith(prefix):
            modified_at = max(each.modified_at, touched.get(each.key, each.modified_at))
            yield BlobStat(PREFIX + digits, each.size_bytes, each.size_bytes, modified_at)
