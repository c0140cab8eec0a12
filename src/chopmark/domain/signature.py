"""The signature of a model: the typed inputs it takes and the outputs it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from chopmark.errors import InvalidRequest

__all__ = [
    "Field",
    "FieldType",
    "Signature",
    "breaking_changes",
    "changed_features",
    "check_input",
]

FieldType = Literal["bool", "int", "float", "string", "bytes", "datetime", "category", "object"]

_WIDENS: dict[str, tuple[str, ...]] = {
    "bool": ("bool", "int", "float", "object"),
    "int": ("int", "float", "object"),
    "float": ("float", "object"),
    "string": ("string", "category", "object"),
    "category": ("category", "string", "object"),
    "bytes": ("bytes", "object"),
    "datetime": ("datetime", "object"),
    "object": ("object",),
}


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """One column or tensor.

    Attributes
    ----------
    name
        Column name, or ``input-0``, ``output-0`` … for a tensor without one.
    type
        What an element is.
    dtype
        The exact element type as the framework names it, for example ``float32``.
    shape
        Empty for a column; for a tensor its dimensions, -1 where any length is accepted.
    nullable
        Whether a missing value is accepted.
    """

    name: str
    type: FieldType
    dtype: str = ""
    shape: tuple[int, ...] = ()
    nullable: bool = False


class Signature(msgspec.Struct, frozen=True, omit_defaults=True):
    """Inputs a model takes and outputs it gives, in order."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...] = ()


def breaking_changes(old: Signature | None, new: Signature | None) -> list[str]:
    """Why a caller of ``old`` would fail on ``new``, in words; empty when none would.

    An input that is added, renamed, narrowed in type, of another shape or no longer nullable
    breaks callers, and so does an output that is gone or of another type or shape. An input that
    is no longer asked for does not break a caller who names columns, but does for a tensor.
    """
    if old is None:
        return []
    if new is None:
        return ["the signature is gone"]
    reasons: list[str] = []
    old_inputs = {f.name: f for f in old.inputs}
    new_inputs = {f.name: f for f in new.inputs}
    for name, field in new_inputs.items():
        if name not in old_inputs:
            if not field.nullable:
                reasons.append(f"input {name!r} is new and required")
        else:
            reasons += _narrowed("input", old_inputs[name], field)
    reasons += [
        f"input {name!r} is gone" for name, field in old_inputs.items() if name not in new_inputs and field.shape
    ]
    new_outputs = {f.name: f for f in new.outputs}
    for field in old.outputs:
        if field.name not in new_outputs:
            reasons.append(f"output {field.name!r} is gone")
        else:
            reasons += _narrowed("output", new_outputs[field.name], field)
    return reasons


def _narrowed(what: str, given: Field, wanted: Field) -> list[str]:
    reasons = []
    if wanted.type not in _WIDENS[given.type]:
        one, other = (given, wanted) if what == "input" else (wanted, given)
        reasons.append(f"{what} {given.name!r} was {one.type}, is {other.type}")
    if what == "input" and given.nullable and not wanted.nullable:
        reasons.append(f"input {given.name!r} no longer accepts missing values")
    if what == "output" and given.nullable and not wanted.nullable:
        reasons.append(f"output {given.name!r} may now be missing")
    if not _shape_accepts(wanted.shape, given.shape):
        one, other = (given, wanted) if what == "input" else (wanted, given)
        reasons.append(f"{what} {given.name!r} had shape {one.shape}, has {other.shape}")
    return reasons


def _shape_accepts(wanted: tuple[int, ...], given: tuple[int, ...]) -> bool:
    return len(wanted) == len(given) and all(w in (-1, g) for w, g in zip(wanted, given, strict=True))


def changed_features(old: Signature | None, new: Signature | None) -> list[str]:
    """Names of inputs that came, went or changed, in order of appearance."""
    before = {f.name: f for f in old.inputs} if old else {}
    after = {f.name: f for f in new.inputs} if new else {}
    return [n for n in {**before, **after} if before.get(n) != after.get(n)]


def check_input(signature: Signature, given: Sequence[Field], ref: str) -> None:
    """Refuse input whose columns or tensors do not fit the signature; all faults in one error.

    Extra columns are accepted (a data frame often carries more than the model asks for). Input
    without column names (an array) is compared by the number of its columns.

    Raises
    ------
    InvalidRequest
        With every fault.
    """
    faults = _column_faults(signature, given)
    if faults:
        msg = f"The input does not fit the signature of {ref}: " + "; ".join(faults) + "."
        names = ", ".join(f"{f.name}: {f.type}" for f in signature.inputs[:20])
        raise InvalidRequest(msg, hint=f"It takes {names}.", faults=faults)


def _column_faults(signature: Signature, given: Sequence[Field]) -> list[str]:
    wanted = signature.inputs
    if _is_tensor(given) or _is_tensor(wanted):
        return _tensor_faults(wanted, given)
    columns = {f.name: f for f in given}
    faults: list[str] = []
    for field in wanted:
        have = columns.get(field.name)
        if have is None:
            if not field.nullable:
                faults.append(f"column {field.name!r} is missing")
        elif have.type not in ("object", field.type) and field.type not in _WIDENS[have.type]:
            faults.append(f"column {field.name!r} is {have.type}, not {field.type}")
        elif have.nullable and not field.nullable:
            faults.append(f"column {field.name!r} has missing values")
    return faults


def _is_tensor(fields: Sequence[Field]) -> bool:
    return any(f.shape for f in fields)


def _tensor_faults(wanted: Sequence[Field], given: Sequence[Field]) -> list[str]:
    if len(given) == 1 and not _is_tensor(wanted):
        width = given[0].shape[-1] if len(given[0].shape) > 1 else 1
        if width != len(wanted):
            return [f"it has {width} columns, not {len(wanted)}"]
        return _element_faults(given[0], wanted)
    if len(wanted) == 1 and not _is_tensor(given):
        width = wanted[0].shape[-1] if len(wanted[0].shape) > 1 else 1
        if width not in (-1, len(given)):
            return [f"it has {len(given)} columns, not {width}"]
        return [
            f"column {g.name!r} is {g.type}, not {wanted[0].type}"
            for g in given
            if g.type != "object" and wanted[0].type not in _WIDENS[g.type]
        ]
    if len(wanted) != len(given):
        return [f"it has {len(given)} tensors, not {len(wanted)}"]
    faults: list[str] = []
    for want, have in zip(wanted, given, strict=True):
        faults += _element_faults(have, [want])
        if not _shape_accepts(want.shape, have.shape):
            faults.append(f"{want.name!r} has shape {have.shape}, not {want.shape}")
    return faults


def _element_faults(have: Field, wanted: Sequence[Field]) -> list[str]:
    return [
        f"{want.name!r} is {have.type}, not {want.type}"
        for want in wanted
        if have.type != "object" and want.type not in _WIDENS[have.type]
    ]
