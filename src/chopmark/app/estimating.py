"""How accurate live versions are expected to be, from sampled answers and the calibration in their profiles."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import structs

from chopmark.abc.blobs import BlobStore
from chopmark.abc.catalog import Transaction
from chopmark.app.outcome_reading import Group
from chopmark.base.jsons import decode
from chopmark.domain.outcome_tiers import beginning
from chopmark.domain.profile_windows import ProfileWindow, added_up
from chopmark.domain.traffic import SHADOW
from chopmark.errors import ChopmarkError, InvalidRequest, NotFound
from chopmark.stats.binning import LevelBins, NumericBins
from chopmark.stats.calibration_table import CalibrationTable
from chopmark.stats.estimated_accuracy import EstimatedAccuracy, estimated_accuracy

__all__ = ["Estimates", "estimates_of"]

_WINDOWS_MAX = 5_000
_PROFILE_BYTES_MAX = 256 << 20


class Estimates(NamedTuple):
    """Estimates by version and variant, and why there is none of the others."""

    by_group: dict[Group, EstimatedAccuracy]
    why: str = (
        "No requests were sampled in that time, or the version has no profile, or several. An endpoint samples when its sample_share is "
        "above 0."
    )

    def of(self, group: Group) -> EstimatedAccuracy:
        """That of a version and variant, or why there is none."""
        return self.by_group.get(group) or EstimatedAccuracy(why=self.why)


class _Scored(msgspec.Struct, frozen=True):
    """What is read of a profile: its columns are passed over."""

    scores: NumericBins | LevelBins | None = None
    calibration: CalibrationTable | None = None


def estimates_of(
    tx: Transaction, store: BlobStore, endpoint_id: UUID, since: datetime, until: datetime, *, by_version: bool = False
) -> Estimates:
    """What is expected of the answers to sampled requests of a time, by version and variant.

    Profiles are files, so an op that writes asks this before its transaction. Whatever keeps one from being read is why nothing is
    said of that version.

    Parameters
    ----------
    since, until
        The hour in which it begins counts whole.
    by_version
        Whether variants of one version are added up, but for shadows, under an empty name.
    """
    first = beginning(since, "hour")
    reported = tx.profile_counts.answers(endpoint_id, since=first, until=until, limit=_WINDOWS_MAX + 1)
    if len(reported) > _WINDOWS_MAX:
        return Estimates({}, "So many hours are not added up in one answer. Ask over a shorter time.")
    windows = [_named(each.window, by_version=by_version) for each in reported]
    return Estimates({key: _estimated(tx, store, window) for key, window in added_up(windows).items()})


def _named(window: ProfileWindow, *, by_version: bool) -> ProfileWindow:
    return structs.replace(window, variant="") if by_version and window.variant != SHADOW else window


def _estimated(tx: Transaction, store: BlobStore, window: ProfileWindow) -> EstimatedAccuracy:
    try:
        scored = _scored(tx, store, window.version)
        found = estimated_accuracy(scored.scores, scored.calibration, window.counts.scores)
    except ChopmarkError as error:
        found = EstimatedAccuracy(why=error.message)
    return structs.replace(found, since=window.start)


def _scored(tx: Transaction, store: BlobStore, version_id: UUID) -> _Scored:
    version = tx.versions.by_id(version_id)
    manifest = None if version is None else tx.manifests.get(version.digest)
    if version is None or manifest is None:
        raise NotFound("The version was purged.")
    files = [file for file in manifest.files if file.role == "profile" and file.path.endswith(".json")]
    if len(files) != 1:
        raise InvalidRequest(f"{version.ref} has {len(files) or 'no'} profiles, and one is needed.")
    if files[0].size_bytes > _PROFILE_BYTES_MAX:
        raise InvalidRequest(f"The profile of {version.ref} is too large to be read for each question.")
    with store.open(files[0].digest, verify="changed") as stream:
        return decode(stream.read(), _Scored)
