"""Reaching an object store: addresses, credentials, limits, and what its errors mean to us. The one home of obstore."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from chopmark.errors import Denied, InvalidRequest, NotFound, TimedOut, Unavailable, Unsupported

if TYPE_CHECKING:
    from obstore.store import AzureStore, ClientConfig, GCSStore, RetryConfig, S3Store

    Objects = AzureStore | GCSStore | S3Store

__all__ = ["SCHEMES", "Address", "Limits", "calling", "connect", "parse_address"]

SCHEMES = {"s3": "s3", "gs": "gcs", "az": "azure"}
"""Schemes of addresses and the extra that brings what each needs."""

_ERROR_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much: every request, retry and upload ends.

    Attributes
    ----------
    timeout_s
        For one request with its body; a part of `part_bytes` has to pass within it.
    connect_timeout_s
        For opening a connection.
    max_retries, retry_timeout_s
        How often, and until when after the first attempt, a request that failed on the way is repeated.
    multipart_from_bytes
        Blobs larger than this are uploaded in parts.
    part_bytes
        Size of a part of an upload or a download; grows where an upload would have more than 10,000. Uploads to Azure
        always have parts of 8 MiB.
    parallel
        Parts on the way at once; together with `part_bytes` it bounds the memory of a transfer.
    """

    timeout_s: float = 60.0
    connect_timeout_s: float = 5.0
    max_retries: int = 5
    retry_timeout_s: float = 60.0
    multipart_from_bytes: int = 32 << 20
    part_bytes: int = 8 << 20
    parallel: int = 4


@dataclass(frozen=True, slots=True)
class Address:
    """Where blobs are: a kind of store, its bucket or container, and a prefix in it."""

    scheme: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}".rstrip("/")


def parse_address(url: str) -> Address:
    """Read ``s3://bucket/prefix``, ``gs://bucket/prefix`` or ``az://container/prefix``.

    Raises
    ------
    InvalidRequest
        When it is none of these, or holds credentials, a port, a query or a fragment.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise InvalidRequest(
            f"{url[:200]!r} is no address of a blob store.",
            hint="Use a path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.",
        )
    if "@" in parts.netloc or ":" in parts.netloc or parts.query or parts.fragment or not parts.netloc:
        raise InvalidRequest(
            f"A blob store is addressed as {parts.scheme}://bucket/prefix and nothing else.",
            hint="Give endpoint and credentials as settings or in the environment, not in the address.",
        )
    prefix = parts.path.strip("/")
    if any(segment in {"", ".", ".."} for segment in prefix.split("/")) and prefix:
        raise InvalidRequest(f"The prefix {prefix!r} has an empty or a dotted part.")
    return Address(parts.scheme, parts.netloc, prefix)


def connect(
    address: Address,
    limits: Limits,
    *,
    endpoint_url: str | None = None,
    allow_http: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Objects:
    """Build the client; nothing is sent yet.

    Parameters
    ----------
    endpoint_url
        Of a store that is not the vendor's own. Plain HTTP is accepted to this machine; elsewhere ``allow_http`` says that
        the network is trusted with credentials and bytes.
    options
        Configuration by obstore's names (``access_key_id``, ``region``, ``account_key``, …); what is left out comes from
        the environment variables and machine roles that obstore reads.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError as error:
        extra = SCHEMES[address.scheme]
        raise Unsupported(
            f"{address} needs the library obstore, which is not installed.",
            hint=f"pip install 'chopmark[{extra}]'",
        ) from error
    config = dict(options or {})
    if endpoint_url is not None:
        config["base_url" if address.scheme == "gs" else "endpoint"] = endpoint_url
        if address.scheme == "s3":
            config.setdefault("region", "us-east-1")  # part of the signature; S3-compatible servers accept it
    client: ClientConfig = {
        "timeout": timedelta(seconds=limits.timeout_s),
        "connect_timeout": timedelta(seconds=limits.connect_timeout_s),
        "allow_http": _may_use_http(endpoint_url, allow_http=allow_http),
    }
    retry: RetryConfig = {
        "max_retries": limits.max_retries,
        "retry_timeout": timedelta(seconds=limits.retry_timeout_s),
    }
    common: dict[str, Any] = {"prefix": address.prefix or None, "client_options": client, "retry_config": retry}
    kinds: dict[str, Any] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    try:
        store: Objects = kinds[address.scheme](address.bucket, config=config, **common)
    except (BaseError, ValueError) as error:
        raise InvalidRequest(
            f"The settings for {address} are not usable: {_text(error)}",
            hint="Option names are obstore's, such as access_key_id, region or account_key.",
        ) from error
    return store


def _may_use_http(endpoint_url: str | None, *, allow_http: bool) -> bool:
    if endpoint_url is None or urlsplit(endpoint_url).scheme == "https":
        return allow_http
    parts = urlsplit(endpoint_url)
    if parts.scheme != "http" or not parts.hostname:
        raise InvalidRequest(f"{endpoint_url!r} is no endpoint.", hint="Write it like https://s3.example:8333.")
    if not allow_http and not _is_loopback(parts.hostname):
        raise InvalidRequest(
            f"{endpoint_url} is plain HTTP: credentials and models would cross the network unprotected.",
            hint="Use https, or set allow_http where the network itself is protected.",
        )
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def calling(doing: str, place: object) -> Iterator[None]:
    """Turn the errors of obstore into ours.

    `NotFound` for what is not there (the caller knows whether it asked for a blob), `Denied` for refused credentials,
    `TimedOut` and `Unavailable` for the rest. ``AlreadyExistsError`` passes: it is an answer.
    """
    from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except AlreadyExistsError:
        raise
    except FileNotFoundError as error:
        raise NotFound(
            f"Could not {doing}: {place} answers that it is not there.",
            hint="Check the name of the bucket or container, and that it exists.",
        ) from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise Denied(
            f"Could not {doing}: {place} refuses the credentials. {_text(error)}",
            hint="Check key, secret, region and the policy of the bucket or container.",
        ) from error
    except (BaseError, ValueError) as error:
        text = _text(error)
        # The kind of a failure on the way is only in its text.
        kind = TimedOut if "timed out" in str(error) or "TimedOut" in str(error) else Unavailable
        raise kind(
            f"Could not {doing} in {place}: {text}",
            hint="Check the endpoint and the network; the request was repeated as often as the limits allow.",
        ) from error


def _text(error: BaseException) -> str:
    """The first line of an error: what follows is a dump of Rust structures."""
    first = str(error).strip().split("\n", 1)[0].strip()
    return first[:_ERROR_CHARACTERS]
