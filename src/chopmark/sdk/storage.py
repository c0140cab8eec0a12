"""``registry.storage``: what the registry keeps, frees and can restore."""

from __future__ import annotations

from pathlib import Path

from chopmark.sdk.backup import Backup, back_up
from chopmark.sdk.surface import Surface

__all__ = ["Storage"]


class Storage(Surface):
    """Verbs about bytes and about the registry as a whole."""

    def backup(self, place: str | Path) -> Backup:
        """Copy the whole registry to another place, or bring the copy there up to date.

        Parameters
        ----------
        place
            A directory, or ``s3://bucket/prefix``, ``gs://…``, ``az://…`` (with this registry's endpoint
            and credentials). Several registries may be backed up to one place.

        Returns
        -------
        Backup
            What it holds, and what had to be copied. `chopmark.restore` makes a registry of it again.

        Raises
        ------
        Conflict
            When the backup that is there tells of another course of events.
        IntegrityFailure
            When bytes or records are missing or damaged; the backup stays as it was.
        """
        return back_up(self._transport, place, self._settings)
