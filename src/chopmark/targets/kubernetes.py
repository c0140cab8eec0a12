"""The target ``kubernetes``: an endpoint as an InferenceService of KServe, and a route of the Gateway API to it.

The pods are gateways of ours that are told to serve this endpoint and no other (`chopmark gateway --endpoint`). So Kubernetes says how many
there are, where they run and who reaches them; which version answers whom is dealt by the routing as everywhere, changes without new
manifests, and is reported as a fact.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chopmark.abc.targets import RenderedFile
from chopmark.base.yaml_text import yaml_text
from chopmark.domain.endpoints import Endpoint
from chopmark.domain.live import LiveEndpoint
from chopmark.errors import InvalidRequest, Unsupported

__all__ = ["TARGET", "KubernetesOptions"]

_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_NAME_LENGTH_MAX = 45
"""KServe puts words behind a service's name, and 63 characters are the limit of what it makes of it."""

Label = Annotated[str, Meta(pattern=f"^{_LABEL}$")]
Host = Annotated[str, Meta(pattern=rf"^(\*\.)?{_LABEL}(\.{_LABEL})*$", max_length=253)]
Quantity = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
Replicas = Annotated[int, Meta(ge=1, le=10_000)]

_PORT = 8400


class KubernetesOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the target takes beside the endpoint.

    Attributes
    ----------
    image
        With Chopmark and the libraries of the models, best by digest.
    control
        Address of the registry's server, as pods reach it.
    namespace
        Where it is to be.
    secret, secret_key
        A secret of that namespace that holds a token with the permission ``route``.
    replicas_min, replicas_max
        Pods.
    cpu, memory
        What each pod asks for; its memory is its limit, too.
    gateway, gateway_namespace, host
        A ``Gateway`` of the Gateway API, and the name by which callers reach the endpoint through it. Without a gateway there is no route.
    service_account
        As whom pods run.
    """

    image: Annotated[str, Meta(min_length=1, max_length=1_000)]
    control: Annotated[str, Meta(pattern="^https?://")]
    namespace: Label = "default"
    secret: Label = "chopmark-token"  # noqa: S105 - a secret's name
    secret_key: Label = "token"  # noqa: S105 - as above
    replicas_min: Replicas = 1
    replicas_max: Replicas = 3
    cpu: Quantity = "1"
    memory: Quantity = "1Gi"
    gateway: Label | None = None
    gateway_namespace: Label | None = None
    host: Host | None = None
    service_account: Label | None = None


class _Kubernetes:
    name = "kubernetes"
    options: type[msgspec.Struct] = KubernetesOptions

    def render(self, endpoint: Endpoint, options: msgspec.Struct) -> Sequence[RenderedFile]:
        """Manifests, as YAML: ``<name>-inferenceservice.yaml``, and with a gateway ``<name>-httproute.yaml``."""
        assert isinstance(options, KubernetesOptions)  # noqa: S101 - for the types
        if options.replicas_max < options.replicas_min:
            msg = f"{options.replicas_max} pods at most are fewer than {options.replicas_min} at least."
            raise InvalidRequest(msg, hint="Give replicas_max as well.")
        name = service_name(endpoint)
        files = [RenderedFile(f"{name}-inferenceservice.yaml", yaml_text(_service(endpoint, name, options)))]
        if options.gateway is not None:
            files.append(RenderedFile(f"{name}-httproute.yaml", yaml_text(_route(endpoint, name, options))))
        elif options.host is not None:
            raise InvalidRequest("A host needs a gateway that listens for it.", hint="Give gateway as well.")
        return files

    def apply(self, endpoint: Endpoint, options: msgspec.Struct) -> str:  # noqa: ARG002
        """Not here: clusters are changed by who may."""
        msg = f"{endpoint.ref} is not applied to a cluster from here."
        raise Unsupported(msg, hint="Write its files, look at them, and then: kubectl apply -f DIRECTORY")

    def observe(self, endpoint: Endpoint, live: LiveEndpoint) -> LiveEndpoint:  # noqa: ARG002
        """What its pods report, as every router does."""
        return live


def service_name(endpoint: Endpoint) -> str:
    """What its InferenceService is called: the endpoint's name where Kubernetes can have it, else what is nearest, and of its id."""
    plain = re.sub(r"[^a-z0-9]+", "-", endpoint.name.lower()).strip("-")
    if plain == endpoint.name and len(plain) <= _NAME_LENGTH_MAX and plain[0].isalpha():
        return plain
    mark = hashlib.sha256(endpoint.id.bytes).hexdigest()[:8]
    return f"m-{plain[: _NAME_LENGTH_MAX - 11].strip('-')}-{mark}"


def _service(endpoint: Endpoint, name: str, options: KubernetesOptions) -> dict[str, Any]:
    seconds = max(1, -(-endpoint.config.timeout_ms // 1_000))
    container = {
        "name": "kserve-container",
        "image": options.image,
        "command": ["chopmark", "gateway"],
        "args": [
            *("--control", options.control, "--endpoint", endpoint.ref),
            *("--host", "0.0.0.0", "--port", str(_PORT), "--log", "json"),  # noqa: S104 - of a pod
        ],
        "env": [
            {
                "name": "CHOPMARK_TOKEN",
                "valueFrom": {"secretKeyRef": {"name": options.secret, "key": options.secret_key}},
            },
            {"name": "CHOPMARK_SERVE_AUTH", "value": "tokens"},
        ],
        "ports": [{"name": "http1", "containerPort": _PORT, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": _PORT}, "periodSeconds": 2, "timeoutSeconds": 2},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": _PORT}, "periodSeconds": 10, "timeoutSeconds": 5},
        "resources": {
            "requests": {"cpu": options.cpu, "memory": options.memory},
            "limits": {"memory": options.memory},
        },
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    predictor: dict[str, Any] = {
        "minReplicas": options.replicas_min,
        "maxReplicas": options.replicas_max,
        "timeout": seconds,
        "containers": [container],
    }
    if options.service_account is not None:
        predictor["serviceAccountName"] = options.service_account
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": _metadata(endpoint, name, options)
        | {"annotations": {"serving.kserve.io/deploymentMode": "Standard"}},
        "spec": {"predictor": predictor},
    }


def _route(endpoint: Endpoint, name: str, options: KubernetesOptions) -> dict[str, Any]:
    parent = {"name": options.gateway}
    if options.gateway_namespace is not None:
        parent["namespace"] = options.gateway_namespace
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": path}} for path in _paths(endpoint, options)],
        "backendRefs": [{"name": f"{name}-predictor", "port": 80}],
        "timeouts": {"request": f"{max(1, -(-endpoint.config.timeout_ms // 1_000))}s"},
    }
    spec: dict[str, Any] = {"parentRefs": [parent], "rules": [rule]}
    if options.host is not None:
        spec["hostnames"] = [options.host]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": _metadata(endpoint, name, options),
        "spec": spec,
    }


def _paths(endpoint: Endpoint, options: KubernetesOptions) -> list[str]:
    """What is for this endpoint: everything that is sent to a host of its own, else the paths that name it."""
    if options.host is not None:
        return ["/"]
    if endpoint.variants[0].version.kind == "llm_config":
        msg = f"Paths of chat completions do not name {endpoint.ref}, so that no path leads to it alone."
        raise InvalidRequest(msg, hint="Give it a host.")
    return [f"/{way}/{endpoint.ref}" for way in ("v2/models", "predict", "endpoints")]


def _metadata(endpoint: Endpoint, name: str, options: KubernetesOptions) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "chopmark", "chopmark/endpoint-id": endpoint.id.hex}
    return {"name": name, "namespace": options.namespace, "labels": labels}


TARGET = _Kubernetes()
