"""Bits that flip in stored bytes, with the times of the files set back: found on every read, and never served.

Also in the process that has just read the same bytes well, which may remember that it did; and in the local cache before an
object store, which is to fetch them anew. Storing the original again repairs.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import chopmark as cm
from chopmark.base.digest import PREFIX
from chopmark.errors import ChopmarkError, IntegrityFailure
from faults.options import Options
from faults.places import Pair, Place, make_grounds
from faults.report import Outcome
from faults.servers import Missing
from faults.wholeness import check_faults

__all__ = ["Extent", "Stored", "contents_of", "extent_of", "flip", "found_by", "judged", "run"]

FILES_A_VERSION = 50
LARGE, HUGE = 90_000, 2_500_000
SQLITE = b"SQLite format 3\0"


class Stored(NamedTuple):
    """A file of a version, and what it holds."""

    ref: str
    path: str
    digest: str
    content: bytes


class Extent(NamedTuple):
    """Where the stored bytes of a blob are: a stretch of a file."""

    file: Path
    offset: int
    length: int


def run(options: Options) -> list[Outcome]:
    """Flip bits in a directory, in an object store, and in the cache before it."""
    return [_in_directory(options), *_in_object_store(options)]


def contents_of(count: int, drawn: random.Random) -> list[bytes]:
    """So many contents that all differ: small and large ones, such that compress and such that do not."""
    lengths = [HUGE if n % 100 == 7 else LARGE if n % 4 == 3 else drawn.randrange(40, 12_000) for n in range(count)]
    return [
        drawn.randbytes(length) if n % 3 else (f"content {n}, said again. ".encode() * (length // 20 + 2))[:length]
        for n, length in enumerate(lengths)
    ]


def extent_of(root: Path, digest: str, content: bytes) -> Extent:
    """Where below a directory the bytes of a blob are: in a file of its name, or somewhere in another."""
    digits = digest.removeprefix(PREFIX)
    named = [path for path in root.rglob("*") if path.is_file() and path.name.startswith((digits, digits[2:]))]
    if named:
        return Extent(named[0], 0, named[0].stat().st_size)
    for path in sorted(root.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        at = -1 if data.startswith(SQLITE) else data.find(content)
        if at >= 0:
            return Extent(path, at, len(content))
    raise LookupError(f"the bytes of {digest} are nowhere below {root}")


def flip(extent: Extent, drawn: random.Random) -> None:
    """Change a bit of it: in the first byte, the last, or any; and set the time of the file back."""
    seen = extent.file.stat()
    at = extent.offset + drawn.choice((0, extent.length - 1, *[drawn.randrange(extent.length)] * 4))
    if not seen.st_mode & stat.S_IWUSR:
        extent.file.chmod(seen.st_mode | stat.S_IWUSR)
    with extent.file.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ (1 << drawn.randrange(8))]))
    extent.file.chmod(stat.S_IMODE(seen.st_mode))
    os.utime(extent.file, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def judged(stored: Stored, read: bytes | Exception, *, is_compressed: bool) -> tuple[str, bool]:
    """What is wrong with how damaged bytes were read, and whether the damage changed nothing.

    A frame has bits that nothing depends on: the bytes that come out of it are the right ones, and nothing is to be found.
    """
    if isinstance(read, IntegrityFailure):
        return ("", False) if read.hint else (f"{stored.path}: no word of what to do: {read}", False)
    if isinstance(read, Exception):
        return f"{stored.path}: {type(read).__name__}: {read}", False
    if read != stored.content:
        return f"{stored.path}: wrong bytes were served", False
    return ("", True) if is_compressed else (f"{stored.path}: the right bytes were served from a damaged file", False)


def _read(registry: cm.Registry, stored: Stored) -> bytes | Exception:
    try:
        with registry.files.open(stored.ref, stored.path) as file:
            return file.read()
    except ChopmarkError as error:
        return error


def _in_directory(options: Options) -> Outcome:
    count = options.rounds(1_000, 150)
    drawn = options.random("flips")
    place = options.place("flips") / "registry"
    files = _write_files(options.place("flips") / "files", contents_of(count, drawn))
    with cm.open(place, actor="faults", progress="never") as registry:
        all_ = [each for n, directory in enumerate(files) for each in _registered(registry, f"m{n}", directory)]
        findings = _read_right(registry, all_)
        extents = {each.digest: extent_of(place / "blobs", each.digest, each.content) for each in all_}
        for each in all_:
            flip(extents[each.digest], drawn)
        compressed = {digest for digest, extent in extents.items() if extent.file.suffix == ".zst"}
        harmless = set()
        for each in all_:
            fault, is_harmless = judged(each, _read(registry, each), is_compressed=each.digest in compressed)
            findings += [f"in the same process, {fault}"] if fault else []
            harmless |= {each.digest} if is_harmless else set()
        damaged = {each.digest for each in all_} - harmless
        findings += _check_found("in the same process", damaged, found_by(registry))
        findings += _check_found("chopmark fsck", damaged, _found_by_fsck(place))
        findings += _downloads_served(registry, all_, harmless, options.place("flips") / "downloaded")
        for n, directory in enumerate(files):
            registry.register(f"again-{n}", path=directory, format="raw")
        findings += [f"after the originals were stored again, {f}" for f in _read_right(registry, all_)]
        findings += [f"after the originals were stored again, {f}" for f in check_faults(registry)]
    shapes = {"small": 0, "own_file": 0, "compressed": len(compressed), "harmless": len(harmless)}
    for extent in extents.values():
        shapes["own_file" if extent.offset == 0 and extent.length == extent.file.stat().st_size else "small"] += 1
    how = "a bit in each blob, small and large, compressed and not; the mtime set back"
    figures = {"found": len(damaged), "in_packs": shapes.pop("small"), **shapes}
    return Outcome("bit flips in stored blobs, directory", count, findings=findings, figures=figures, how=how)


def _in_object_store(options: Options) -> Iterator[Outcome]:
    count = options.rounds(200, 30)
    drawn = options.random("flips", "S3")
    names = ("bit flips in the cache before an object store", "bit flips in an object store")
    try:
        grounds = make_grounds(Pair("SQLite", "S3"), options.place("flips") / "s3")
    except Missing as missing:
        yield from (Outcome(name, 0, missing=str(missing)) for name in names)
        return
    files = _write_files(options.place("flips") / "s3-files", contents_of(count, drawn))
    with ExitStack() as stack:
        place = grounds.new_place("flips", stack)
        with cm.open(**place.settings()) as registry:
            all_ = [each for n, directory in enumerate(files) for each in _registered(registry, f"m{n}", directory)]
            yield Outcome(names[0], count, findings=_in_cache(registry, place, all_, drawn))
        assert grounds.s3 is not None
        findings = _in_objects(place, all_, files, grounds.s3, drawn)
        yield Outcome(names[1], count, findings=findings)


def _in_cache(registry: cm.Registry, place: Place, all_: Sequence[Stored], drawn: random.Random) -> list[str]:
    findings = _read_right(registry, all_)
    cache = place.directory / place.cache
    for _ in range(2):  # once more when the cache has been filled anew
        for each in all_:
            flip(extent_of(cache, each.digest, each.content), drawn)
        findings += [f"from a damaged cache, {fault}" for fault in _read_right(registry, all_)]
    return findings + check_faults(registry)


def _in_objects(
    place: Place, all_: Sequence[Stored], files: Sequence[Path], s3: Any, drawn: random.Random
) -> list[str]:
    findings: list[str] = []
    keys = list(_keys(s3, place.store_url.partition(s3.bucket + "/")[2]))
    for each in all_:
        digits = each.digest.removeprefix(PREFIX)
        (key,) = [key for key in keys if key.rpartition("/")[2] in (digits, digits[2:])]
        data = bytearray(each.content)
        data[drawn.randrange(len(data))] ^= 1 << drawn.randrange(8)
        s3.client.put_object(Bucket=s3.bucket, Key=key, Body=bytes(data))
    with cm.open(**{**place.settings(), "cache_dir": str(place.directory / "another-cache")}) as registry:
        for _ in range(2):
            for each in all_:
                fault, _harmless = judged(each, _read(registry, each), is_compressed=False)
                findings += [fault] if fault else []
        findings += _check_found("the check", {each.digest for each in all_}, found_by(registry))
        for n, directory in enumerate(files):
            registry.register(f"again-{n}", path=directory, format="raw")
        findings += [f"after the originals were stored again, {f}" for f in _read_right(registry, all_)]
        findings += [f"after the originals were stored again, {f}" for f in check_faults(registry)]
    return findings


def _keys(s3: Any, prefix: str) -> Iterator[str]:
    for page in s3.client.get_paginator("list_objects_v2").paginate(Bucket=s3.bucket, Prefix=prefix):
        yield from (item["Key"] for item in page.get("Contents", ()))


def _write_files(home: Path, contents: Sequence[bytes]) -> list[Path]:
    """The contents as files, so many to a directory."""
    directories = []
    for first in range(0, len(contents), FILES_A_VERSION):
        directory = home / f"version-{first // FILES_A_VERSION}"
        directory.mkdir(parents=True)
        directories.append(directory)
        for n, content in enumerate(contents[first : first + FILES_A_VERSION]):
            (directory / f"file-{first + n:05}.bin").write_bytes(content)
    return directories


def _registered(registry: cm.Registry, name: str, directory: Path) -> list[Stored]:
    version = registry.register(name, path=directory, format="raw")
    return [
        Stored(version.ref, file.path, file.digest, (directory / Path(file.path).name).read_bytes())
        for file in registry.files.manifest(version).files
    ]


def _read_right(registry: cm.Registry, all_: Sequence[Stored]) -> list[str]:
    wrong = [each.path for each in all_ if _read(registry, each) != each.content]
    return [f"{len(wrong)} of {len(all_)} files are not read right: {wrong[:3]}"] if wrong else []


def found_by(registry: cm.Registry) -> set[str]:
    """The digests that the registry's own check calls damaged."""
    return {f.where for f in registry.storage.check().findings if f.code in ("blob_corrupt", "blob_size")}


def _found_by_fsck(place: Path) -> set[str]:
    """The same by the command line, in a process that has read nothing."""
    command = [sys.executable, "-m", "chopmark", "fsck", "--json"]
    done = subprocess.run(
        command, env={**os.environ, "CHOPMARK_URL": str(place)}, capture_output=True, text=True, check=False
    )
    if done.returncode == 0 or not done.stdout:
        raise RuntimeError(f"chopmark fsck ended with {done.returncode}: {done.stderr[-500:]}")
    return {f["where"] for f in json.loads(done.stdout)["findings"] if f["code"] in ("blob_corrupt", "blob_size")}


def _check_found(by: str, damaged: set[str], found: set[str]) -> list[str]:
    missed, invented = sorted(damaged - found), sorted(found - damaged)
    return [
        *([f"{by} misses {len(missed)} of {len(damaged)} damaged blobs: {missed[:3]}"] if missed else []),
        *([f"{by} calls {len(invented)} whole blobs damaged: {invented[:3]}"] if invented else []),
    ]


def _downloads_served(registry: cm.Registry, all_: Sequence[Stored], harmless: set[str], target: Path) -> list[str]:
    """Downloads of versions with damaged files: none may leave anything."""
    findings = []
    for ref in sorted({each.ref for each in all_ if each.digest not in harmless}):
        try:
            registry.files.download(ref, target)
            findings.append(f"{ref} was downloaded though it is damaged")
        except IntegrityFailure:
            if target.exists():
                findings.append(f"a refused download of {ref} left something")
        shutil.rmtree(target, ignore_errors=True)
    return findings
