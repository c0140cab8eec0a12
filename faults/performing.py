"""What a child does: the ops of a script through the SDK."""

from __future__ import annotations

from collections.abc import Callable

import chopmark as cm
from faults.contents import artifacts_of, metrics_of, model_of
from faults.scripts import Op, model_name

__all__ = ["perform"]


def perform(registry: cm.Registry, op: Op, refs: dict[str, str]) -> str:
    """Do an op; what it answered, when that is to be remembered."""
    return _OPS[op.kind](registry, op, refs)


def _register(registry: cm.Registry, op: Op, refs: dict[str, str]) -> str:
    version = registry.register(
        model_name(op.token),
        model_of(op.token),
        params={"token": op.token},
        metrics=metrics_of(op.token),
        tags={"token": op.token},
        artifacts=artifacts_of(op.token),
        description=f"the version with the token {op.token}",
    )
    refs[op.token] = version.ref
    return version.ref


def _promote(registry: cm.Registry, op: Op, refs: dict[str, str]) -> str:
    return registry.promote(refs[op.token], op.argument, reason="its turn").stage


def _alias(registry: cm.Registry, op: Op, refs: dict[str, str]) -> str:
    return str(registry.alias(op.argument, refs[op.token], reason="its turn").number)


def _tag(registry: cm.Registry, op: Op, refs: dict[str, str]) -> str:
    return registry.versions.update(refs[op.token], tags={"turn": op.argument}).ref


def _delete(registry: cm.Registry, op: Op, refs: dict[str, str]) -> str:
    return registry.versions.delete(refs[op.token], reason="its turn", force=True).ref


def _restore(registry: cm.Registry, op: Op, refs: dict[str, str]) -> str:
    return registry.versions.restore(refs[op.token]).ref


def _purge(registry: cm.Registry, op: Op, refs: dict[str, str]) -> str:
    return str(registry.versions.purge(refs[op.token], reason="its turn", force=True))


def _collect(registry: cm.Registry, op: Op, _refs: dict[str, str]) -> str:
    return repr(registry.storage.collect(grace_hours=float(op.argument)).counts)


def _sweep(registry: cm.Registry, _op: Op, _refs: dict[str, str]) -> str:
    return repr(registry.storage.collect(grace_hours=0).counts)


def _close(registry: cm.Registry, _op: Op, _refs: dict[str, str]) -> str:
    registry.close()
    return ""


def _record(registry: cm.Registry, _op: Op, _refs: dict[str, str]) -> str:
    return str(registry.storage.record_again())


def _backup(registry: cm.Registry, op: Op, _refs: dict[str, str]) -> str:
    return str(registry.storage.backup(op.argument, verify=bool(op.token)).versions)


_OPS: dict[str, Callable[[cm.Registry, Op, dict[str, str]], str]] = {
    "register": _register,
    "promote": _promote,
    "alias": _alias,
    "tag": _tag,
    "delete": _delete,
    "restore": _restore,
    "purge": _purge,
    "collect": _collect,
    "sweep": _sweep,
    "close": _close,
    "record": _record,
    "backup": _backup,
}
