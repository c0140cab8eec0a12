"""Which names a pickle would import, found without unpickling it.

The opcodes are read with `pickletools` and carried out on a stack of inert values: strings stay
strings, an import becomes a `Global` that holds only its name, a call becomes a `Built`. Nothing
is imported and nothing is called, so the scan is safe on any bytes. It understands joblib's files,
in which the bytes of numpy arrays stand between the opcodes.

The listing informs a person; it is no wall. What a pickle does with the names it imports cannot be
known before it runs, so a pickle is always loaded on a decision about its bytes as a whole.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec

from chopmark.errors import InvalidRequest

__all__ = ["OPCODES_MAX", "PickleScan", "scan_pickle"]

OPCODES_MAX = 2_000_000
NAMES_MAX = 1_000
_DEPTH_MAX = 50


class PickleScan(msgspec.Struct, frozen=True):
    """What a scan found.

    Attributes
    ----------
    names
        Sorted ``module.name`` of everything that unpickling would import.
    root
        The type of the outermost object, when it is an instance; else empty.
    complete
        Whether the scan reached the end; it stops after two million opcodes.
    """

    names: tuple[str, ...]
    root: str = ""
    complete: bool = True


class Global:
    """Stands for an object that unpickling would import."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Built:
    """Stands for what a call would return; ``is_instance`` when the call is ``cls.__new__``."""

    __slots__ = ("args", "is_instance", "kind", "state")

    def __init__(self, kind: object, args: object, *, is_instance: bool = False) -> None:
        self.kind = kind
        self.args = args
        self.is_instance = is_instance
        self.state: object = None


_OPAQUE = object()
_MARK = object()


def scan_pickle(file: BinaryIO, *, opcodes_max: int = OPCODES_MAX) -> PickleScan:
    """Scan a pickle, or an uncompressed joblib file, from the present position.

    Raises
    ------
    InvalidRequest
        When the bytes are no pickle.
    """
    machine = _Machine(file, opcodes_max)
    try:
        root = machine.run(0)
    except InvalidRequest:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise InvalidRequest(f"The file is no whole pickle: {error}.") from error
    names = tuple(sorted(machine.names)[:NAMES_MAX])
    complete = machine.remaining > 0 and len(machine.names) <= NAMES_MAX
    return PickleScan(names, _class_name(root), complete)


def _class_name(root: object) -> str:
    if not isinstance(root, Built) or not isinstance(root.kind, Global):
        return ""
    if root.is_instance:
        return root.kind.name
    if root.kind.name in _RECONSTRUCTORS and isinstance(root.args, tuple) and root.args:
        first = root.args[0]
        return first.name if isinstance(first, Global) else ""
    return ""


# Protocols 0 and 1 make instances by calling one of these.
_RECONSTRUCTORS = frozenset(["copyreg._reconstructor", "copy_reg._reconstructor"])


class _Machine:
    """The pickle machine with inert values."""

    def __init__(self, file: BinaryIO, opcodes_max: int) -> None:
        self.file = file
        self.names: set[str] = set()
        self.remaining = opcodes_max
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, depth: int) -> object:
        """Carry out one pickle up to its STOP; return what stands on the stack."""
        while self.remaining > 0:
            self.remaining -= 1
            code = self.file.read(1)
            if not code:
                raise InvalidRequest("The pickle ends before its STOP.")
            opcode = _OPCODES[code]
            arg = opcode.arg.reader(self.file) if opcode.arg is not None else None
            if opcode.name == "STOP":
                return self.stack[-1]
            _HANDLERS[opcode.name](self, arg)
            if opcode.name == "BUILD" and _is_array_wrapper(self.stack[-1]):
                self._skip_array(self.stack[-1].state, depth)
        return None

    def add(self, module: str, name: str) -> Global:
        """Note an import and stand in for it."""
        whole = f"{module}.{name}"
        self.names.add(whole)
        return Global(whole)

    def pop_mark(self) -> list[Any]:
        """Take what stands above the last mark, and the mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("a mark is missing")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _skip_array(self, state: object, depth: int) -> None:
        """Pass over the bytes that joblib writes after the wrapper of an array."""
        if not isinstance(state, dict):
            raise InvalidRequest("The file has an array of joblib's without a description.")
        item_size_bytes = _item_size_bytes(state.get("dtype"))
        if item_size_bytes is None:  # Python objects: a pickle of their own
            self._run_nested(depth + 1)
            return
        if state.get("numpy_array_alignment_bytes") is not None:
            self.file.read(self.file.read(1)[0])
        size_bytes = math.prod(state.get("shape", ())) * item_size_bytes
        if size_bytes < 0:
            raise InvalidRequest("The file has an array of negative size.")
        self.file.seek(size_bytes, io.SEEK_CUR)  # beyond the end, the next opcode is missing

    def _run_nested(self, depth: int) -> None:
        if depth > _DEPTH_MAX:
            raise InvalidRequest("The file nests pickles too deeply.")
        outer = self.stack, self.memo
        self.stack, self.memo = [], {}
        self.run(depth)
        self.stack, self.memo = outer


def _is_array_wrapper(value: object) -> bool:
    return (
        isinstance(value, Built)
        and isinstance(value.kind, Global)
        and value.kind.name == "joblib.numpy_pickle.NumpyArrayWrapper"
    )


_DTYPE_FLAGS = 7
_HOLDS_REFERENCES = 1
_DTYPE = re.compile(r"[<>=|]?([a-zA-Z])(\d+)")


def _item_size_bytes(dtype: object) -> int | None:
    """Bytes of one element of a pickled numpy dtype; None when elements are Python objects."""
    args = dtype.args if isinstance(dtype, Built) else None
    match = _DTYPE.fullmatch(args[0]) if isinstance(args, tuple) and args else None
    if match is None:
        raise InvalidRequest("The file has an array of a type that cannot be read.")
    letter, count = match[1], int(match[2])
    state = dtype.state if isinstance(dtype, Built) else None
    # (version, byte order, subarray, names, fields, item size, alignment, flags[, metadata])
    flags = state[_DTYPE_FLAGS] if isinstance(state, tuple) and len(state) > _DTYPE_FLAGS else 0
    if letter == "O" or (isinstance(flags, int) and flags & _HOLDS_REFERENCES):
        return None
    return count * 4 if letter == "U" else count


_Handler = Callable[[_Machine, Any], None]


def _import(machine: _Machine, arg: Any) -> None:
    module, _, name = arg.partition(" ")
    machine.stack.append(machine.add(module, name))


def _import_from_stack(machine: _Machine, _arg: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    is_plain = isinstance(name, str) and isinstance(module, str)
    machine.stack.append(machine.add(module, name) if is_plain else machine.add("?", "computed name"))


def _instance(machine: _Machine, arg: Any) -> None:
    args = tuple(machine.pop_mark())
    module, _, name = arg.partition(" ")
    machine.stack.append(Built(machine.add(module, name), args, is_instance=True))


def _extension(machine: _Machine, arg: Any) -> None:
    machine.stack.append(machine.add("copyreg", f"extension {arg}"))


def _object(machine: _Machine, _arg: Any) -> None:
    kind, *args = machine.pop_mark()
    machine.stack.append(Built(kind, tuple(args), is_instance=True))


def _call(machine: _Machine, _arg: Any) -> None:
    args = machine.stack.pop()
    machine.stack.append(Built(machine.stack.pop(), args))


def _new(machine: _Machine, _arg: Any) -> None:
    args = machine.stack.pop()
    machine.stack.append(Built(machine.stack.pop(), args, is_instance=True))


def _new_with_keywords(machine: _Machine, arg: Any) -> None:
    machine.stack.pop()
    _new(machine, arg)


def _build(machine: _Machine, _arg: Any) -> None:
    state = machine.stack.pop()
    if isinstance(machine.stack[-1], Built):
        machine.stack[-1].state = state


def _memoize(machine: _Machine, arg: Any) -> None:
    machine.memo[len(machine.memo) if arg is None else arg] = machine.stack[-1]


def _recall(machine: _Machine, arg: Any) -> None:
    machine.stack.append(machine.memo[arg])


def _set_item(machine: _Machine, _arg: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _update(machine.stack[-1], [key, value])


def _set_items(machine: _Machine, _arg: Any) -> None:
    items = machine.pop_mark()
    _update(machine.stack[-1], items)


def _dict(machine: _Machine, _arg: Any) -> None:
    made: dict[str, Any] = {}
    _update(made, machine.pop_mark())
    machine.stack.append(made)


def _update(target: object, items: list[Any]) -> None:
    """Keep what has a text as key: the descriptions of arrays have nothing else."""
    if isinstance(target, dict):
        pairs = zip(items[::2], items[1::2], strict=True)
        target.update((k, v) for k, v in pairs if isinstance(k, str))


def _tuple(machine: _Machine, _arg: Any) -> None:
    items = tuple(machine.pop_mark())
    machine.stack.append(items)


def _tuple_of(count: int) -> _Handler:
    def close(machine: _Machine, _arg: Any) -> None:
        items = tuple(machine.stack[-count:])
        del machine.stack[-count:]
        machine.stack.append(items)

    return close


def _collection(machine: _Machine, _arg: Any) -> None:
    """A list or frozen set: what is in it is of no interest."""
    machine.pop_mark()
    machine.stack.append(_OPAQUE)


def _push(make: Callable[[], Any]) -> _Handler:
    return lambda machine, _arg: machine.stack.append(make())


def _push_arg(machine: _Machine, arg: Any) -> None:
    machine.stack.append(arg if isinstance(arg, (str, int)) else _OPAQUE)


def _drop(machine: _Machine, _arg: Any) -> None:
    machine.stack.pop()


def _drop_to_mark(machine: _Machine, _arg: Any) -> None:
    machine.pop_mark()


def _duplicate(machine: _Machine, _arg: Any) -> None:
    machine.stack.append(machine.stack[-1])


def _persistent(machine: _Machine, _arg: Any) -> None:
    machine.stack[-1] = _OPAQUE


def _nothing(machine: _Machine, _arg: Any) -> None:
    """Framing and buffer flags are of no interest to a reader that never reads ahead."""


_OPCODES: dict[bytes, Any] = {op.code.encode("latin-1"): op for op in pickletools.opcodes}

_HANDLERS: dict[str, _Handler] = {
    # Every opcode that only pushes its own argument.
    **{op.name: _push_arg for op in pickletools.opcodes if not op.stack_before and len(op.stack_after) == 1},
    "GLOBAL": _import,
    "STACK_GLOBAL": _import_from_stack,
    "INST": _instance,
    "EXT1": _extension,
    "EXT2": _extension,
    "EXT4": _extension,
    "OBJ": _object,
    "REDUCE": _call,
    "NEWOBJ": _new,
    "NEWOBJ_EX": _new_with_keywords,
    "BUILD": _build,
    "MEMOIZE": _memoize,
    "PUT": _memoize,
    "BINPUT": _memoize,
    "LONG_BINPUT": _memoize,
    "GET": _recall,
    "BINGET": _recall,
    "LONG_BINGET": _recall,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "PROTO": _nothing,
    "FRAME": _nothing,
    "READONLY_BUFFER": _nothing,
    "NONE": _push(lambda: None),
    "NEWTRUE": _push(lambda: True),
    "NEWFALSE": _push(lambda: False),
    "EMPTY_DICT": _push(dict),
    "EMPTY_LIST": _push(lambda: _OPAQUE),
    "EMPTY_SET": _push(lambda: _OPAQUE),
    "EMPTY_TUPLE": _push(tuple),
    "MARK": _push(lambda: _MARK),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "TUPLE": _tuple,
    "LIST": _collection,
    "DICT": _dict,
    "FROZENSET": _collection,
    "APPEND": _drop,
    "APPENDS": _drop_to_mark,
    "ADDITEMS": _drop_to_mark,
    "POP": _drop,
    "POP_MARK": _drop_to_mark,
    "DUP": _duplicate,
    "BINPERSID": _persistent,
}
