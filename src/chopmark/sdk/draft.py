"""A version in the making: files and facts are gathered, and nothing is visible before the end."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, TypedDict, TypeVar, Unpack

import msgspec

from chopmark.abc.blobs import BlobSource, BlobStore
from chopmark.abc.formats import Format, SavedModel
from chopmark.base.jsons import plain_values
from chopmark.base.settings import Settings
from chopmark.domain.datasets import DatasetRef, profile_path
from chopmark.domain.manifest import (
    ROLES,
    Environment,
    FileEntry,
    Kind,
    Manifest,
    Member,
    Role,
    check_path,
    sorted_files,
)
from chopmark.domain.names import check_metrics, check_tags, shown
from chopmark.domain.refs import parse_model, parse_ref
from chopmark.domain.semver import Bump
from chopmark.domain.signature import Signature
from chopmark.domain.versions import Version
from chopmark.errors import IntegrityFailure, InvalidRequest, Unsupported
from chopmark.formats import capture_environment, format_for_path, get_format, save_model
from chopmark.formats.data import describe_rows
from chopmark.formats.provenance import git_state
from chopmark.formats.signatures import infer_signature, predict_signature
from chopmark.ops.requests import GetVersion, PlanVersion, RegisterVersion
from chopmark.ops.results import Registered, RegistrationPlan
from chopmark.sdk.ensemble import check_combine
from chopmark.sdk.files import MODEL_DIRECTORY, GatheredFiles, Source, gather, preparing
from chopmark.sdk.profiling import ProfileWishes, profile_rows, without_values
from chopmark.sdk.progress import progress_bar
from chopmark.sdk.surface import Reference, checked_mapping
from chopmark.sdk.transport import DryRun, Transport

if TYPE_CHECKING:
    from chopmark.formats.profiles import DatasetProfile

__all__ = ["Draft", "VersionFacts"]


HELD_OPEN_MAX = 200
"""Files of a version that are moved into the store, and held open until it is registered; those of a larger are copied."""

COLLECTED_MAX = 20
"""How often bytes are stored again because a collection took them before the version was there.

Against one that is begun again at once and knows no grace, on a slow store, three were not always enough.
"""

COLLECTED_PAUSE_S = 0.01
"""Each waits a random while, longer every time, so that the two fall out of step."""

WEIGHT_MAX = 1e9

_Request = TypeVar("_Request", bound=RegisterVersion)


class VersionFacts(TypedDict, total=False):
    """What may be said of a version at registration (see `chopmark.domain.versions.Version`)."""

    semver: str
    bump: Bump | Literal["auto"]
    description: str
    card: str
    task: str
    owner: str
    team: str
    risk_tier: str
    compliance: Sequence[str]
    business_value: str
    cost_per_request: float | None
    run_id: str
    experiment_id: str
    metadata: Mapping[str, Any]
    allow_twin: bool
    allow_breaking: bool


class Draft:
    """Gathers what a version consists of, and registers it in one step.

    Made by ``Registry.draft``. As a context manager it registers when the block ends without an
    error; when the block raises, nothing is stored and nothing is visible.

    Parameters
    ----------
    transport, settings
        Of the registry.
    model
        ``[project/]name``.
    facts
        Further fields of `chopmark.ops.requests.RegisterVersion`.

    Attributes
    ----------
    metrics, params, tags
        Add to them freely until the end.
    profiles
        Path in the version → reference profile of a data set, those that were made so far.
    version
        The registered version, None before.
    created
        Whether it is new; False when the same manifest was registered before.
    """

    def __init__(self, transport: Transport, settings: Settings, model: str, **facts: Unpack[VersionFacts]) -> None:
        self._transport = transport
        self._settings = settings
        self._model = str(parse_model(model, settings.project))
        self._facts = _checked_facts(facts)
        self._sources: list[Source] = []
        self._format: Format | None = None
        self._saved = SavedModel(())
        self._untrusted: list[str] = []
        self._artifact_formats: dict[str, str] = {}
        self._runs_code = False
        self._kind: Kind = "artifact"
        self._config: dict[str, Any] = {}
        self._members: list[Member] = []
        self._signature: Signature | None = None
        self._datasets: list[DatasetRef] = []
        self.metrics: dict[str, float] = {}
        self.params: dict[str, Any] = {}
        self.tags: dict[str, str] = {}
        self.profiles: dict[str, DatasetProfile] = {}
        self.version: Version | None = None
        self.created = False
        self._git = git_state(Path.cwd())
        self._scratch: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self.version is None:
                self.register()
        finally:
            self.discard()

    def discard(self) -> None:
        """Throw away what was gathered; after registration only temporary files go."""
        while self._scratch:
            with suppress(OSError):  # of some calls it lets errors through, and the version may be registered by now
                shutil.rmtree(self._scratch.pop(), ignore_errors=True)

    def add_model(self, model: object, *, format: str = "auto") -> None:  # noqa: A002 - the field's word
        """Store a model object; ``auto`` takes the safest format that can hold it.

        Raises
        ------
        Unsupported
            When no format can hold it, or a library is missing.
        """
        self._no_model_yet()
        with preparing():
            directory = self._directory()
            self._format, self._saved = save_model(model, directory, format)
        self._take_saved(MODEL_DIRECTORY, directory, self._format, self._saved)

    def add_path(self, path: str | Path, *, format: str = "auto") -> None:  # noqa: A002
        """Take a file or directory as the model; ``auto`` recognises the format.

        Raises
        ------
        NotFound, InvalidRequest
            When it is not there, has symbolic links, or is not of the format.
        """
        self._no_model_yet()
        sources = gather(_place(path), MODEL_DIRECTORY, "weights")
        self._take_files(sources, format)

    def add_files(self, files: Mapping[str, str | Path], *, format: str = "auto") -> None:  # noqa: A002
        """Take several files as the model: path within the version → file."""
        self._no_model_yet()
        sources = []
        for path, file in files.items():
            check_path(path)
            one = gather(_place(file), MODEL_DIRECTORY, "weights")
            if len(one) != 1 or Path(file).is_dir():
                msg = f"{shown(file)} is a directory; files= takes single files."
                raise InvalidRequest(msg, hint="Use path= for a directory.")
            sources.append(Source(f"{MODEL_DIRECTORY}/{path}", "weights", one[0].file))
        self._take_files(sources, format)

    def _take_files(self, sources: list[Source], name: str) -> None:
        within = {s.path.removeprefix(MODEL_DIRECTORY + "/"): s.file for s in sources}
        chosen = format_for_path([Path(f) for f in within.values()]) if name == "auto" else get_format(name)
        gathered = GatheredFiles(within, self._directory)
        self._format, self._saved = chosen, chosen.describe(gathered)
        roles: dict[str, Role] = {f.path: f.role for f in self._saved.files}
        self._sources += [
            msgspec.structs.replace(s, role=roles.get(s.path.removeprefix(MODEL_DIRECTORY + "/"), s.role))
            for s in sources
        ]
        self._note_code(chosen, self._saved)

    def add_artifact(self, key: str, source: object) -> None:
        """Add an artifact beside the model.

        Parameters
        ----------
        key
            A role, or a role and a path: ``preprocessor``, ``explainer/shap.npy``,
            ``evaluation/report.json``, ``card/README.md``.
        source
            A path (text or `Path`), bytes, or an object, which is stored in the safest format
            that can hold it and read back with ``files.load``: at exactly the key when the format
            writes one file with the key's suffix, else in a directory of that name.

        Raises
        ------
        InvalidRequest
            When the role is unknown or the path is not acceptable.
        """
        role = _role_of(key)
        rest = key.partition("/")[2]
        self._keep_apart(key)
        if source is None:
            msg = f"The artifact {shown(key)} is None."
            raise InvalidRequest(msg, hint="Leave it out, or pass a path, bytes or an object.")
        if isinstance(source, (str, Path)):
            found = gather(_place(source), key, role)
            if rest and len(found) == 1 and found[0].path == f"{key}/{Path(source).name}":
                found = [msgspec.structs.replace(found[0], path=check_path(key))]
            self._sources += found
        elif isinstance(source, (bytes, bytearray)):
            if not rest:
                msg = f"Bytes need a file name: {key}/NAME."
                raise InvalidRequest(msg)
            with preparing():
                file = self._directory() / "data"
                file.write_bytes(source)
            self._sources.append(Source(check_path(key), role, file, owned=True))
        else:
            self._add_object(key, source)

    def _keep_apart(self, key: str) -> None:
        """Refuse an artifact within an object's directory, or around other files: neither could be read back."""
        taken = [*self._artifact_formats, *(s.path for s in self._sources)]
        for other in taken:
            if key == other or other.startswith(f"{key}/") or key.startswith(f"{other}/"):
                msg = f"The artifact {shown(key)} and {shown(other)} would stand in one place."
                raise InvalidRequest(msg, hint="Give each a path of its own: explainer/a.npy, explainer/b.npy.")

    def _add_object(self, key: str, source: object) -> None:
        check_path(key)
        with preparing():
            directory = self._directory()
            used, saved = save_model(source, directory, "auto")
        self._artifact_formats[key] = used.name
        only = saved.files[0].path
        if len(saved.files) == 1 and Path(key).suffix and Path(key).suffix == Path(only).suffix:
            self._sources.append(Source(key, _role_of(key), directory / only, owned=True))
            self._note_code(used, saved)
        else:
            self._take_saved(key, directory, used, saved, _role_of(key))

    def add_dataset(
        self,
        data: object,
        *,
        profile: bool | None = None,
        profile_without: Sequence[str] = (),
        scores: object = None,
        labels: object = None,
        score_threshold: float = 0.5,
        **about: Any,
    ) -> DatasetRef:
        """Note a data set: a data frame, array, path or uri, hashed by content, and its reference profile.

        Parameters
        ----------
        data
            What was trained or evaluated on, or a `DatasetRef`.
        profile
            Whether bins and counts of each column become an artifact, for `registry.profiles`. None: of what was trained on,
            where there are rows; a file above 256 MiB of text or 100 million values only when it is True.
        profile_without
            Columns of which no value is kept, neither in the profile nor in the description.
        scores, labels
            The model's answers on the rows and the truth about them (0 or 1), shape (n,) each, or columns that hold them: bins
            of scores and, with both, a calibration table are in the profile. Give what the model answers on rows that it was not
            fitted on: what live accuracy is estimated by is believed to hold for new ones.
        score_threshold
            The score from which callers take an answer for positive, for the estimate.
        about
            ``name``, ``uri``, ``version``, ``split``, ``relation``.

        Raises
        ------
        InvalidRequest
            When it cannot be described or profiled; says which column.
        """
        wishes = ProfileWishes(profile, profile_without, scores, labels, score_threshold)
        with _telling("data set"):
            described = describe_rows(data, **about)
            made = profile_rows(described, wishes)
        dataset = without_values(described.dataset, profile_without)
        if made is not None:
            self._add_profile(dataset, made)
        self._datasets.append(dataset)
        return dataset

    def _add_profile(self, dataset: DatasetRef, profile: DatasetProfile) -> None:
        from chopmark.formats.profiles import write_profile

        is_named = not dataset.digest or not dataset.digest.startswith(dataset.name)
        path = profile_path(dataset.name if is_named else "", [source.path for source in self._sources])
        self.add_artifact(path, write_profile(profile))
        self.profiles[path] = profile

    def set_signature(self, signature: Signature) -> None:
        """Say which inputs the model takes and which outputs it gives."""
        self._signature = signature

    def set_example(self, inputs: object, outputs: object = None, *, model: object = None) -> None:
        """Infer the signature from example inputs, and outputs given or predicted by ``model``."""
        with _telling("example"):
            if outputs is None and model is not None:
                self._signature = predict_signature(model, inputs)
            else:
                self._signature = infer_signature(inputs, outputs)

    def set_config(self, kind: Kind, config: Mapping[str, Any]) -> None:
        """Make it a version without files: an ``llm_config`` or an ``external`` model."""
        self._kind = kind
        self._config = dict(config)

    def set_members(self, members: Sequence[Reference] | Mapping[Any, float], *, combine: str = "auto") -> None:
        """Make it an ensemble of registered versions.

        Parameters
        ----------
        members
            References, or reference → weight.
        combine
            ``auto`` (labels by vote, numbers by mean), ``mean``, ``median``, ``max`` or ``vote``.
        """
        self._kind = "ensemble"
        self._config = {"combine": check_combine(combine)}
        if isinstance(members, (str, Version)):
            members = [members]
        weights = members if isinstance(members, Mapping) else dict.fromkeys(members, 1.0)
        for reference, weight in weights.items():
            checked = _weight(reference, weight)
            self._members.append(self._member("ensemble_member_of", reference, checked))

    def add_parent(self, reference: Reference, relation: str = "") -> None:
        """Say which version this one comes from.

        Parameters
        ----------
        reference
            The parent.
        relation
            ``retrained_from`` (default within one model), ``derived_from`` (default across
            models) or ``fine_tuned_from``.
        """
        member = self._member(relation or "derived_from", reference)
        if not relation and str(parse_ref(member.ref).model) == self._model:
            member = msgspec.structs.replace(member, relation="retrained_from")
        self._members.append(member)

    def _member(self, relation: str, reference: Reference, weight: float | None = None) -> Member:
        text = reference.ref if isinstance(reference, Version) else reference
        found: Version = self._transport.call(GetVersion(ref=str(parse_ref(text, self._settings.project))))
        if relation == "ensemble_member_of":  # whoever loads the ensemble loads its members
            self._runs_code = self._runs_code or found.runs_code
            self._untrusted += found.untrusted
        return Member(relation, found.ref, found.digest, weight)

    def register(self) -> Version:
        """Store the bytes, then the rows.

        Returns
        -------
        Version
            The new version, or the existing one with the same manifest (see ``created``).

        Raises
        ------
        ChopmarkError
            When it is refused; nothing is visible then.
        """
        if isinstance(self._transport, DryRun):
            msg = "A dry run stores no bytes, so it cannot register."
            raise Unsupported(msg, hint="Ask draft.plan() what a registration would do.")
        if self._sources:
            self.plan()  # a refusal costs nothing before the bytes are stored
        answer = self._registered()
        self.version = answer.version
        self.created = answer.created
        self.discard()
        return answer.version

    def _registered(self) -> Registered:
        """Store and register; bytes that a collection was quicker to take are stored once more."""
        with ExitStack() as held:
            is_held = len(self._sources) <= HELD_OPEN_MAX
            again = [_source_kept(source, held if is_held else None) for source in self._sources]
            request = self._request(RegisterVersion, self._stored(consume=is_held))
            for attempt in range(COLLECTED_MAX):
                try:
                    answer: Registered = self._transport.call(request)
                except IntegrityFailure as error:
                    if not error.details.get("missing"):
                        raise
                    time.sleep(random.uniform(0, COLLECTED_PAUSE_S * attempt))  # noqa: S311 - no secret
                    for put in again:
                        put(self._transport.store)
                else:
                    return answer
            last: Registered = self._transport.call(request)
            return last

    def plan(self) -> RegistrationPlan:
        """Ask what `register` would do now; nothing is stored.

        Raises
        ------
        ChopmarkError
            When it would be refused.
        """
        answer: RegistrationPlan = self._transport.call(self._request(PlanVersion, []))
        return answer

    def _request(self, kind: type[_Request], entries: list[FileEntry]) -> _Request:
        return kind(
            model=self._model,
            manifest=self._manifest(entries),
            metrics=check_metrics(self.metrics),
            tags=check_tags(self.tags),
            datasets=tuple(self._datasets),
            git=self._git,
            **self._facts,
        )

    def _stored(self, *, consume: bool) -> list[FileEntry]:
        total = sum(s.size_bytes for s in self._sources)
        with (
            progress_bar(f"Storing {self._model}", total, self._settings.progress) as told,
        ):
            wanted = [BlobSource(source.file, consume=consume and source.owned) for source in self._sources]
            stats = self._transport.store.put_all(wanted, progress=told)
        return [
            FileEntry(source.path, source.role, stat.size_bytes, stat.digest, stat.leaves)
            for source, stat in zip(self._sources, stats, strict=True)
        ]

    def _manifest(self, entries: list[FileEntry]) -> Manifest:
        return Manifest(
            kind=self._kind,
            format=self._format.name if self._format else "",
            files=sorted_files(entries),
            signature=self._signature,
            params={**self._saved.params, **plain_values(self.params, "params")},
            config=plain_values(self._config, "config"),
            environment=self._environment(),
            parents=tuple(sorted(self._members, key=lambda m: (m.relation, m.ref))),
            untrusted=tuple(sorted(set(self._untrusted))),
            runs_code=self._runs_code,
            artifact_formats=self._artifact_formats,
        )

    def _environment(self) -> Environment:
        known = self._saved.environment
        here = capture_environment("")
        return msgspec.structs.replace(known, python=here.python, platform=here.platform)

    def _take_saved(
        self,
        prefix: str,
        directory: Path,
        used: Format,
        saved: SavedModel,
        role: Role | None = None,
    ) -> None:
        self._sources += [
            Source(check_path(f"{prefix}/{f.path}"), role or f.role, directory / f.path, owned=True)
            for f in saved.files
        ]
        self._note_code(used, saved)

    def _note_code(self, used: Format, saved: SavedModel) -> None:
        self._runs_code = self._runs_code or used.runs_code
        self._untrusted += saved.untrusted

    def _directory(self) -> Path:
        """A new directory, side by side with others: on some file systems one within a new one takes milliseconds."""
        directory = Path(tempfile.mkdtemp(prefix="chopmark-draft-"))
        self._scratch.append(directory)
        return directory

    def _no_model_yet(self) -> None:
        if self._format is not None:
            msg = "The draft has a model already."
            raise InvalidRequest(msg, hint="Add further files with add_artifact.")


def _source_kept(source: Source, held: ExitStack | None) -> Callable[[BlobStore], object]:
    """What puts a source once more, also when the first put takes its file away: an open file outlives its name."""
    if held is None or not source.owned:
        return lambda store: store.put(source.file)
    with preparing():
        stream = source.file.open("rb")
    held.callback(_closed, stream)

    def put(store: BlobStore) -> None:
        stream.seek(0)
        store.put(stream)

    return put


def _closed(stream: BinaryIO) -> None:
    """Close what was only read: a failure to means nothing for a version that is registered by now."""
    with suppress(OSError):
        stream.close()


def _checked_facts(facts: VersionFacts) -> dict[str, Any]:
    unknown = [name for name in facts if name not in VersionFacts.__annotations__]
    if unknown:
        msg = "A version has no " + ", ".join(map(shown, unknown)) + "."
        known = ", ".join(["metrics", "params", "tags", *VersionFacts.__annotations__])
        raise InvalidRequest(msg, hint=f"It has {known}; other facts go into metadata.")
    if facts.get("semver") and facts.get("bump", "auto") != "auto":
        msg = "semver and bump were both given."
        raise InvalidRequest(msg, hint="Give one of them.")
    plain: dict[str, Any] = {**facts}
    if "metadata" in plain:
        plain["metadata"] = plain_values(checked_mapping(plain["metadata"], "metadata"), "metadata")
    compliance = plain.get("compliance") or ()
    plain["compliance"] = (compliance,) if isinstance(compliance, str) else tuple(compliance)
    return plain


def _weight(reference: Reference, weight: object) -> float:
    try:
        number = float(weight)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = -1.0
    if not 0 < number <= WEIGHT_MAX:
        msg = f"The weight of {shown(reference)} is {shown(weight)}; it must be a number above zero, at most 1e9."
        raise InvalidRequest(msg)
    return number


@contextmanager
def _telling(what: str) -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError as error:
        msg = f"The {what} holds a text that is no valid Unicode: {error.reason}."
        raise InvalidRequest(msg) from error


def _place(path: str | Path) -> Path:
    """The path, when it is not empty: an unset variable must not mean the working directory."""
    if not str(path).strip() or (isinstance(path, Path) and path == Path()):
        msg = "The path is empty."
        raise InvalidRequest(msg, hint="Pass the file or directory; a full path when it is the working directory.")
    return Path(path)


def _role_of(key: str) -> Role:
    role = key.partition("/")[0]
    for known in ROLES:
        if role == known:
            return known  # type: ignore[return-value]
    msg = f"The artifact {shown(key)} does not start with a role."
    raise InvalidRequest(msg, hint="Roles are " + ", ".join(ROLES) + ".")
