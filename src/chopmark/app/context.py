"""What a handler is given, and how an answer to a reference is found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from chopmark.abc.blobs import BlobStore
from chopmark.abc.catalog import Catalog, Transaction
from chopmark.abc.notify import Post
from chopmark.abc.records import RecordStore
from chopmark.app.sight import seen_by
from chopmark.domain.access import Actor, check_permission
from chopmark.domain.audit import AuditEvent
from chopmark.domain.names import check_alias
from chopmark.domain.refs import DEFAULT_PROJECT, ModelRef, Ref, parse_model, parse_ref
from chopmark.domain.semver import Range, SemVer
from chopmark.domain.versions import Model, Project, Version
from chopmark.errors import InvalidRequest, NotFound
from chopmark.ops.table import Op

__all__ = [
    "Context",
    "Outside",
    "find_model",
    "find_version",
    "parse_alias",
    "resolve",
    "the_model",
    "the_project",
]


class Outside(NamedTuple):
    """What an op that writes may ask before its transaction."""

    catalog: Catalog
    store: BlobStore
    records: RecordStore
    now: datetime
    is_rehearsal: bool
    actor: Actor
    post: Post


class Context:
    """One call of one op: its transaction, who asks, when, and the events it leaves.

    Parameters
    ----------
    tx
        The transaction; for an op that only reads, one that cannot write. Who may not read everything is shown what they
        may (`chopmark.app.sight`).
    store
        Bytes. An op that writes asks it before its transaction (`Handler.before`), so that no lock is
        held while a distant store answers; only the collection of garbage must hold the lock.
    records
        What is kept beside the blobs.
    actor, now
        Who asks, and the time of the call.
    new_id
        Makes an id of a time.
    op
        Which one.
    post
        What reaches others.

    Attributes
    ----------
    whole
        The transaction as it is, for questions whose answer must not depend on who asks; what it gives is told to nobody.
    prepared
        What `Handler.before` returned.
    is_rehearsal
        Whether the transaction is undone: what cannot be undone must not be done.
    """

    def __init__(
        self,
        tx: Transaction,
        store: BlobStore,
        records: RecordStore,
        actor: Actor,
        now: datetime,
        new_id: Callable[[datetime], UUID],
        op: Op,
        post: Post,
    ) -> None:
        self.whole = tx
        self.tx = seen_by(actor, tx)
        self.store = store
        self.records = records
        self.actor = actor
        self.now = now
        self._new_id = new_id
        self._op = op
        self.post = post
        self.events: list[AuditEvent] = []
        self.prepared: Any = None
        self.is_rehearsal = False

    def new_id(self) -> UUID:
        """A new id."""
        return self._new_id(self.now)

    def catalog_now(self) -> datetime:
        """The time by the clock of the catalog's server, where it has one: what several machines write is told apart by it."""
        return self.whole.jobs.now() or self.now

    def check_may(self, project: str) -> None:
        """Refuse the op in a project that only the catalog could tell.

        Raises
        ------
        Denied
            When the actor may not do it there.
        """
        check_permission(self.actor, self._op.permission, self._op.name, project)

    def emit(self, target: str, *, event: str = "", **data: Any) -> None:
        """Note what happened; it is written with the change, in the same transaction."""
        self.events.append(
            AuditEvent(
                seq=0,
                id=self.new_id(),
                at=self.now,
                actor=self.actor.name,
                event=event or self._op.event or "",
                target=target,
                data={k: v for k, v in data.items() if v not in ("", None)},
            )
        )


def the_project(ctx: Context, name: str) -> Project:
    """The project; ``default`` is made when it is first written to.

    Raises
    ------
    NotFound
        When there is none of that name.
    """
    project = ctx.tx.projects.get(name)
    if project is not None:
        return project
    if name != DEFAULT_PROJECT or not ctx.actor.sees(name):
        msg = f"There is no project {name!r}."
        raise NotFound(msg, hint=f"Make it with: chopmark project create {name}")
    project = Project(id=ctx.new_id(), name=name, created_at=ctx.now, created_by=ctx.actor.name)
    ctx.tx.projects.insert(project)
    ctx.emit(name, event="project.created")
    return project


def the_model(ctx: Context, ref: ModelRef, *, deleted: bool = False) -> Model:
    """The model of that name.

    Raises
    ------
    NotFound
        When there is none; a near name is suggested.
    """
    model = find_model(ctx, ref, deleted=deleted)
    if model is not None:
        return model
    msg = f"There is no model {str(ref)!r}."
    raise NotFound(msg, hint=_near_names(ctx, ref))


def find_model(ctx: Context, ref: ModelRef, *, deleted: bool = False) -> Model | None:
    """The model of that name, or None."""
    return ctx.tx.models.get(ref.project, ref.name, deleted=deleted)


def _near_names(ctx: Context, ref: ModelRef) -> str:
    if find_model(ctx, ref, deleted=True):
        return f"It was deleted; bring it back with: chopmark model restore {ref}"
    near = ctx.tx.models.list(project=ref.project, contains=ref.name[:4], limit=5)
    if near:
        return "Did you mean " + " or ".join(m.ref for m in near) + "?"
    return "See what there is with: chopmark model list"


def resolve(ctx: Context, text: str, *, deleted: bool = False) -> Version:
    """The version a reference means.

    Parameters
    ----------
    text
        Any accepted form of reference.
    deleted
        Whether a soft-deleted version (of a soft-deleted model too) may be found by its number,
        SemVer or digest.

    Raises
    ------
    InvalidRequest
        When it is no reference, or its digest prefix fits several versions.
    NotFound
        When it means nothing; says what there is.
    """
    ref = parse_ref(text)
    model = the_model(ctx, ref.model, deleted=deleted)
    version = find_version(ctx, model, ref, deleted=deleted)
    if version is None:
        raise _no_version(ctx, model, ref)
    return version


def find_version(ctx: Context, model: Model, ref: Ref, *, deleted: bool = False) -> Version | None:
    """The version of a model that a parsed reference selects, or None."""
    versions = ctx.tx.versions
    match ref.kind:
        case "latest":
            return versions.latest(model.id)
        case "number":
            return versions.by_number(model.id, int(ref.value), deleted=deleted)
        case "semver":
            return versions.by_semver(model.id, str(SemVer.parse(ref.value)), deleted=deleted)
        case "range":
            wanted = Range.parse(ref.value)
            return versions.in_range(model.id, wanted.low.sort_key, wanted.high.sort_key)
        case "alias":
            return ctx.tx.aliases.version(model.id, ref.value)
        case "stage":
            return next(iter(versions.in_stage(model.id, ref.value, limit=1)), None)
        case "digest":
            return _by_digest(ctx, model, ref, deleted=deleted)


def _by_digest(ctx: Context, model: Model, ref: Ref, *, deleted: bool) -> Version | None:
    found = ctx.tx.versions.by_digest(model.id, ref.value, deleted=deleted, limit=2)
    if len(found) > 1 and found[0].digest != found[1].digest:
        msg = f"The digest {ref.value!r} fits more than one version of {model.ref}."
        raise InvalidRequest(msg, hint="Give more digits of it.")
    return found[0] if found else None


def _no_version(ctx: Context, model: Model, ref: Ref) -> NotFound:
    hidden = find_version(ctx, model, ref, deleted=True)
    if hidden is not None:
        return NotFound(
            f"{hidden.ref} was deleted.",
            hint=f"Bring it back with: chopmark restore {hidden.ref}",
        )
    what = {
        "latest": "no version that is ready and not archived",
        "alias": f"no alias {ref.value!r}",
        "stage": f"no version in {ref.value}",
        "range": f"no release in {ref.value}",
    }.get(ref.kind, f"no version {ref.value}")
    return NotFound(f"{model.ref} has {what}.", hint=_what_there_is(ctx, model, ref.kind))


def _what_there_is(ctx: Context, model: Model, kind: str) -> str:
    if kind == "alias":
        names = [a.name for a in ctx.tx.aliases.list(model.id)]
        return "It has the aliases " + ", ".join(names) + "." if names else "It has no aliases."
    newest = ctx.tx.versions.in_model(model.id, limit=3)
    if not newest:
        return "It has no versions."
    listed = ", ".join(f"{v.ref} ({v.semver}, {v.stage})" for v in newest)
    return f"Its newest are {listed}."


def parse_alias(text: str) -> tuple[ModelRef, str]:
    """Read ``[project/]model@alias``.

    Raises
    ------
    InvalidRequest
        When it is not of that form.
    """
    name, at, alias = text.partition("@")
    if not at:
        msg = f"{text!r} names no alias."
        raise InvalidRequest(msg, hint="Write it like fraud@champion.")
    return parse_model(name), check_alias(alias)
