"""``registry.aliases``: movable pointers and where they pointed when."""

from __future__ import annotations

from datetime import datetime

from chopmark.domain.versions import Alias, AliasMove, Version
from chopmark.ops import requests as q
from chopmark.ops.results import AliasHistoryAnswer, AliasList, Done
from chopmark.sdk.results import Page
from chopmark.sdk.surface import ModelReference, Reference, Surface

__all__ = ["Aliases"]


class Aliases(Surface):
    """Verbs about aliases; an alias is written ``model@alias``."""

    def set(
        self,
        alias: str | Alias,
        target: Reference,
        *,
        reason: str = "",
        protected: bool | None = None,
        force: bool = False,
    ) -> Alias:
        """Point an alias to a version of the same model.

        Parameters
        ----------
        alias
            ``fraud@champion``.
        target
            Any reference to a version of that model.
        reason
            Why; kept in the history.
        protected
            Set or lift protection: a protected alias moves only with ``force`` and a reason.
        force
            Move it although it is protected.
        """
        request = q.SetAlias(
            alias=self._alias(alias),
            target=self._ref(target),
            reason=reason,
            protected=protected,
            force=force,
        )
        moved: Alias = self._call(request)
        return moved

    def remove(self, alias: str | Alias, *, reason: str = "", force: bool = False) -> Done:
        """Remove an alias; its history stays."""
        request = q.RemoveAlias(alias=self._alias(alias), reason=reason, force=force)
        done: Done = self._call(request)
        return done

    def get(self, alias: str | Alias) -> Alias:
        """Where an alias points, since when, and whether it is protected.

        Raises
        ------
        NotFound
            When the model has none of that name.
        """
        found: Alias = self._call(q.GetAlias(alias=self._alias(alias)))
        return found

    def list(self, model: ModelReference) -> Page[Alias]:
        """Aliases of a model by name."""
        found: AliasList = self._call(q.ListAliases(model=self._model(model)))
        return Page(found.items)

    def history(self, alias: str | Alias, *, limit: int = 50) -> Page[AliasMove]:
        """Moves of an alias, newest first; also of one that was removed."""
        request = q.AliasHistory(alias=self._alias(alias), limit=limit)
        found: AliasHistoryAnswer = self._call(request)
        return Page(found.items)

    def at(self, alias: str | Alias, time: datetime) -> Version:
        """The version that an alias pointed to at a time (aware): what was champion on 3 March.

        Raises
        ------
        NotFound
            When it pointed to nothing then.
        """
        found: Version = self._call(q.AliasAt(alias=self._alias(alias), at=time))
        return found
