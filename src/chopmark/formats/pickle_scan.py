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
    """Stands for what a call would return."""

    __slots__ = ("args", "kind", "state")

    def __init__(self, kind: object, args: object = None) -> None:
        self.kind = kind
        self.args = args
        self.state: object = None


class _Opaque:
    __slots__ = ()


_OPAQUE = _Opaque()
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
    except (
        ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError
    ) as error:
        msg = f"The file is no whole pickle: {error}."
        raise InvalidRequest(msg) from error
    names = tuple(sorted(machine.names)[:NAMES_MAX])
    complete = machine.remaining > 0 and len(machine.names) <= NAMES_MAX
    return PickleScan(names, _root_name(root), complete)


def _root_name(root: object) -> str:
    if isinstance(root, Built) and isinstance(root.kind, Global):
        if root.kind.name in _RECONSTRUCTORS and isinstance(root.args, tuple):
            first = root.args[0] if root.args else None
            return first.name if isinstance(first, Global) else ""
        return root.kind.name
    return ""


_RECONSTRUCTORS = frozenset(["copyreg._reconstructor", "copyreg.__newobj__"])


class _Machine:
    """The pickle machine with inert values."""

    def __init__(self, file: BinaryIO, opcodes_max: int) -> None:
        self.file = file
        self.names: set[str] = set()
        self.remaining = opcodes_max

    def run(self, depth: int) -> object:
        """Carry out one pickle up to its STOP; return what stands on the stack."""
        if depth > _DEPTH_MAX:
            msg = "The file nests pickles too deeply."
            raise InvalidRequest(msg)
        stack: list[Any] = []
        memo: dict[int, Any] = {}
        read, special, generic = self.file.read, _SPECIAL, _GENERIC
        code2op = pickletools.code2op
        while self.remaining > 0:
            self.remaining -= 1
            code = read(1)
            if not code:
                msg = "The pickle ends before its STOP."
                raise InvalidRequest(msg)
            opcode = code2op[code.decode("latin-1")]
            arg = opcode.arg.reader(self.file) if opcode.arg is not None else None  # type: ignore[attr-defined]
            if opcode.name == "STOP":
                return stack[-1]
            handler = special.get(opcode.name)
            if handler is not None:
                handler(self, stack, memo, arg)
            else:
                generic[opcode.name](stack, arg)
            if opcode.name == "BUILD" and _is_array_wrapper(stack[-1]):
                self._skip_array(stack[-1].state, depth)
        return None

    def add(self, name: str) -> Global:
        self.names.add(name)
        return Global(name)

    def _skip_array(self, state: object, depth: int) -> None:
        """Pass over the bytes that joblib writes after the wrapper of an array."""
        if not isinstance(state, dict):
            msg = "The file has an array of joblib's without a description."
            raise InvalidRequest(msg)
        item = _item_size_bytes(state.get("dtype"))
        if item is None:  # Python objects: a pickle of their own
            self.run(depth + 1)
            return
        if state.get("numpy_array_alignment_bytes") is not None:
            self.file.read(self.file.read(1)[0])
        size_bytes = math.prod(state.get("shape", ())) * item
        if size_bytes < 0:
            msg = "The file has an array of negative size."
            raise InvalidRequest(msg)
        self.file.seek(size_bytes, io.SEEK_CUR)  # beyond the end, the next opcode is missing


def _is_array_wrapper(value: object) -> bool:
    return (
        isinstance(value, Built)
        and isinstance(value.kind, Global)
        and value.kind.name == "joblib.numpy_pickle.NumpyArrayWrapper"
    )


_DTYPE = re.compile(r"[<>=|]?([a-zA-Z])(\d+)")


def _item_size_bytes(dtype: object) -> int | None:
    """Bytes of one element of a pickled numpy dtype; None when elements are Python objects."""
    args = dtype.args if isinstance(dtype, Built) else None
    match = _DTYPE.fullmatch(args[0]) if isinstance(args, tuple) and args else None
    if match is None:
        msg = "The file has an array of a type that cannot be read."
        raise InvalidRequest(msg)
    letter, count = match[1], int(match[2])
    state = dtype.state if isinstance(dtype, Built) else None
    flags = state[-1] if isinstance(state, tuple) and len(state) in (8, 9) else 0
    if isinstance(state, tuple) and len(state) == 9:
        flags = state[7]
    if letter == "O" or (isinstance(flags, int) and flags & 1):
        return None
    return count * 4 if letter == "U" else count


def _pop_mark(stack: list[Any]) -> list[Any]:
    at = len(stack) - 1
    while stack[at] is not _MARK:
        at -= 1
        if at < 0:
            msg = "a mark is missing"
            raise ValueError(msg)
    items = stack[at + 1 :]
    del stack[at:]
    return items


def _import(machine: _Machine, stack: list[Any], memo: dict[int, Any], arg: Any) -> None:
    module, _, name = arg.partition(" ")
    stack.append(machine.add(f"{module}.{name}"))


def _import_from_stack(
    machine: _Machine, stack: list[Any], memo: dict[int, Any], arg: Any
) -> None:
    name, module = stack.pop(), stack.pop()
    whole = f"{module}.{name}" if isinstance(name, str) and isinstance(module, str) else "?"
    stack.append(machine.add(whole))


def _instance(machine: _Machine, stack: list[Any], memo: dict[int, Any], arg: Any) -> None:
    args = tuple(_pop_mark(stack))
    module, _, name = arg.partition(" ")
    stack.append(Built(machine.add(f"{module}.{name}"), args))


def _extension(machine: _Machine, stack: list[Any], memo: dict[int, Any], arg: Any) -> None:
    stack.append(machine.add(f"copyreg extension {arg}"))


def _object(machine: _Machine, stack: list[Any], memo: dict[int, Any], arg: Any) -> None:
    kind, *args = _pop_mark(stack)
    stack.append(Built(kind, tuple(args)))


def _call(machine: _Machine, stack: list[Any], memo: dict[int, Any], arg: Any) -> None:
    args = stack.pop()
    stack.append(Built(stack.pop(), args))


def _call_with_keywords(
    machine: _Machine, stack: list[Any], memo: dict[int, Any], arg: Any
) -> None:
    stack.pop()
    _call(machine, stack, memo, arg)


def _build(machine: _Machine, stack: list[Any], memo: dict[int, Any], arg: Any) -> None:
    state = stack.pop()
    if isinstance(stack[-1], Built):
        stack[-1].state = state


def _memoize(machine: _Machine, stack: list[Any], memo: dict[int, Any], arg: Any) -> None:
    memo[len(memo) if arg is None else arg] = stack[-1]


def _recall(machine: _Machine, stack: list[Any], memo: dict[int, Any], arg: Any) -> None:
    stack.append(memo[arg])


def _set_item(machine: _Machine, stack: list[Any], memo: dict[int, Any], arg: Any) -> None:
    value, key = stack.pop(), stack.pop()
    if isinstance(stack[-1], dict) and isinstance(key, str):
        stack[-1][key] = value


def _set_items(machine: _Machine, stack: list[Any], memo: dict[int, Any], arg: Any) -> None:
    items = _pop_mark(stack)
    if isinstance(stack[-1], dict):
        pairs = zip(items[::2], items[1::2], strict=True)
        stack[-1].update((k, v) for k, v in pairs if isinstance(k, str))


def _nothing(machine: _Machine, stack: list[Any], memo: dict[int, Any], arg: Any) -> None:
    """PROTO and FRAME: framing is of no interest to a reader that never reads ahead."""


_SPECIAL: dict[str, Callable[[_Machine, list[Any], dict[int, Any], Any], None]] = {
    "GLOBAL": _import,
    "STACK_GLOBAL": _import_from_stack,
    "INST": _instance,
    "EXT1": _extension,
    "EXT2": _extension,
    "EXT4": _extension,
    "OBJ": _object,
    "REDUCE": _call,
    "NEWOBJ": _call,
    "NEWOBJ_EX": _call_with_keywords,
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
}


def _push_arg(stack: list[Any], arg: Any) -> None:
    stack.append(arg if isinstance(arg, (str, int)) else _OPAQUE)


def _push(make: Callable[[], Any]) -> Callable[[list[Any], Any], None]:
    return lambda stack, arg: stack.append(make())


def _tuple_of(count: int) -> Callable[[list[Any], Any], None]:
    def close(stack: list[Any], arg: Any) -> None:
        items = tuple(stack[len(stack) - count :])
        del stack[len(stack) - count :]
        stack.append(items)

    return close


def _close(make: Callable[[list[Any]], Any]) -> Callable[[list[Any], Any], None]:
    return lambda stack, arg: stack.append(make(_pop_mark(stack)))


def _dict_of(items: list[Any]) -> dict[str, Any]:
    pairs = zip(items[::2], items[1::2], strict=True)
    return {k: v for k, v in pairs if isinstance(k, str)}


def _drop(stack: list[Any], arg: Any) -> None:
    stack.pop()


def _drop_to_mark(stack: list[Any], arg: Any) -> None:
    _pop_mark(stack)


def _duplicate(stack: list[Any], arg: Any) -> None:
    stack.append(stack[-1])


def _persistent(stack: list[Any], arg: Any) -> None:
    stack[-1] = _OPAQUE


def _unchanged(stack: list[Any], arg: Any) -> None:
    """READONLY_BUFFER."""


# Every opcode that pushes its own argument needs no line here.
_GENERIC: dict[str, Callable[[list[Any], Any], None]] = {
    **{
        op.name: _push_arg
        for op in pickletools.opcodes
        if op.name not in _SPECIAL and not op.stack_before and len(op.stack_after) == 1
    },
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
    "TUPLE": _close(tuple),
    "LIST": _close(lambda items: _OPAQUE),
    "DICT": _close(_dict_of),
    "FROZENSET": _close(lambda items: _OPAQUE),
    "APPEND": _drop,
    "APPENDS": _drop_to_mark,
    "ADDITEMS": _drop_to_mark,
    "POP": _drop,
    "POP_MARK": _drop_to_mark,
    "DUP": _duplicate,
    "BINPERSID": _persistent,
    "READONLY_BUFFER": _unchanged,
}
