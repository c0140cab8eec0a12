"""What a program asked of the file system: recorded by strace, read into operations of `faults.powercut_disk`.

Only what happens in one directory is followed; files elsewhere matter as sources of copies, and must not change meanwhile.
A call counts as done when it returned, a sync covers what had returned when it began. A call that would make the reading
wrong (a clone that is not followed, a shared mapping that is written) is an error, not passed over.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from faults.powercut_disk import ROOT, Mark, Names, Operation, Sync, Truncate, Write

__all__ = ["Unreadable", "read_trace", "record"]

_CALLS = (
    "open,openat,creat,read,readv,write,writev,pwrite64,pwritev,pwritev2,copy_file_range,sendfile,splice,lseek,truncate,"
    "ftruncate,fallocate,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,"
    "fsync,fdatasync,sync_file_range,sync,syncfs,close,dup,dup2,dup3,fcntl,ioctl,mmap,clone,clone3,fork,vfork,"
    "io_uring_setup,chdir"
)
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>)?(.*)", re.DOTALL)
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+|\?|0x[0-9a-f]+)(?: .*)?", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class Unreadable(Exception):
    """The program did something that is not followed."""


def record(command: Sequence[str], trace: Path, environment: dict[str, str]) -> None:
    """Run a command under strace."""
    wrapped = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-xx",
        "-s",
        "1000000000",
        "-e",
        f"trace={_CALLS}",
        "-e",
        "signal=none",
    ]
    wrapped += ["-e", "raw=read,readv", "-o", str(trace), *command]
    done = subprocess.run(wrapped, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the recorded program failed: {done.stdout}{done.stderr}")


@dataclass
class _Open:
    """An open file: which one (None: not followed), where it stands, and its path for what is read from it."""

    inode: int | None
    path: str
    offset: int = 0
    appends: bool = False


def read_trace(trace: Path, root: Path, marks: Path, first_directories: Sequence[str] = ()) -> list[Operation]:
    """Read a trace of `record`.

    Parameters
    ----------
    root
        The directory that is followed; empty before, but for ``first_directories``.
    marks
        A file outside of it; what is written to it is a `Mark`.
    """
    lines = trace.read_text(encoding="ascii", errors="replace").splitlines()
    reader = _Reader(str(root), str(marks), first_directories)
    ours = _threads(lines)
    for line in lines:
        matched = _LINE.fullmatch(line)
        if matched is not None and int(matched[1]) in ours:
            reader.line(int(matched[1]), matched[2] or "", matched[3])
    return reader.operations


def _threads(lines: Sequence[str]) -> set[int]:
    """The first process's threads; its children have files of their own, and are not followed."""
    first = int(lines[0].split(" ", 1)[0])
    found = {first}
    waiting: dict[str, str] = {}
    for line in lines:
        pid, _, rest = line.partition(" ")
        rest = rest.lstrip()
        if rest.startswith(("clone", "<... clone")):
            text = waiting.pop(pid, "") + rest
            if rest.endswith(_UNFINISHED):
                waiting[pid] = rest
            elif "CLONE_THREAD" in text and (made := re.search(r"\) += (\d+)", rest)):
                found.add(int(made[1]))
    return found


class _Reader:
    """The files as the program saw them, and its operations so far."""

    def __init__(self, root: str, marks: str, first_directories: Sequence[str]) -> None:
        self.operations: list[Operation] = []
        self._root = root.rstrip("/")
        self._marks = marks
        self._tree: dict[int, dict[str, int]] = {ROOT: {name: -1 - n for n, name in enumerate(first_directories)}}
        self._tree.update({-1 - n: {} for n in range(len(first_directories))})
        self._contents: dict[int, bytearray] = {}
        self._files: dict[int, _Open] = {}
        self._begun: dict[int, tuple[str, int]] = {}
        self._last_inode = 0

    def line(self, pid: int, resumed: str, text: str) -> None:
        """Follow a line of one thread."""
        if text.endswith(_UNFINISHED):
            begun = text.removesuffix(_UNFINISHED)
            self._begun[pid] = begun, len(self.operations)
            if begun.startswith("close("):
                self._files.pop(int(begun[6:].rstrip(") ")), None)  # from now on another thread may be given it
            return
        since = len(self.operations)
        if resumed:
            begun, since = self._begun.pop(pid, ("", since))
            if begun.startswith("close("):
                return
            text = begun + text
        matched = _CALL.fullmatch(text.strip())
        if matched is None or matched[3] == "?" or matched[3].startswith("-"):
            return
        self._call(matched[1], matched[2], int(matched[3], 0), since)

    def _call(self, name: str, given: str, result: int, since: int) -> None:
        arguments = list(_split(given))
        match name:
            case "open" | "openat" | "creat":
                self._open(name, arguments, result)
            case "close":
                self._files.pop(int(arguments[0]), None)
            case "dup" | "dup2" | "dup3":
                self._duplicate(int(arguments[0]), result)
            case "fcntl" if arguments[1].startswith("F_DUPFD"):
                self._duplicate(int(arguments[0]), result)
            case "read" | "readv":
                self._moved(int(arguments[0], 0), result)
            case "lseek":
                if (opened := self._files.get(int(arguments[0]))) is not None:
                    opened.offset = result
            case "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2":
                self._write(name, arguments, result)
            case "copy_file_range" | "sendfile":
                self._copy(name, arguments, result)
            case "truncate" | "ftruncate" | "fallocate":
                self._truncate(name, arguments)
            case "fsync" | "fdatasync":
                opened = self._files.get(int(arguments[0]))
                if opened is not None and opened.inode is not None:
                    self.operations.append(Sync(opened.inode, since))
            case "sync" | "syncfs":
                self.operations.append(Sync(None, since))
            case "ioctl" if "CLONE" in arguments[1]:
                self._clone(int(arguments[0]), int(arguments[2]))
            case "mmap":
                self._map(arguments)
            case "splice" | "io_uring_setup" | "symlink" | "symlinkat":
                raise Unreadable(f"{name}({given[:200]})")
            case _:
                self._name(name, arguments)

    # Open files

    def _open(self, name: str, arguments: list[str], result: int) -> None:
        at, path_at = ("AT_FDCWD", 0) if name != "openat" else (arguments[0], 1)
        flags = "O_CREAT|O_TRUNC" if name == "creat" else arguments[path_at + 1]
        path = self._path(at, arguments[path_at])
        if "O_TMPFILE" in flags:
            inode = self._new() if self._within(path) else None
            self._files[result] = _Open(inode, path)
            return
        inode = self._inode(path)
        if inode is None and self._within(path):
            directory, base = self._parent(path)
            inode = self._new()
            self._change(((directory, base, inode),), f"create {self._short(path)}")
        elif inode is not None and "O_TRUNC" in flags and self._contents.get(inode):
            self._resize(inode, 0)
        self._files[result] = _Open(inode, path, appends="O_APPEND" in flags)

    def _duplicate(self, descriptor: int, result: int) -> None:
        if descriptor in self._files:
            self._files[result] = self._files[descriptor]  # one position for both

    def _moved(self, descriptor: int, size: int) -> None:
        if (opened := self._files.get(descriptor)) is not None:
            opened.offset += size

    # Bytes

    def _write(self, name: str, arguments: list[str], size: int) -> None:
        opened = self._files.get(int(arguments[0]))
        if opened is None:
            return
        data = b"".join(_bytes(each) for each in _STRING.findall(arguments[1]))[:size]
        if opened.path == self._marks:
            self.operations.append(Mark(data.decode()))
            return
        if name.startswith("p"):
            self._put(opened, int(arguments[3]), data)
            return
        if opened.inode is not None and opened.appends:
            opened.offset = len(self._contents[opened.inode])
        self._put(opened, opened.offset, data)
        opened.offset += size

    def _put(self, opened: _Open, offset: int, data: bytes) -> None:
        if opened.inode is None:
            return
        content = self._contents[opened.inode]
        if len(content) < offset:
            content.extend(bytes(offset - len(content)))
        content[offset : offset + len(data)] = data
        self.operations.append(Write(opened.inode, offset, data))

    def _copy(self, name: str, arguments: list[str], size: int) -> None:
        if name == "sendfile":
            target, source, source_at, target_at = arguments[0], arguments[1], arguments[2], "NULL"
        else:
            source, source_at, target, target_at = arguments[:4]
        read, written = self._files[int(source)], self._files[int(target)]
        start = _offset(source_at, read.offset)
        data = self._content_of(read)[start : start + size]
        self._put(written, _offset(target_at, written.offset), data)
        if source_at == "NULL":
            read.offset += size
        if target_at == "NULL":
            written.offset += size

    def _clone(self, target: int, source: int) -> None:
        written = self._files[target]
        if written.inode is not None:
            self._resize(written.inode, 0)
            self._put(written, 0, self._content_of(self._files[source]))

    def _content_of(self, opened: _Open) -> bytes:
        return Path(opened.path).read_bytes() if opened.inode is None else bytes(self._contents[opened.inode])

    def _truncate(self, name: str, arguments: list[str]) -> None:
        if name == "truncate":
            inode = self._inode(self._path("AT_FDCWD", arguments[0]))
        else:
            opened = self._files.get(int(arguments[0]))
            inode = None if opened is None else opened.inode
        if inode is None:
            return
        if name != "fallocate":
            self._resize(inode, int(arguments[1]))
        elif arguments[1] == "0":
            self._resize(inode, max(len(self._contents[inode]), int(arguments[2]) + int(arguments[3])))
        elif "FALLOC_FL_KEEP_SIZE" not in arguments[1] or "PUNCH" in arguments[1]:
            raise Unreadable(f"fallocate({', '.join(arguments)})")

    def _resize(self, inode: int, size: int) -> None:
        content = self._contents[inode]
        if size == len(content):
            return
        del content[size:]
        content.extend(bytes(size - len(content)))
        self.operations.append(Truncate(inode, size))

    def _map(self, arguments: list[str]) -> None:
        opened = self._files.get(int(arguments[4])) if arguments[4].isdecimal() else None
        is_written = "PROT_WRITE" in arguments[2] and "MAP_SHARED" in arguments[3]
        if is_written and opened is not None and opened.inode is not None and not opened.path.endswith("-shm"):
            raise Unreadable(f"{opened.path} is mapped and written")

    # Names

    def _name(self, name: str, arguments: list[str]) -> None:
        match name:
            case "mkdir" | "mkdirat":
                path = self._path(*_at(name, arguments))
                if self._within(path):
                    directory, base = self._parent(path)
                    inode = self._new(is_directory=True)
                    self._change(((directory, base, inode),), f"mkdir {self._short(path)}", new_directory=inode)
            case "unlink" | "unlinkat" | "rmdir":
                path = self._path(*_at(name, arguments))
                if self._within(path):
                    directory, base = self._parent(path)
                    self._change(((directory, base, None),), f"{name} {self._short(path)}")
            case "link" | "linkat":
                self._link(arguments if name == "linkat" else ["AT_FDCWD", arguments[0], "AT_FDCWD", arguments[1]])
            case "rename" | "renameat" | "renameat2":
                self._rename(["AT_FDCWD", arguments[0], "AT_FDCWD", arguments[1]] if name == "rename" else arguments)
            case "chdir":
                raise Unreadable("chdir: relative paths would be read wrongly")
            case _:
                pass

    def _link(self, arguments: list[str]) -> None:
        source, target = self._path(*arguments[:2]), self._path(*arguments[2:4])
        if not self._within(target):
            return
        through = re.fullmatch(r"/proc/(?:self|\d+)/fd/(\d+)", source)
        inode = self._files[int(through[1])].inode if through else self._inode(source)
        if inode is None:
            raise Unreadable(f"{target} is a link to {source}, which is not followed")
        directory, base = self._parent(target)
        self._change(((directory, base, inode),), f"link {self._short(target)}")

    def _rename(self, arguments: list[str]) -> None:
        source, target = self._path(*arguments[:2]), self._path(*arguments[2:4])
        if not self._within(source) and not self._within(target):
            return
        if not (self._within(source) and self._within(target)) or (len(arguments) > 4 and "EXCHANGE" in arguments[4]):
            raise Unreadable(f"rename {source} to {target}")
        inode = self._inode(source)
        (one, old), (other, new) = self._parent(source), self._parent(target)
        self._change(((one, old, None), (other, new, inode)), f"rename {self._short(source)} {self._short(target)}")

    def _change(
        self, changes: tuple[tuple[int, str, int | None], ...], what: str, *, new_directory: int | None = None
    ) -> None:
        for directory, name, inode in changes:
            if inode is None:
                self._tree[directory].pop(name, None)
            else:
                self._tree[directory][name] = inode
        self.operations.append(Names(changes, what, new_directory))

    def _new(self, *, is_directory: bool = False) -> int:
        self._last_inode += 1
        if is_directory:
            self._tree[self._last_inode] = {}
        else:
            self._contents[self._last_inode] = bytearray()
        return self._last_inode

    def _path(self, at: str, text: str) -> str:
        path = b"".join(map(_bytes, _STRING.findall(text))).decode("utf-8", "surrogateescape")
        if path.startswith("/") or at == "AT_FDCWD":
            return os.path.normpath(path)
        opened = self._files.get(int(at))
        return os.path.normpath(f"{opened.path if opened else '?'}/{path}")

    def _within(self, path: str) -> bool:
        return path.startswith(self._root + "/")

    def _short(self, path: str) -> str:
        return path.removeprefix(self._root + "/")

    def _inode(self, path: str) -> int | None:
        if path == self._root:
            return ROOT
        if not self._within(path):
            return None
        inode: int | None = ROOT
        for part in self._short(path).split("/"):
            inode = self._tree.get(inode if inode is not None else -(10**9), {}).get(part)
        return inode

    def _parent(self, path: str) -> tuple[int, str]:
        parent, _, base = path.rpartition("/")
        inode = self._inode(parent)
        if inode is None:
            raise Unreadable(f"{path} is in no directory that is followed")
        return inode, base


def _at(name: str, arguments: list[str]) -> tuple[str, str]:
    return (arguments[0], arguments[1]) if name.endswith("at") else ("AT_FDCWD", arguments[0])


def _offset(text: str, known: int) -> int:
    return known if text == "NULL" else int(text.lstrip("[").partition("]")[0].partition(" ")[0])


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _split(text: str) -> Iterator[str]:
    """Arguments of a call; lists and structures stay together."""
    depth, start, quoted = 0, 0, False
    if '"' in text and len(text) > 10_000:
        head, _, rest = text.partition('"')
        data, _, tail = rest.rpartition('"')
        if "[" not in head:
            yield from (each.strip() for each in head.split(",")[:-1])
            yield f'"{data}"'
            yield from (each.strip() for each in tail.split(",")[1:])
            return
    for n, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif not quoted and character in "[{(":
            depth += 1
        elif not quoted and character in "]})":
            depth -= 1
        elif character == "," and depth == 0 and not quoted:
            yield text[start:n].strip()
            start = n + 1
    if text[start:].strip():
        yield text[start:].strip()
