"""One run of the program: what was asked of all commands alike, the registry, and where answers go."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chopmark.cli.output import Output
from chopmark.errors import IntegrityFailure, NotFound

if TYPE_CHECKING:
    from chopmark.base.settings import Resolved
    from chopmark.sdk.registry import Registry

__all__ = ["Session"]


class Session:
    """Shared by the commands of one run.

    Attributes
    ----------
    arguments
        Settings given on the command line, by their field in `chopmark.base.settings.Settings`.
    json, quiet
        How answers are printed.
    dry_run
        Whether what the command does is undone.
    debug
        Whether an error shows where it was raised.
    """

    def __init__(self) -> None:
        self.arguments: dict[str, Any] = {}
        self.json = False
        self.quiet = False
        self.dry_run = False
        self.debug = False
        self._registry: Registry | None = None
        self._opened_things = ExitStack()

    @property
    def output(self) -> Output:
        """Where answers go."""
        return Output(as_json=self.json, quiet=self.quiet, dry_run=self.dry_run)

    def resolved(self) -> Resolved:
        """Settings of this run and where each came from."""
        from chopmark.base.settings import load_settings

        return load_settings(self.arguments)

    def chosen_project(self) -> str | None:
        """The project that somebody chose, by argument, environment or file; None when nobody did."""
        resolved = self.resolved()
        return None if resolved.origins["project"] == "default" else resolved.settings.project

    def database_file(self) -> Path | None:
        """The SQLite file of the registry, there or not; None when it is elsewhere."""
        from chopmark.wiring import database_file

        settings = self.resolved().settings
        return None if "://" in settings.url else database_file(settings)

    def registry(self, *, create: bool = False) -> Registry:
        """The registry, opened when first asked for and closed at the end of the run.

        In a dry run it undoes every change; where there is no registry yet and one may be made,
        it is an empty one that is thrown away at the end.

        Parameters
        ----------
        create
            Whether one may be made where none is. A command that reads must not leave an empty
            registry behind in whatever directory it was called.

        Raises
        ------
        NotFound
            When there is none and none may be made.
        IntegrityFailure
            When its database is gone.
        """
        if self._registry is None:
            self._registry = self._opened(create=create)
        return self._registry.dry_run() if self.dry_run else self._registry

    def close(self) -> None:
        """Close the registry when it was opened."""
        self._registry = None
        self._opened_things.close()

    def _opened(self, *, create: bool) -> Registry:
        from chopmark.sdk.opening import open_registry
        from chopmark.wiring import has_records

        arguments = self.arguments
        file = self.database_file()
        if file is not None and not file.exists():
            if has_records(self.resolved().settings):
                msg = f"The database of the registry at {file.parent} is gone; its blobs and records are there."
                raise IntegrityFailure(msg, hint="Make it again from the records: chopmark rebuild")
            if not create:
                msg = f"There is no registry at {file.parent}."
                hint = "The first 'chopmark register' makes one; --at DIRECTORY points to another place."
                raise NotFound(msg, hint=hint)
            if self.dry_run:
                from tempfile import TemporaryDirectory

                place = self._opened_things.enter_context(TemporaryDirectory(prefix="chopmark-"))
                arguments = {**arguments, "url": place, "database_url": "", "store_url": ""}
        return self._opened_things.enter_context(open_registry(**arguments))
