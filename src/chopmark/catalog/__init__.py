"""The catalog: projects, models, versions and their history in SQLite or PostgreSQL."""

from __future__ import annotations

from chopmark.catalog.opening import open_catalog, open_hints, schema_revision, upgrade_catalog

__all__ = ["open_catalog", "open_hints", "schema_revision", "upgrade_catalog"]
