"""Small records for tests, with only the given fields set."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from chopmark.domain.versions import Version

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)


def a_version(**fields: Any) -> Version:
    """A version ``default/fraud:1`` with the given fields."""
    base: dict[str, Any] = {
        "id": UUID(int=1),
        "model_id": UUID(int=2),
        "project": "default",
        "model": "fraud",
        "number": 1,
        "semver": "1.0.0",
        "digest": "sha256:" + "a" * 64,
        "kind": "artifact",
        "stage_since": NOON,
        "created_at": NOON,
        "created_by": "ada",
        "updated_at": NOON,
    }
    return Version(**{**base, **fields})
