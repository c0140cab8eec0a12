"""The registry as Python users hold it: eight everyday verbs, the rest on surfaces."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack, get_args

import msgspec

from chopmark.abc.blobs import Verify
from chopmark.base.settings import Settings
from chopmark.domain.audit import AuditEvent
from chopmark.domain.names import shown
from chopmark.domain.signature import Signature
from chopmark.domain.versions import Alias, Version
from chopmark.errors import AlreadyRegistered, InvalidRequest
from chopmark.ops.requests import PromoteVersion
from chopmark.sdk.access import Access
from chopmark.sdk.alerts import Alerts
from chopmark.sdk.aliases import Aliases
from chopmark.sdk.audit import Audit
from chopmark.sdk.comparing import Comparison
from chopmark.sdk.draft import Draft, VersionFacts
from chopmark.sdk.endpoints import Endpoints
from chopmark.sdk.experiments import Experiments
from chopmark.sdk.feedback import Feedback
from chopmark.sdk.jobs import Jobs
from chopmark.sdk.lineage import Lineage
from chopmark.sdk.loading import load_version
from chopmark.sdk.models import Models
from chopmark.sdk.monitors import Monitors
from chopmark.sdk.outcomes import Outcomes
from chopmark.sdk.predictions import Predictions
from chopmark.sdk.profiles import Profiles
from chopmark.sdk.profiling import ProfileWishes
from chopmark.sdk.projects import Projects
from chopmark.sdk.results import Page
from chopmark.sdk.rollouts import Rollouts
from chopmark.sdk.stages import Stages
from chopmark.sdk.storage import Storage
from chopmark.sdk.surface import Reference, Surface, checked_mapping
from chopmark.sdk.transport import DryRun, Transport
from chopmark.sdk.trust import Trust
from chopmark.sdk.version_files import Files
from chopmark.sdk.versions import Versions
from chopmark.sdk.webhooks import Webhooks

__all__ = ["Registry"]


class Registry(Surface):
    """A registry: models, versions, stages, aliases, trust and audit.

    Made by `chopmark.open`; usable as a context manager. Threads may share one.

    Attributes
    ----------
    versions, models, aliases, stages, files, projects, profiles, lineage, trust, audit, storage, jobs, webhooks, endpoints,
    experiments, outcomes, feedback, predictions, rollouts, monitors, alerts, access
        The surfaces.
    """

    def __init__(self, transport: Transport, settings: Settings) -> None:
        super().__init__(transport, settings)
        self.versions = Versions(transport, settings)
        self.models = Models(transport, settings)
        self.aliases = Aliases(transport, settings)
        self.stages = Stages(transport, settings)
        self.files = Files(transport, settings)
        self.projects = Projects(transport, settings)
        self.profiles = Profiles(transport, settings)
        self.lineage = Lineage(transport, settings)
        self.trust = Trust(transport, settings)
        self.audit = Audit(transport, settings)
        self.storage = Storage(transport, settings)
        self.jobs = Jobs(transport, settings)
        self.webhooks = Webhooks(transport, settings)
        self.endpoints = Endpoints(transport, settings)
        self.experiments = Experiments(transport, settings)
        self.outcomes = Outcomes(transport, settings)
        self.feedback = Feedback(transport, settings)
        self.predictions = Predictions(transport, settings)
        self.rollouts = Rollouts(transport, settings)
        self.monitors = Monitors(transport, settings)
        self.alerts = Alerts(transport, settings)
        self.access = Access(transport, settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<chopmark registry at {self.location}, project {self._settings.project!r}>"

    @property
    def location(self) -> str:
        """Where the registry is."""
        return self._transport.location

    @property
    def settings(self) -> Settings:
        """The settings it was opened with."""
        return self._settings

    def close(self) -> None:
        """Give back connections and files."""
        self._transport.close()

    def dry_run(self) -> Registry:
        """The same registry, in which every change is rehearsed and undone.

        A call answers what the real call would answer, or raises what it would raise. `register`
        needs bytes in the store; ask `Draft.plan` instead.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> version = registry.register("fraud", {"threshold": 0.7})
        >>> registry.dry_run().promote(version, "staging", reason="try").stage
        'staging'
        >>> registry.get(version).stage
        'development'
        """
        return Registry(DryRun(self._transport), self._settings)

    def on(self, event: str, listener: Callable[[AuditEvent], None]) -> Callable[[], None]:
        """Call a function after each event of that name, in this process.

        Parameters
        ----------
        event
            For example ``version.registered``; ``version.*`` for all of that kind, ``*`` for all.
        listener
            Takes the event. When it raises, that is a warning; the change stands.

        Returns
        -------
        callable
            Ends it.

        Raises
        ------
        InvalidRequest
            When no event is called so; the hint names the nearest.
        """
        return self._transport.on(event, listener)

    def register(
        self,
        name: str,
        model: object = None,
        *,
        path: str | Path | None = None,
        files: Mapping[str, str | Path] | None = None,
        config: Mapping[str, Any] | None = None,
        members: Sequence[Reference] | Mapping[Any, float] | None = None,
        combine: str = "auto",
        uri: str = "",
        digest: str = "",
        format: str = "auto",  # noqa: A002 - the field's word
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        example: object = None,
        signature: Signature | None = None,
        dataset: object = None,
        profile: bool | None = None,
        profile_without: Sequence[str] = (),
        scores: object = None,
        labels: object = None,
        score_threshold: float = 0.5,
        artifacts: Mapping[str, object] | None = None,
        parents: Sequence[Reference] | Mapping[str, Reference] = (),
        **facts: Unpack[VersionFacts],
    ) -> Version:
        """Add a version of a model: bytes first, then rows, all or nothing.

        Parameters
        ----------
        name
            ``[project/]name``; made when it is new.
        model, path, files, config, members, uri
            Exactly one of them: a model object (a `Path` means ``path``); a file or directory; several files (path within
            the version → file); an LLM configuration; members of an ensemble; or the address of
            an external model, with the ``digest`` of its bytes.
        combine
            How an ensemble puts answers together: ``auto`` (labels by vote, numbers by mean), ``mean``,
            ``median``, ``max``, ``vote``.
        format
            Name of a format; ``auto`` takes the safest that fits.
        metrics, params, tags
            Finite numbers; JSON values; texts.
        example, signature
            Example inputs (a data frame or array) to infer the signature from, or the signature.
        dataset
            What it was trained on: a data frame, array, (X, y), path, uri or `DatasetRef`, or a
            list of them.
        profile, profile_without
            Whether its reference profile is kept, by default where there are rows; and columns of which no value is (see
            `Draft.add_dataset`).
        scores, labels, score_threshold
            The model's answers on the rows of ``dataset`` and the truth about them, or the columns that hold them, for the profile; and
            the score from which an answer is taken for positive (see `Draft.add_dataset`).
        artifacts
            Further files or objects by role: ``{"preprocessor": scaler, "explainer/shap.npy":
            values, "evaluation/report.json": path}``.
        parents
            References, or relation → reference.
        facts
            ``semver`` or ``bump`` (which part of the last one to raise; ``auto`` proposes from what
            changed), ``description``, ``card``, ``task``, ``owner``, ``team``, ``risk_tier``,
            ``compliance``, ``business_value``, ``cost_per_request``, ``run_id``,
            ``experiment_id``, ``metadata``, ``allow_twin``, ``allow_breaking``.

        Returns
        -------
        Version
            The new version; the existing one, with a warning, when the same manifest was
            registered before and ``allow_twin`` is not given.

        Raises
        ------
        InvalidRequest, Conflict, GateRefused, Unsupported, IntegrityFailure
            When it is refused; nothing is visible then.
        """
        if isinstance(model, Path):
            model, path = None, model if path is None else path
        if isinstance(model, (str, bytes)):
            msg = f"{shown(model)} is {type(model).__name__}, not a model."
            raise InvalidRequest(msg, hint="For a file or directory: register(name, path='…').")
        given = {
            "model": model,
            "path": path,
            "files": files,
            "config": config,
            "members": members,
            "uri": uri or None,
        }
        what = [key for key, value in given.items() if value is not None]
        if len(what) != 1:
            msg = f"register takes exactly one of {', '.join(given)}; it got {', '.join(what) or 'none'}."
            raise InvalidRequest(msg, hint="For example: register('fraud', model).")
        with self.draft(name, **facts) as draft:
            draft.metrics.update(checked_mapping(metrics, "metrics"))
            draft.params.update(checked_mapping(params, "params"))
            draft.tags.update(checked_mapping(tags, "tags"))
            match what[0]:
                case "model":
                    draft.add_model(model, format=format)
                case "path" if path is not None:
                    draft.add_path(path, format=format)
                case "files" if files is not None:
                    draft.add_files(files, format=format)
                case "config" if config is not None:
                    draft.set_config("llm_config", config)
                case "members" if members is not None:
                    draft.set_members(members, combine=combine)
                case _:
                    draft.set_config("external", {"uri": uri, "digest": digest})
            wishes = ProfileWishes(profile, profile_without, scores, labels, score_threshold)
            _add_facts(draft, model, example, signature, artifacts, parents)
            _add_datasets(draft, dataset, wishes)
            version = draft.register()
        if not draft.created:
            warnings.warn(_told_again(draft, version), AlreadyRegistered, stacklevel=2)
        return version

    def draft(self, name: str, **facts: Unpack[VersionFacts]) -> Draft:
        """Put a version together step by step.

        As a context manager it registers when the block ends; when the block raises, nothing is
        visible. `register` is the short form.
        """
        return Draft(self._transport, self._settings, name, **facts)

    def get(self, ref: Reference) -> Version:
        """The version a reference means (see ``versions.get``)."""
        return self.versions.get(ref)

    def load(self, ref: Reference, *, verify: Verify | None = None) -> Any:
        """Build the model of a version from verified bytes.

        Parameters
        ----------
        ref
            Any reference: ``fraud@champion``, ``fraud#production``, ``fraud:^1.4`` …
        verify
            ``always`` hashes every byte; ``changed`` leaves out large files that were hashed here before and are the same
            since (device, inode, size, times of the last write and change). By default the setting ``verify``.

        Returns
        -------
        object
            The model; for an ensemble an `Ensemble`, for an LLM configuration an `LlmConfig`.

        Raises
        ------
        IntegrityFailure
            When bytes are missing or changed; nothing was built then.
        Denied
            When it would run code or build unknown types and no trust is recorded.
        NotFound
            When the reference means nothing.
        """
        return load_version(self._transport, _verifying(self._settings, verify), self._version(ref))

    def search(self, where: str = "", **options: Any) -> Page[Version]:
        """Versions that meet a filter (see ``versions.search``)."""
        return self.versions.search(where, **options)

    def compare(self, refs: Sequence[Reference], **options: Any) -> Comparison:
        """Put versions side by side, and run them on data (see ``versions.compare``)."""
        return self.versions.compare(refs, **options)

    def promote(self, ref: Reference, stage: str, *, reason: str) -> Version:
        """Move a version to another stage.

        Parameters
        ----------
        ref
            The version.
        stage
            ``development``, ``staging``, ``canary`` or ``production``.
        reason
            Why; kept in the history and the audit.

        Raises
        ------
        Conflict
            When that move is not allowed; lists those that are.
        GateRefused
            When a rule of the project forbids it.
        """
        request = PromoteVersion(ref=self._ref(ref), stage=stage, reason=reason)
        moved: Version = self._call(request)
        return moved

    def alias(self, alias: str, target: Reference, *, reason: str = "") -> Alias:
        """Point an alias to a version: ``alias("fraud@champion", v)`` (see ``aliases.set``)."""
        return self.aliases.set(alias, target, reason=reason)


def _told_again(draft: Draft, version: Version) -> str:
    msg = f"The same content was registered before as {version.ref}; nothing was added."
    if any(version.metrics.get(key) != float(value) for key, value in draft.metrics.items()):
        msg += " Its metrics stay as they were: record new ones with versions.evaluate."
    if any(version.tags.get(key) != value for key, value in draft.tags.items()):
        msg += " Its tags stay as they were: change them with versions.update."
    return msg


def _add_facts(
    draft: Draft,
    model: object,
    example: object,
    signature: Signature | None,
    artifacts: Mapping[str, object] | None,
    parents: Sequence[Reference] | Mapping[str, Reference],
) -> None:
    if signature is not None:
        draft.set_signature(signature)
    elif example is not None:
        draft.set_example(example, model=model)
    for key, source in (artifacts or {}).items():
        draft.add_artifact(key, source)
    if isinstance(parents, Mapping):
        for relation, reference in parents.items():
            draft.add_parent(reference, relation)
    else:
        for reference in [parents] if isinstance(parents, (str, Version)) else parents:
            draft.add_parent(reference)


def _add_datasets(draft: Draft, dataset: object, wishes: ProfileWishes) -> None:
    listed = dataset if isinstance(dataset, list) else [] if dataset is None else [dataset]
    if len(listed) != 1 and (wishes.scores is not None or wishes.labels is not None):
        msg = f"scores and labels belong to the rows of one data set; there are {len(listed):,}."
        raise InvalidRequest(msg, hint="Pass one as dataset=, or use draft.add_dataset(data, scores=…) for each.")
    if not listed and wishes.are_definite:
        raise InvalidRequest("There is no data set to profile.", hint="Pass its rows as dataset=.")
    for data in listed:
        draft.add_dataset(
            data,
            profile=wishes.profile,
            profile_without=wishes.without,
            scores=wishes.scores,
            labels=wishes.labels,
            score_threshold=wishes.threshold,
        )


def _verifying(settings: Settings, verify: Verify | None) -> Settings:
    if verify is None:
        return settings
    if verify not in get_args(Verify):
        raise InvalidRequest(f"There is no way to verify called {shown(verify)}.", hint="Use 'changed' or 'always'.")
    return msgspec.structs.replace(settings, verify=verify)
