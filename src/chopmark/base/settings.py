"""Settings, from five places in one order: arguments, environment, project file, user file, defaults.

The environment's names are ``CHOPMARK_`` and the field in capitals. The project file is
``chopmark.toml`` in the working directory or the nearest directory above it; the user file is
``config.toml`` in ``$XDG_CONFIG_HOME/chopmark`` (``~/.config/chopmark``). Relative paths in a file
are relative to that file. Nothing else in the package reads the environment.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from chopmark.base.jsons import converted, explained
from chopmark.errors import InvalidRequest

__all__ = ["PROJECT_FILE", "Origin", "Resolved", "Settings", "load_settings", "named_secrets", "pairs_in"]

PROJECT_FILE = "chopmark.toml"
PREFIX = "CHOPMARK_"
_FILE_BYTES_MAX = 1_000_000
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,99}")
_PATH_FIELDS = ("url", "store_url", "cache_dir", "audit_key_file", "gateway_log_dir")

Origin = str
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Bytes = Annotated[int, Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting there is, with its default.

    Attributes
    ----------
    url
        Where the registry is: a directory, or ``https://…`` of a server.
    database_url
        Database, when it is not the SQLite file in that directory: ``postgresql://…``.
    store_url
        Blob store, when it is not in that directory: a directory, ``s3://bucket/prefix``,
        ``gs://…`` or ``az://container/prefix``.
    store_endpoint, store_region
        Of an S3-compatible or Azure store that is not the cloud's own.
    db_schema, db_table_prefix
        PostgreSQL schema, and what every table name starts with.
    project
        Project of references that name none.
    actor
        Who acts; the operating system's user when empty.
    trust
        ``own_registry`` loads code that this registry's own actors registered, and records that
        it did; ``marked_only`` only what a person marked as trusted; ``never`` none.
    framework_mismatch
        On loading with another minor version of the framework than recorded: ``warn``, ``error``
        or ``ignore``.
    compression
        In a store that is a directory, ``zstd`` compresses a blob where a sample says it pays;
        ``none`` never. Object stores keep blobs as they are.
    small_blobs
        In a store that is a directory, ``packed`` puts files below 64 KiB many to a pack, whose index is for one machine;
        ``files`` keeps each by itself, as a directory needs that several machines write to.
    safetensors
        In a store that is a directory, ``whole`` keeps a safetensors file as it is; ``tensors`` in one part a tensor, so
        that versions that share tensors (a frozen base, a file written anew) share their bytes. It is read the same way, more
        slowly; of models whose every tensor changes nothing is saved.
    verify
        When files of a model are hashed that is loaded: ``changed``, unless they were hashed in this store before and are
        the same since (device, inode, size, times of the last write and change); ``always``.
    cache_dir, cache_quota_bytes
        Local cache before a remote store (in the user's cache directory when empty), and its
        limit.
    offline_hours
        For so long after a server's answer an alias, a stage, the latest version or a trust decision counts when the server
        does not answer; versions by number, SemVer or digest, once loaded, stay loadable from the cache. 0: nothing is
        kept of its answers.
    lock_timeout_s, connect_timeout_s
        Longest wait for another writer, and for a database or store to answer.
    pool_size
        Most connections to a database.
    audit_key_file
        Where the key is that signs checkpoints of the audit (``audit.key`` in the user's directory
        of settings when empty); never in the registry.
    gc_grace_hours
        A collection leaves alone what was put within so many hours; longer than the longest
        registration takes.
    purge_after_days
        How long a deleted version can be restored before a collection purges it.
    token
        Says to a server who one is. A secret: in the environment or the user's file, never in the project's.
    request_timeout_s
        Longest wait for a server's answer.
    retry_for_s
        For so long a call that may be repeated is repeated while a server refuses connections or says that now is not the
        time, as while it restarts; 0: a few times within half a second.
    serve_host, serve_port
        Where `chopmark serve` listens.
    serve_log
        How it writes a line of each request to standard error: ``text`` or ``json``.
    serve_threads, serve_transfers
        Ops, and bodies of artifacts each way, that it works on at once.
    serve_waiting_max
        Further requests that may wait for a thread; those beyond are refused, to be sent again.
    serve_body_bytes_max
        Longest body that is not an artifact's.
    serve_timeout_s
        An op that takes longer is answered with an error, though it may still be done.
    serve_connections_max
        Connections at once. Beyond them the one that has waited longest for a request is closed; where none waits, the new
        one is refused.
    serve_head_s
        How long the head of a request may take.
    serve_idle_s, serve_slowest_bytes_per_s
        A client that sends nothing of a body, or takes nothing of an answer, for so long is cut off; so is one that after
        that time has sent fewer bytes a second.
    serve_stop_s
        How long it goes on with what it works on when it is told to stop.
    worker_jobs
        Jobs that a worker does at one time.
    worker_poll_s
        How often it looks for jobs of which it hears nothing.
    worker_lease_s
        After so long without a sign of life its jobs are another's.
    worker_stop_s
        How long it waits for what it works on when it is told to stop, before it hands it back.
    worker_job_timeout_s
        A job that takes longer is left, and tried again.
    serve_direct_urls
        ``on`` sends who asks for it to the object store itself, by an address that is good for five minutes; the store has to
        be reached by the clients. ``off``: all bytes pass through the server.
    serve_proxies
        Addresses and networks of proxies before the server, as ``10.0.0.5, 10.1.0.0/16``: only these are believed when they say
        for whom they ask (``X-Forwarded-For``, ``X-Forwarded-Proto``).
    serve_trace_endpoint
        Where spans of requests are sent, by OTLP over HTTP: ``http://127.0.0.1:4318/v1/traces``. None unless set.
    serve_gateway
        Whether `chopmark serve` answers inference requests to the registry's endpoints, too.
    gateway_url
        Where `registry.endpoints.predict` asks; the registry's server when empty, or a gateway that serves the endpoint.
    gateway_poll_s
        How often a gateway asks for changes of which it hears nothing.
    gateway_endpoints
        Endpoints that a gateway of this process serves, and no others: ``fraud-api, risk/score``; all that are local when empty.
    gateway_bodies_bytes_max
        What large bodies (64 KiB and more) of inference requests may come to in sum, from their first byte to their answer; a
        request beyond that is answered with 503, to be sent again. One by itself is bounded by its endpoint only.
    gateway_log_dir
        Directory on this machine's disk where a gateway writes samples of endpoints that ask for a log; none is written when empty.
        Needs ``pyarrow``.
    gateway_log_bytes_max
        What the files of one gateway there may come to; the oldest go first.
    gateway_log_close_s
        How long rows wait for their file: what a gateway that is killed loses.
    llm_providers
        Where language models are served, by the provider that their configurations name; what speaks OpenAI's protocol:
        ``openai=https://api.openai.com/v1, vllm=http://10.0.0.5:8000/v1``.
    llm_keys
        Environment variables that hold the providers' keys: ``openai=OPENAI_API_KEY``.
    llm_at_once
        Requests that are asked of a provider at one time, for each version of a configuration; further ones wait, as many as its
        endpoint lets.
    llm_connect_s, llm_first_piece_s, llm_between_pieces_s
        How long a provider may take to be connected to, until a stream begins, and from one piece of an answer to the next.
    llm_timeout_s
        How long a whole answer may take, where the configuration has no limit of its own.
    llm_retries_max
        How often a model is asked again that has too much to do or is not reached, before the next one is.
    llm_answer_bytes_max
        Longest answer in one piece, and longest piece of one that is streamed.
    serve_auth
        ``tokens`` asks everybody for a token; ``none`` takes whoever reaches the server for its own user.
    serve_open
        Without tokens the server listens to this machine only, unless this says ``yes, to everybody``.
    serve_token_cache_s
        For so long another server of the same registry may still take a token that was revoked.
    serve_token_rate_per_s, serve_address_rate_per_s
        Requests a second with one token, and from one address, in the long run; 0 is without a limit.
    serve_failures_max
        So many wrong tokens from one address cost nothing; after each further one it waits twice as long.
    oidc_issuer, oidc_audience
        Whose tokens are taken beside those of the registry, and what they call this server.
    oidc_jwks_url
        Where the issuer's keys are, when it does not tell itself.
    oidc_name_claim, oidc_groups_claim
        What of such a token is the actor's name, and what its groups. A name must be one that nobody can choose for
        themselves: it is who the registry's members are.
    oidc_group_roles
        Roles of the issuer's groups, beside those that the registry's members give them:
        ``ml-admins=*:admin, risk-team=risk:maintainer``.
    webhook_allow
        Hosts and networks that webhooks may reach beside public addresses: ``alerts.internal, 10.1.0.0/16``. Plain HTTP is
        for these only.
    webhook_timeout_s, webhook_connect_timeout_s
        How long sending something may take in all, and looking up and connecting.
    webhook_at_once
        Receivers that a worker sends to at one time; those that fail get at most half.
    webhook_key
        Base64 of 32 bytes by which secrets of webhooks are encrypted where they are stored, the same for all servers and
        workers. A secret. When empty, a registry in a directory has a file for it, ``webhook.key``.
    webhook_apprise
        Receivers of the kind ``apprise`` are there only when this says ``yes, to any address``: that library connects by
        itself, and heeds none of this.
    progress
        ``auto`` shows a bar for what takes long when a terminal is there; ``never`` none.
    """

    url: str = ".chopmark"
    database_url: str = ""
    store_url: str = ""
    store_endpoint: str = ""
    store_region: str = ""
    db_schema: str = ""
    db_table_prefix: str = ""
    project: str = "default"
    actor: str = ""
    trust: Literal["own_registry", "marked_only", "never"] = "own_registry"
    framework_mismatch: Literal["warn", "error", "ignore"] = "warn"
    compression: Literal["zstd", "none"] = "zstd"
    small_blobs: Literal["packed", "files"] = "packed"
    safetensors: Literal["whole", "tensors"] = "whole"
    verify: Literal["changed", "always"] = "changed"
    cache_dir: str = ""
    cache_quota_bytes: Bytes = 20 * 1024**3
    offline_hours: Annotated[float, Meta(ge=0, le=8_760)] = 24.0
    lock_timeout_s: Seconds = 30.0
    connect_timeout_s: Seconds = 10.0
    pool_size: Annotated[int, Meta(ge=1, le=1000)] = 8
    audit_key_file: str = ""
    gc_grace_hours: Annotated[float, Meta(ge=0, le=87_600)] = 24.0
    purge_after_days: Annotated[float, Meta(ge=0, le=36_500)] = 30.0
    token: str = ""
    request_timeout_s: Seconds = 120.0
    retry_for_s: Annotated[float, Meta(ge=0, le=3_600)] = 10.0
    serve_host: str = "127.0.0.1"
    serve_port: Annotated[int, Meta(ge=0, le=65_535)] = 8400
    serve_log: Literal["text", "json"] = "text"
    serve_threads: Annotated[int, Meta(ge=1, le=1000)] = 8
    serve_transfers: Annotated[int, Meta(ge=1, le=1000)] = 32
    serve_waiting_max: Annotated[int, Meta(ge=1, le=100_000)] = 256
    serve_body_bytes_max: Bytes = 64 * 1024**2
    serve_timeout_s: Seconds = 60.0
    serve_connections_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    serve_head_s: Seconds = 15.0
    serve_idle_s: Seconds = 30.0
    serve_slowest_bytes_per_s: Annotated[float, Meta(gt=0)] = 1_024.0
    serve_stop_s: Seconds = 20.0
    worker_jobs: Annotated[int, Meta(ge=1, le=100)] = 2
    worker_poll_s: Annotated[float, Meta(ge=0.05, le=3_600)] = 1.0
    worker_lease_s: Annotated[float, Meta(ge=0.5, le=86_400)] = 60.0
    worker_stop_s: Annotated[float, Meta(ge=0, le=3_600)] = 20.0
    worker_job_timeout_s: Annotated[float, Meta(gt=0, le=30 * 86_400)] = 6 * 3_600.0
    serve_direct_urls: Literal["off", "on"] = "off"
    serve_proxies: str = ""
    serve_trace_endpoint: str = ""
    serve_gateway: Literal["on", "off"] = "on"
    gateway_url: str = ""
    gateway_poll_s: Annotated[float, Meta(ge=0.05, le=60)] = 0.25
    gateway_endpoints: str = ""
    gateway_bodies_bytes_max: Bytes = 128 * 1024**2
    gateway_log_dir: str = ""
    gateway_log_bytes_max: Bytes = 1024**3
    gateway_log_close_s: Annotated[float, Meta(ge=1, le=3_600)] = 60.0
    llm_providers: str = ""
    llm_keys: str = ""
    llm_at_once: Annotated[int, Meta(ge=1, le=100_000)] = 100
    llm_connect_s: Seconds = 5.0
    llm_first_piece_s: Seconds = 60.0
    llm_between_pieces_s: Seconds = 30.0
    llm_timeout_s: Seconds = 600.0
    llm_retries_max: Annotated[int, Meta(ge=0, le=20)] = 2
    llm_answer_bytes_max: Annotated[int, Meta(ge=1_024, le=1 << 30)] = 16 * 1024**2
    serve_auth: Literal["tokens", "none"] = "tokens"
    serve_open: Literal["", "yes, to everybody"] = ""
    serve_token_cache_s: Annotated[float, Meta(ge=0, le=300)] = 5.0
    serve_token_rate_per_s: Annotated[float, Meta(ge=0, le=1_000_000)] = 1_000.0
    serve_address_rate_per_s: Annotated[float, Meta(ge=0, le=1_000_000)] = 2_000.0
    serve_failures_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 10
    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_jwks_url: str = ""
    oidc_name_claim: str = "sub"
    oidc_groups_claim: str = "groups"
    oidc_group_roles: str = ""
    webhook_allow: str = ""
    webhook_timeout_s: Annotated[float, Meta(gt=0, le=60)] = 15.0
    webhook_connect_timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    webhook_at_once: Annotated[int, Meta(ge=1, le=100)] = 8
    webhook_key: str = ""
    webhook_apprise: Literal["", "yes, to any address"] = ""
    progress: Literal["auto", "never"] = "auto"


class Resolved(msgspec.Struct, frozen=True):
    """Settings, and where each value came from.

    Attributes
    ----------
    settings, origins
        The values, and for each field its layer.
    unknown
        Names in the environment that look like ours and are no setting: perhaps mistyped.
    """

    settings: Settings
    origins: dict[str, Origin]
    unknown: tuple[str, ...] = ()


def load_settings(
    arguments: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Resolved:
    """Put the layers together.

    Parameters
    ----------
    arguments
        What the caller gave; None values are not given.
    environ
        Environment, that of the process by default.
    directory
        Where to look for the project file, the working directory by default.

    Raises
    ------
    InvalidRequest
        When a name is unknown or a value does not fit; says which layer it came from.
    """
    environ = os.environ if environ is None else environ
    directory = Path.cwd() if directory is None else directory
    user, project = _user_file(environ), _project_file(directory)
    layers: list[tuple[Origin, Mapping[str, Any]]] = [
        *([(str(user), _read_file(user))] if user else []),
        *([(str(project), _read_file(project))] if project else []),
        ("environment", _from_environment(environ)),
        ("argument", {k: v for k, v in (arguments or {}).items() if v is not None}),
    ]
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = dict.fromkeys(Settings.__struct_fields__, "default")
    for origin, layer in layers:
        _convert(layer, origin)
        values.update(layer)
        origins.update(dict.fromkeys(layer, origin))
    settings = _convert(values, "settings")
    if not settings.actor:
        settings = msgspec.structs.replace(settings, actor=_system_user(environ))
        origins["actor"] = "operating system"
    if not settings.cache_dir:
        base = environ.get("XDG_CACHE_HOME") or str(_home(environ) / ".cache")
        settings = msgspec.structs.replace(settings, cache_dir=str(Path(base) / "chopmark"))
    if not settings.audit_key_file:
        settings = msgspec.structs.replace(settings, audit_key_file=str(_user_directory(environ) / "audit.key"))
    return Resolved(settings, origins, _unknown(environ))


def pairs_in(setting: str, text: str) -> dict[str, str]:
    """A setting of the form ``name=value, name=value``.

    Raises
    ------
    InvalidRequest
        When it has another form, or a name twice.

    >>> pairs_in("llm_providers", "openai=https://api.openai.com/v1, vllm=http://10.0.0.5:8000/v1")
    {'openai': 'https://api.openai.com/v1', 'vllm': 'http://10.0.0.5:8000/v1'}
    """
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not name or not equals or not value:
            msg = f"A part of the setting {setting} is no name and value with = between."
            raise InvalidRequest(msg, hint="Write it like openai=…, vllm=….")
        if name in pairs:
            raise InvalidRequest(f"The setting {setting} holds {name} twice.")
        pairs[name] = value
    return pairs


def named_secrets(setting: str, text: str, *, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Secrets from the environment variables that a setting names, as ``openai=OPENAI_API_KEY``. They are kept out of `Settings`.

    Raises
    ------
    InvalidRequest
        When there is no such variable, or it holds what cannot be sent in a header; the message never holds its value.
    """
    environ = os.environ if environ is None else environ
    found: dict[str, str] = {}
    for name, variable in pairs_in(setting, text).items():
        if not _VARIABLE.fullmatch(variable):  # and so perhaps the secret itself: it is not repeated
            msg = f"The setting {setting} names no environment variable for {name}."
            raise InvalidRequest(msg, hint="A variable's name has capitals, digits and underscores: OPENAI_API_KEY.")
        value = environ.get(variable, "").strip()
        if not value:
            msg = f"The setting {setting} takes the secret of {name} from {variable}, which is not set."
            raise InvalidRequest(msg, hint="Set that environment variable where this process is started.")
        if not value.isascii() or not value.isprintable():
            raise InvalidRequest(f"What the environment variable {variable} holds cannot be sent as a key.")
        found[name] = value
    return found


def _convert(values: Mapping[str, Any], origin: Origin) -> Settings:
    try:
        return converted(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        name = "the call" if origin == "argument" else origin
        msg = f"A setting in {name} is not valid: {explained(error, Settings)}."
        hint = "Mend it there or take it out; in the environment its name is CHOPMARK_ and the setting in capitals."
        raise InvalidRequest(msg, hint=hint) from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    names = {PREFIX + field.upper(): field for field in Settings.__struct_fields__}
    return {names[k]: v for k, v in environ.items() if k in names and v != ""}


def _unknown(environ: Mapping[str, str]) -> tuple[str, ...]:
    known = {PREFIX + field.upper() for field in Settings.__struct_fields__}
    return tuple(sorted(k for k in environ if k.startswith(PREFIX) and k not in known))


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or environ.get("USERPROFILE") or ".")


def _user_file(environ: Mapping[str, str]) -> Path | None:
    file = _user_directory(environ) / "config.toml"
    return file if _is_file(file) else None


def _user_directory(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CONFIG_HOME") or str(_home(environ) / ".config")) / "chopmark"


def _project_file(directory: Path) -> Path | None:
    for parent in (directory, *directory.parents):
        file = parent / PROJECT_FILE
        if _is_file(file):
            return file
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # somebody else's home: what may not be looked into holds no settings for us
        return False


def _read_file(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _FILE_BYTES_MAX:
            msg = f"The settings file {file} is larger than {_FILE_BYTES_MAX:,} bytes."
            raise InvalidRequest(msg)
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"The settings file {file} cannot be read: {error}."
        raise InvalidRequest(msg) from error
    for name in _PATH_FIELDS:
        text = values.get(name)
        if isinstance(text, str) and text and "://" not in text:
            values[name] = str((file.parent / text).resolve())
    return values


def _system_user(environ: Mapping[str, str]) -> str:
    for name in ("LOGNAME", "USER", "USERNAME"):
        if environ.get(name):
            return environ[name]
    if not hasattr(os, "getuid"):
        return "unknown"
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user need not be in the password database
        return f"uid-{os.getuid()}"
