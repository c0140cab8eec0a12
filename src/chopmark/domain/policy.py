"""Rules of a project, asked at the gates."""

from __future__ import annotations

from typing import Any

from chopmark.domain.names import shown
from chopmark.domain.retention import check_retention
from chopmark.domain.versions import ProjectRules, Version
from chopmark.errors import InvalidRequest

__all__ = [
    "REQUIRABLE_FIELDS",
    "check_rules",
    "missing_metadata",
    "production_findings",
]

REQUIRABLE_FIELDS = (
    "description",
    "card",
    "task",
    "owner",
    "team",
    "risk_tier",
    "compliance",
    "business_value",
    "cost_per_request",
    "datasets",
    "signature",
    "git",
    "run_id",
    "experiment_id",
)


def check_rules(rules: ProjectRules) -> None:
    """Refuse rules that name fields that do not exist, or keep no versions.

    Raises
    ------
    InvalidRequest
        With the fields there are.
    """
    if rules.retention is not None:
        check_retention(rules.retention)
    unknown = [f for f in rules.required_fields if f not in REQUIRABLE_FIELDS]
    if unknown:
        msg = "These cannot be required: " + ", ".join(map(shown, unknown)) + "."
        raise InvalidRequest(msg, hint="Fields are " + ", ".join(REQUIRABLE_FIELDS) + ".")


def missing_metadata(rules: ProjectRules, version: Version) -> list[str]:
    """Everything the project requires and the version lacks, in words."""
    return [
        *(f"{name} is missing" for name in rules.required_fields if _empty(version, name)),
        *(f"tag {key!r} is missing" for key in rules.required_tags if key not in version.tags),
        *(f"metric {key!r} is missing" for key in rules.required_metrics if key not in version.metrics),
    ]


def _empty(version: Version, field: str) -> bool:
    value: Any = getattr(version, field)
    return value in (None, "", ())


def production_findings(rules: ProjectRules, in_production: list[Version]) -> list[str]:
    """Why another version may not enter production now; empty when it may."""
    if not rules.one_production_version:
        return []
    return [f"{v.ref} is in production, and the project allows one version there" for v in in_production]
