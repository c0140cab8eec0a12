"""What is done with a registry as a whole: tables made, backups, restoring, rebuilding; and each of them a second time."""

from __future__ import annotations

from collections.abc import Callable

import chopmark as cm
from chopmark import wiring
from chopmark.base.settings import load_settings
from chopmark.errors import Conflict
from faults.places import Place

__all__ = ["back_up", "rebuilt", "repeated", "restored", "upgraded"]


def upgraded(place: Place) -> None:
    """Make the tables, where a registry does not make them by being opened."""
    if place.database_url:
        wiring.upgrade_database(load_settings(place.settings()).settings)


def back_up(place: Place, backup: str) -> int:
    """Back up, reading again what is there; how many versions that holds."""
    with cm.open(**place.settings()) as registry:
        return registry.storage.backup(backup, verify=True).versions


def restored(backup: str, target: Place) -> int:
    """Restore into a place; how many versions."""
    return cm.restore(backup, **target.settings()).versions


def rebuilt(place: Place) -> int:
    """Rebuild a place whose database was lost; how many versions."""
    return cm.rebuild(**place.settings()).versions


def repeated(work: Callable[[], int]) -> int:
    """Do again what was cut off. That it had been done is said by a conflict."""
    try:
        return work()
    except Conflict as error:
        if not error.hint:
            raise
        return 0
