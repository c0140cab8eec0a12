"""Where the registries are that are killed: each pair of a catalog and a store, a fresh one for each life."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from faults import servers
from faults.children import answer_of
from faults.options import Options
from faults.report import Outcome
from tests.backends.postgres import PostgresServer
from tests.backends.s3 import S3Server

__all__ = ["PAIRS", "Grounds", "Pair", "Place", "in_place_of", "make_grounds"]


@dataclass(frozen=True)
class Pair:
    """A catalog and a store."""

    catalog: str
    store: str

    def __str__(self) -> str:
        return f"{self.catalog}, {self.store}"


START_LIMIT_S = 60.0

PAIRS = tuple(Pair(catalog, store) for catalog in ("SQLite", "PostgreSQL") for store in ("directory", "S3"))


@dataclass(frozen=True)
class Place:
    """Where one registry is; plain facts, which a forked child opens for itself.

    Attributes
    ----------
    directory
        Of the registry on SQLite and a directory, and of caches and backups of the others.
    """

    directory: Path
    database_url: str = ""
    store_url: str = ""
    store_endpoint: str = ""
    cache: str = "cache"

    def settings(self) -> dict[str, Any]:
        """As `chopmark.open` takes them."""
        settings = {
            "url": str(self.directory / "registry"),
            "database_url": self.database_url,
            "store_url": self.store_url,
            "store_endpoint": self.store_endpoint,
            "cache_dir": str(self.directory / self.cache),
            "actor": "ada",
            "progress": "never",
        }
        return {name: value for name, value in settings.items() if value}

    def backup(self, name: str) -> str:
        """Where to back up to."""
        return f"{self.store_url}-{name}" if self.store_url else str(self.directory / name)


@dataclass
class Grounds:
    """What places of a pair are made on: servers, and a directory."""

    pair: Pair
    directory: Path
    postgres: PostgresServer | None
    s3: S3Server | None
    empty: Path | None = None
    """A registry's directory with an empty catalog, to be copied: its tables are made once."""

    def new_place(self, name: str, stack: ExitStack, *, with_tables: bool = True) -> Place:
        """Make an empty place; its database goes when the stack is closed."""
        directory = self.directory / name
        directory.mkdir(parents=True)
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        place = Place(directory)
        if self.s3 is not None:
            prefix = f"{self.directory.parent.name}-{self.directory.name}-{name}".lower()
            url = f"s3://{self.s3.bucket}/{prefix}"
            place = replace(place, store_url=url, store_endpoint=self.s3.endpoint_url)
        if self.postgres is not None:
            return replace(place, database_url=self._database(stack, with_tables=with_tables))
        if with_tables and self.empty is not None:
            (directory / "registry").mkdir()
            for file in self.empty.glob("chopmark.db*"):
                shutil.copy(file, directory / "registry")
        return place

    def without_database(self, place: Place, stack: ExitStack, *, with_tables: bool = True) -> Place:
        """Lose the database of a place; what it is then, with an empty one or none."""
        if self.postgres is not None:
            return replace(place, database_url=self._database(stack, with_tables=with_tables))
        for file in (place.directory / "registry").glob("chopmark.db*"):
            file.unlink()
        return place

    def _database(self, stack: ExitStack, *, with_tables: bool) -> str:
        assert self.postgres is not None
        made = self.postgres.with_tables() if with_tables else self.postgres.database()
        return stack.enter_context(made)


def make_grounds(pair: Pair, directory: Path) -> Grounds:
    """Start what the pair needs; raises `faults.servers.Missing` when this machine lacks it."""
    postgres = servers.postgres() if pair.catalog == "PostgreSQL" else None
    s3 = servers.seaweedfs() if pair.store == "S3" else None
    if s3 is not None:
        os.environ["AWS_ACCESS_KEY_ID"] = s3.access_key_id
        os.environ["AWS_SECRET_ACCESS_KEY"] = s3.secret_access_key
    directory.mkdir(parents=True, exist_ok=True)
    empty = None if postgres is not None else directory / "empty"
    if empty is not None:
        _, wrong = answer_of(lambda: _make_empty(empty), directory / "stderr.txt", START_LIMIT_S)
        if wrong:
            raise RuntimeError(f"an empty registry could not be made: {wrong}")
    return Grounds(pair, directory, postgres, s3, empty)


def in_place_of(
    pair: Pair,
    part: str,
    options: Options,
    planned: Outcome,
    work: Callable[[Place], tuple[list[str], dict[str, float | int | str]]],
) -> Outcome:
    """What came of work in a fresh place of a pair, kept when it found anything; not run where the machine lacks the pair."""
    try:
        grounds = make_grounds(pair, options.place(part) / str(pair).replace(", ", "-"))
    except servers.Missing as missing:
        return replace(planned, rounds=0, missing=str(missing))
    with ExitStack() as stack:
        place = grounds.new_place(part, stack)
        findings, figures = work(place)
        if findings and place.directory.is_dir():
            findings.append(f"kept: {options.kept(f'{part}-{pair}', place.directory)}")
    return replace(planned, findings=findings, figures=figures)


def _make_empty(directory: Path) -> None:
    import chopmark as cm

    cm.open(directory).close()
