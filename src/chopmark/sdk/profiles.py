"""``registry.profiles``: what the data of a version looked like, and whether other data still do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from chopmark.domain.datasets import profile_name, profile_path
from chopmark.domain.manifest import FileEntry, Manifest
from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest, NotFound
from chopmark.ops.requests import GetManifest
from chopmark.sdk.files import StoredFiles
from chopmark.sdk.results import Page
from chopmark.sdk.surface import Reference, Surface

if TYPE_CHECKING:
    from chopmark.formats.profiles import DatasetProfile
    from chopmark.stats.drift import DriftReport
    from chopmark.stats.drift_measures import MeasureName

__all__ = ["Profiles", "StoredProfile"]


class StoredProfile(msgspec.Struct, frozen=True):
    """A profile as an artifact of a version.

    Attributes
    ----------
    name
        What to ask for it by: the name of the data set, or ``data``.
    path, size_bytes, digest
        The file in the version.
    """

    name: str
    path: str
    size_bytes: int
    digest: str

    def __repr__(self) -> str:
        return f"<profile {self.name} · {self.size_bytes:,} bytes · {self.digest[:19]}>"


class Profiles(Surface):
    """Verbs about reference profiles: bins and counts of the rows that a version was registered with."""

    def list(self, ref: Reference) -> Page[StoredProfile]:
        """Profiles of a version by name."""
        files = _profiles_in(self._manifest(ref))
        return Page([StoredProfile(name, f.path, f.size_bytes, f.digest) for name, f in files.items()])

    def get(self, ref: Reference, dataset: str = "") -> DatasetProfile:
        """The profile of a version's data, from verified bytes.

        Parameters
        ----------
        ref
            The version.
        dataset
            Name of the data set; needed when the version has profiles of several.

        Returns
        -------
        DatasetProfile
            A `chopmark.stats.Profile`: `count` other rows with it, and give both to `chopmark.stats.check_drift`.

        Raises
        ------
        NotFound
            When the version has none, or none of that name.
        InvalidRequest
            When it has several and no name is given, or the file was not made by a registration.
        IntegrityFailure
            When its bytes are missing or changed.
        """
        return self._read(ref, self._manifest(ref), dataset)

    def drift(
        self,
        ref: Reference,
        data: Any,
        *,
        dataset: str = "",
        scores: Any = None,
        without: Collection[str] = (),
        thresholds: Mapping[MeasureName, float] | None = None,
        alpha: float = 0.01,
        minimum: int | None = None,
    ) -> DriftReport:
        """Whether rows drifted from what a version was registered with.

        Parameters
        ----------
        ref
            The version.
        data
            The rows now: a data frame, Arrow table, array, dict of columns, list of dicts, or the path of a Parquet or CSV file.
        dataset
            Name of the data set to compare with; needed when the version has profiles of several.
        scores
            The model's answers on the rows, shape (n,), or the column that holds them, where it was registered with some.
        without
            Columns not to compare.
        thresholds, alpha, minimum
            What is material, what is significant, and how many values are enough (see `chopmark.stats.check_drift`).

        Returns
        -------
        DriftReport
            With a verdict and a sentence for each column, the worst first. A column of the profile that the data do not have is left
            out when the version's signature does not take it either: labels, mostly.

        Raises
        ------
        NotFound
            When the version has no profile, or there is no such column.
        InvalidRequest
            When the data lack a column that the model takes, or one holds something else than it did.
        """
        from chopmark.formats.profiles import count_table, names_of_levels
        from chopmark.formats.rows import table_of
        from chopmark.stats.drift import MINIMUM, check_drift

        manifest = self._manifest(ref)
        profile = self._read(ref, manifest, dataset)
        table = table_of(data, names_of_levels(profile, scores))
        taken = {field.name for field in manifest.signature.inputs} if manifest.signature else set()
        wanted = _compared(profile, [*table.columns, *table.left_out], without, taken)
        kept = msgspec.structs.replace(profile, columns=tuple(c for c in profile.columns if c.name in wanted))
        counts = count_table(kept, table, scores=scores)
        return check_drift(
            kept, counts, thresholds=thresholds, alpha=alpha, minimum=MINIMUM if minimum is None else minimum
        )

    def _manifest(self, ref: Reference) -> Manifest:
        found: Manifest = self._call(GetManifest(ref=self._ref(ref)))
        return found

    def _read(self, ref: Reference, manifest: Manifest, dataset: str) -> DatasetProfile:
        from chopmark.formats.profiles import read_profile

        entry = _chosen(_profiles_in(manifest), dataset, self._ref(ref))
        files = StoredFiles(self._transport.store, self._ref(ref), {entry.path: entry}, verify=self._settings.verify)
        with files.open(entry.path) as stream:
            data = stream.read()
        try:
            return read_profile(data)
        except InvalidRequest as error:
            msg = f"{shown(entry.path)} of {self._ref(ref)} is no profile that a registration made. {error.message}"
            raise InvalidRequest(msg, hint="Name another data set of the version.") from error


def _profiles_in(manifest: Manifest) -> dict[str, FileEntry]:
    return {profile_name(f.path): f for f in manifest.files if f.role == "profile" and f.path.endswith(".json")}


def _chosen(found: Mapping[str, FileEntry], dataset: str, ref: str) -> FileEntry:
    if not found:
        msg = f"{ref} has no profile of its data."
        hint = "Register with dataset=frame, or with a Parquet or CSV file, and a profile is made."
        raise NotFound(msg, hint=hint)
    names = ", ".join(found)
    if not dataset:
        if len(found) > 1:
            raise InvalidRequest(f"{ref} has {len(found):,} profiles.", hint=f"Name one of the data sets: {names}.")
        return next(iter(found.values()))
    for name in (dataset, profile_name(profile_path(dataset))):
        if name in found:
            return found[name]
    raise NotFound(f"{ref} has no profile of {shown(dataset)}.", hint=f"It has {names}.")


def _compared(profile: DatasetProfile, there: Collection[str], without: Collection[str], taken: set[str]) -> set[str]:
    """Names of the profile's columns to compare.

    Raises
    ------
    NotFound
        When ``without`` names what the profile does not have.
    InvalidRequest
        When one is not there that should be, or none is left.
    """
    if isinstance(without, str):
        raise InvalidRequest("without is a text.", hint=f"Pass a list: without=[{without!r}].")
    names = [column.name for column in profile.columns]
    for name in without:
        if name not in names:
            raise NotFound(f"The profile has no column {shown(name)}.", hint=f"It has {', '.join(names[:20])}.")
    wanted = [name for name in names if name not in without]
    is_known = not taken.isdisjoint(names)  # a signature of an array does not name its columns
    gone = [name for name in wanted if name not in there and (name in taken or not is_known)]
    if gone:
        which = ", ".join(map(shown, gone[:5])) + (f" and {len(gone) - 5:,} more" if len(gone) > 5 else "")  # noqa: PLR2004
        hint = f"Give them, or leave out what the model does not need: without={gone[:5]!r} (--without NAME)."
        raise InvalidRequest(
            f"The data lack {len(gone):,} of {len(wanted):,} columns of the profile: {which}.", hint=hint
        )
    kept = {name for name in wanted if name in there}
    if wanted and not kept:
        raise InvalidRequest("The data have none of the profile's columns.", hint=f"It has {', '.join(names[:20])}.")
    return kept
