"""What verbs answer with, where it is not one record of `chopmark.domain`."""

from __future__ import annotations

import msgspec

from chopmark.domain.audit import AuditEvent
from chopmark.domain.lifecycle import StageMove
from chopmark.domain.versions import (
    Alias,
    AliasMove,
    Evaluation,
    Model,
    Project,
    TrustDecision,
    Version,
)

__all__ = [
    "AliasHistoryAnswer",
    "AliasList",
    "AuditPage",
    "AuditVerdict",
    "Done",
    "EvaluationList",
    "ModelPage",
    "ProjectPage",
    "Registered",
    "RegistrationPlan",
    "StageAnswer",
    "StageHistoryAnswer",
    "TrustList",
    "Uses",
    "VersionPage",
]


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A registration's answer.

    Attributes
    ----------
    version
        The new version, or the existing one with the same manifest.
    created
        Whether it is new.
    linked
        Parents of an existing version that it had no edge to and has now: an import found them here.
    """

    version: Version
    created: bool
    linked: tuple[str, ...] = ()


class RegistrationPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a registration would do.

    Attributes
    ----------
    ref, semver
        Number and semantic version that it would get now.
    reasons
        Why that semantic version.
    new_model
        Whether the model would be made.
    """

    ref: str
    semver: str
    reasons: tuple[str, ...] = ()
    new_model: bool = False


class VersionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Versions, and the cursor of the next page (empty on the last).

    Attributes
    ----------
    items, cursor
        The page.
    unknown
        Keys such as ``metrics.roc_acu`` that the search names and no version of the registry has, each
        with those written alike. Looked for on a first page only: keys of its order always, keys of its
        conditions when the page is empty.
    """

    items: list[Version]
    cursor: str = ""
    unknown: dict[str, tuple[str, ...]] = {}


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """Models, and the cursor of the next page."""

    items: list[Model]
    cursor: str = ""


class ProjectPage(msgspec.Struct, frozen=True, kw_only=True):
    """Projects, and the cursor of the next page."""

    items: list[Project]
    cursor: str = ""


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events, and the cursor of the next page."""

    items: list[AuditEvent]
    cursor: str = ""


class AliasList(msgspec.Struct, frozen=True):
    """Aliases of a model."""

    items: list[Alias]


class AliasHistoryAnswer(msgspec.Struct, frozen=True):
    """Moves of an alias, newest first."""

    items: list[AliasMove]


class StageHistoryAnswer(msgspec.Struct, frozen=True):
    """Moves of a version, newest first."""

    items: list[StageMove]


class EvaluationList(msgspec.Struct, frozen=True):
    """Evaluations, newest first."""

    items: list[Evaluation]


class TrustList(msgspec.Struct, frozen=True):
    """Trust decisions, newest first."""

    items: list[TrustDecision]


class StageAnswer(msgspec.Struct, frozen=True):
    """A version's stage at a time; empty when it did not exist yet."""

    ref: str
    stage: str


class Uses(msgspec.Struct, frozen=True):
    """Who uses a version, in words."""

    ref: str
    items: list[str]


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the chain is whole.

    Attributes
    ----------
    events
        How many were walked.
    fault
        What is wrong, empty when nothing is; ``fault_seq`` says where.
    head
        Hash of the last event.
    first
        Hash of event 1: which chain it is.
    """

    events: int
    head: str
    first: str = ""
    fault: str = ""
    fault_seq: int = 0


class Done(msgspec.Struct, frozen=True):
    """A removal's answer: what was removed."""

    ref: str
    message: str
