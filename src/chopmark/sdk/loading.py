"""From a reference to a model: verified bytes, a trust decision, a look at the framework."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from chopmark.abc.formats import ANY_CODE
from chopmark.base.settings import Settings
from chopmark.domain.llm import parse_llm_config
from chopmark.domain.manifest import Manifest
from chopmark.domain.refs import parse_ref
from chopmark.domain.trust import judge_trust
from chopmark.domain.versions import Version
from chopmark.errors import (
    Conflict,
    Denied,
    DeprecatedVersion,
    FrameworkMismatch,
    IntegrityFailure,
    NotFound,
    Unsupported,
)
from chopmark.formats import framework_mismatch, get_format, installed_environment
from chopmark.ops.requests import GetManifest, GetTrust, GetVersion, TrustVersion
from chopmark.ops.results import TrustList
from chopmark.sdk.ensemble import Ensemble, LoadedMember, check_combine
from chopmark.sdk.files import MODEL_DIRECTORY, StoredFiles, files_below
from chopmark.sdk.progress import progress_bar
from chopmark.sdk.transport import DryRun, Transport

__all__ = ["load_artifact", "load_version", "trusted_names"]


def load_version(transport: Transport, settings: Settings, version: Version) -> Any:
    """Build the model of a version, and count that it was loaded (of an ensemble, its members too).

    Returns
    -------
    object
        The model of an ``artifact``, an `Ensemble`, or an `LlmConfig`.

    Raises
    ------
    Denied
        When it would run code or build unknown types without trust.
    IntegrityFailure
        When bytes are missing or changed; nothing was built then.
    Unsupported
        For an ``external`` version, or when a library is missing.
    Conflict
        When the version is not ready, or the framework differs and the setting says ``error``.
    """
    if version.state != "ready":
        msg = f"{version.ref} is {version.state}, not ready."
        raise Conflict(msg)
    _warn_when_deprecated(version)
    match version.kind:
        case "llm_config":
            model: Any = parse_llm_config(version.config)
        case "external":
            msg = f"{version.ref} is external: its bytes are at {version.config.get('uri')}."
            raise Unsupported(msg, hint="Load it from there with its own library.")
        case "ensemble":
            model = _load_ensemble(transport, settings, version)
        case "artifact":
            model = _load_files(transport, settings, version, MODEL_DIRECTORY, version.format)
    transport.count_load(version.id)
    return model


def load_artifact(transport: Transport, settings: Settings, version: Version, key: str) -> Any:
    """Build an extra artifact that was registered as an object.

    Raises
    ------
    NotFound
        When the version has none of that key, or it is a plain file.
    """
    manifest: Manifest = transport.call(GetManifest(ref=version.ref))
    format_name = manifest.artifact_formats.get(key)
    if format_name is None:
        msg = f"{version.ref} has no artifact {key!r} that was stored as an object."
        known = ", ".join(manifest.artifact_formats) or "none"
        raise NotFound(msg, hint=f"It has {known}; plain files are read with files.open.")
    return _load_files(transport, settings, version, key, format_name, manifest)


def _load_files(
    transport: Transport,
    settings: Settings,
    version: Version,
    prefix: str,
    format_name: str,
    manifest: Manifest | None = None,
) -> Any:
    manifest = manifest or transport.call(GetManifest(ref=version.ref))  # compared with the row: trust rests on it
    trusted = trusted_names(transport, settings, version)
    _compare_framework(settings, version)
    entries = files_below(manifest.files, prefix)
    total = sum(f.size_bytes for f in entries.values())
    with (
        progress_bar(f"Loading {version.ref}", total, settings.progress) as told,
        StoredFiles(transport.store, version.ref, entries, told, verify=settings.verify) as files,
    ):
        return get_format(format_name).load(files, trusted=trusted)


def trusted_names(transport: Transport, settings: Settings, version: Version) -> Sequence[str]:
    """Types that a version may build, by the setting and what was decided; a decision that the setting stands for is recorded.

    Raises
    ------
    Denied
        When it would run code or build unknown types without trust.
    """
    if not version.runs_code and not version.untrusted:
        return ()
    mode = settings.trust
    if mode == "own_registry" and not transport.own:
        mode = "marked_only"
    listed: TrustList = transport.call(GetTrust(ref=version.ref))
    verdict = judge_trust(mode, version, listed.items)
    if verdict.action == "refuse":
        hint = (
            f"Look at where it comes from, then: chopmark trust grant {version.ref} --reason '…'"
            if mode != "never"
            else "Register it again in a format that brings no code, such as skops or onnx."
        )
        raise Denied(verdict.reason + ".", hint=hint, names=list(version.untrusted))
    if verdict.action == "record" and isinstance(transport, DryRun):
        msg = f"Loading {version.ref} would record a trust decision, and a dry run records nothing."
        raise Denied(msg, hint="Load it from the registry itself.", names=list(version.untrusted))
    if verdict.action == "record":
        transport.call(
            TrustVersion(
                ref=version.ref,
                names=verdict.names,
                basis="own_registry",
                reason="the trust setting is 'own_registry'",
            )
        )
    return (*verdict.names, ANY_CODE) if version.runs_code else verdict.names


def _compare_framework(settings: Settings, version: Version) -> None:
    if settings.framework_mismatch == "ignore":
        return
    recorded = version.environment
    difference = framework_mismatch(recorded, installed_environment(recorded))
    if not difference:
        return
    msg = f"{version.ref}: {difference}"
    if settings.framework_mismatch == "error":
        raise Conflict(msg, hint="Install that version, or set framework_mismatch to 'warn'.")
    warnings.warn(msg, FrameworkMismatch, stacklevel=_CALLER)


def _warn_when_deprecated(version: Version) -> None:
    if version.deprecation is None and version.stage != "deprecated":
        return
    mark = version.deprecation
    msg = f"{version.ref} is deprecated"
    if mark is not None:
        msg += f" from {mark.at:%Y-%m-%d}: {mark.reason}"
        msg += f"; use {mark.successor}" if mark.successor else ""
    warnings.warn(msg, DeprecatedVersion, stacklevel=_CALLER)


_CALLER = 5  # frames between the warning and the user's own line


def _load_ensemble(transport: Transport, settings: Settings, version: Version) -> Ensemble:
    members = []
    for parent in version.parents:
        if parent.relation != "ensemble_member_of":
            continue
        member: Version = transport.call(GetVersion(ref=str(parse_ref(parent.ref)), deleted=True))
        if member.digest != parent.digest:
            msg = f"The member {parent.ref} of {version.ref} is not the version it was registered with."
            raise IntegrityFailure(msg, hint="Register the ensemble anew.", ref=version.ref)
        model = load_version(transport, settings, member)
        members.append(LoadedMember(member, model, parent.weight or 1.0))
    return Ensemble(tuple(members), check_combine(version.config.get("combine", "mean")))
