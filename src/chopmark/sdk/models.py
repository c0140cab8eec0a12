"""``registry.models``: registered names and what is said about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

from msgspec import UNSET, UnsetType

from chopmark.domain.manifest import Kind
from chopmark.domain.retention import Retention
from chopmark.domain.usage import LoadCount
from chopmark.domain.versions import Model, Version
from chopmark.ops import requests as q
from chopmark.ops.results import Done, ModelPage
from chopmark.ops.usage import ListUsage, UsagePage
from chopmark.sdk.results import Page
from chopmark.sdk.surface import ModelReference, Surface

__all__ = ["Models"]


class Models(Surface):
    """Verbs about models."""

    def create(
        self,
        model: str,
        *,
        kind: Kind = "artifact",
        task: str = "",
        owner: str = "",
        team: str = "",
        description: str = "",
        card: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> Model:
        """Make a model before it has a version; registering makes one as well.

        Raises
        ------
        Conflict
            When the name is taken.
        """
        request = q.CreateModel(
            model=self._model(model),
            kind=kind,
            task=task,
            owner=owner,
            team=team,
            description=description,
            card=card,
            tags=dict(tags or {}),
        )
        made: Model = self._call(request)
        return made

    def get(self, model: ModelReference, *, deleted: bool = False) -> Model:
        """The model of that name; a soft-deleted one only when ``deleted``."""
        found: Model = self._call(q.GetModel(model=self._model(model), deleted=deleted))
        return found

    def list(
        self,
        *,
        project: str | None = None,
        contains: str = "",
        text: str = "",
        deleted: bool = False,
        limit: int = 50,
        cursor: str = "",
    ) -> Page[Model]:
        """Models by project and name, a page at a time.

        Parameters
        ----------
        project
            Only there.
        contains
            A part of the name.
        text
            Words, each of which must be in the name, description, tags, owner, team or card; ``frau*`` is every
            word that begins so. Such a page can be shorter than ``limit`` before the last one: go on while
            there is a cursor.
        deleted
            The soft-deleted ones too.
        limit, cursor
            Entries of a page, and the cursor of the page before.
        """
        request = q.ListModels(
            project=project, contains=contains, text=text, deleted=deleted, limit=limit, cursor=cursor
        )
        page: ModelPage = self._call(request)
        return Page(page.items, page.cursor)

    def update(
        self,
        model: ModelReference,
        *,
        task: str | None = None,
        owner: str | None = None,
        team: str | None = None,
        description: str | None = None,
        card: str | None = None,
        tags: Mapping[str, str] | None = None,
        remove_tags: Sequence[str] = (),
        retention: Retention | UnsetType | None = UNSET,
        reason: str = "",
    ) -> Model:
        """Change what is said about a model; tags are merged; each change is audited.

        ``retention`` says which versions a collection keeps (`chopmark.Retention`); None leaves it to
        the project, ``Retention()`` keeps everything.
        """
        request = q.UpdateModel(
            model=self._model(model),
            task=UNSET if task is None else task,
            owner=UNSET if owner is None else owner,
            team=UNSET if team is None else team,
            description=UNSET if description is None else description,
            card=UNSET if card is None else card,
            tags=dict(tags or {}),
            remove_tags=tuple(remove_tags),
            retention=retention,
            reason=reason,
        )
        changed: Model = self._call(request)
        return changed

    def delete(self, model: ModelReference, *, reason: str = "", force: bool = False) -> Model:
        """Soft-delete a model with its versions; refused while one of them is used."""
        request = q.DeleteModel(model=self._model(model), reason=reason, force=force)
        deleted: Model = self._call(request)
        return deleted

    def restore(self, model: ModelReference, *, reason: str = "") -> Model:
        """Bring a soft-deleted model back."""
        request = q.RestoreModel(model=self._model(model), reason=reason)
        restored: Model = self._call(request)
        return restored

    def purge(self, model: ModelReference, *, reason: str, force: bool = False) -> Done:
        """Remove a soft-deleted model and its versions for good; the audit keeps what they were."""
        request = q.PurgeModel(model=self._model(model), reason=reason, force=force)
        done: Done = self._call(request)
        return done

    def usage(
        self,
        of: ModelReference | Version,
        *,
        since: date | None = None,
        until: date | None = None,
        limit: int = 50,
        cursor: str = "",
    ) -> Page[LoadCount]:
        """How often the versions of a model (or one version) were loaded, by day, newest day first.

        Every registry counts its loads in memory and writes them down some seconds later, many at
        once, at the latest when it is closed; those of this one are written before it answers. A
        load of an ensemble counts for its members too. A dry run counts nothing.

        Parameters
        ----------
        of
            A model, or a reference to one of its versions: ``fraud``, ``fraud:3``,
            ``fraud@champion``.
        since, until
            First and last day (UTC), both included.
        limit, cursor
            Page.

        Raises
        ------
        NotFound
            When there is no such model or version.
        """
        self._transport.flush()
        one_version = isinstance(of, Version) or (isinstance(of, str) and any(sign in of for sign in ":@#"))
        request = ListUsage(
            ref=self._ref(of) if one_version else self._model(of),  # type: ignore[arg-type]
            since=_day(since),
            until=_day(until),
            limit=limit,
            cursor=cursor,
        )
        page: UsagePage = self._call(request)
        return Page(page.items, page.cursor)


def _day(time: date | None) -> date | None:
    """The day in UTC of a day or a time."""
    if isinstance(time, datetime):
        return (time if time.tzinfo is None else time.astimezone(UTC)).date()
    return time
