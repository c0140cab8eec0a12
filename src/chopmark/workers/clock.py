"""The one clock by which leases are compared.

Two machines' clocks differ, and one that is a minute ahead would take jobs from workers that are well. So where the
catalog is in a database with a server, its clock counts: it is asked now and then, and in between this process's
monotonic clock says how much later it is, which no change of the machine's time moves. A SQLite file is used by the
processes of one machine, whose clock they share.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from chopmark.abc.catalog import Catalog
from chopmark.base.clock import Clock, system_clock

__all__ = ["CatalogClock"]

_ASKED_AFTER_S = 60.0


class CatalogClock:
    """The time of a catalog's server, or of this machine where there is none.

    Parameters
    ----------
    catalog
        Whose server is asked, once a minute.
    machine, monotonic
        This machine's clocks.
    """

    def __init__(
        self, catalog: Catalog, machine: Clock = system_clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalog = catalog
        self._machine = machine
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._server: datetime | None = None
        self._asked_at_s = 0.0
        self._asked = False

    def __call__(self) -> datetime:
        """The time now.

        Raises
        ------
        Unavailable
            When the server is to be asked and does not answer.
        """
        with self._lock:
            if not self._asked or (self._server is not None and self._passed_s() > _ASKED_AFTER_S):
                self._ask()
            if self._server is None:
                return self._machine()
            return self._server + timedelta(seconds=self._passed_s())

    def _passed_s(self) -> float:
        return self._monotonic() - self._asked_at_s

    def _ask(self) -> None:
        with self._catalog.reading() as tx:
            # After the answer: what the answer's way took makes this clock late, never early, by less than the wait.
            self._server = tx.jobs.now()
            self._asked_at_s = self._monotonic()
        self._asked = True
