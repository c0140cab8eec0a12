"""Manifests are what Kubernetes accepts, the same each time, and lead to gateways that serve this endpoint."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from chopmark.domain.endpoints import Endpoint, is_served_by
from chopmark.errors import InvalidRequest, NotFound, Unsupported
from chopmark.sdk.registry import Registry
from chopmark.targets import get_target, options_of, target_names
from chopmark.targets.kubernetes import KubernetesOptions, service_name
from chopmark.testing.registry import memory_registry

SCHEMAS = {
    kind: json.loads((Path(__file__).parent / "schemas" / name).read_text())
    for kind, name in (("InferenceService", "inferenceservice-v1beta1.json"), ("HTTPRoute", "httproute-v1.json"))
}
LEAST = {"image": "registry.example/chopmark:1", "control": "https://models.example"}
MOST = {
    **LEAST,
    "namespace": "risk",
    "secret": "router",
    "replicas_min": "2",
    "replicas_max": "5",
    "cpu": "500m",
    "memory": "2Gi",
    "gateway": "public",
    "gateway_namespace": "edge",
    "host": "fraud.example",
    "service_account": "models",
}


@pytest.fixture
def endpoint() -> Endpoint:
    return made(memory_registry())


def made(registry: Registry, name: str = "fraud-api", **config: Any) -> Endpoint:
    version = registry.register("fraud", {"threshold": 0.7})
    return registry.endpoints.create(name, version, config={"target": "kubernetes", **config})


def manifests(endpoint: Endpoint, given: dict[str, str]) -> dict[str, dict[str, Any]]:
    target = get_target("kubernetes")
    files = target.render(endpoint, options_of(target, given))
    found = [yaml.safe_load(file.text) for file in files]
    for manifest in found:
        jsonschema.validate(manifest, SCHEMAS[manifest["kind"]])
    return {manifest["kind"]: manifest for manifest in found}


def test_manifests_are_what_kubernetes_accepts(endpoint: Endpoint) -> None:
    assert set(manifests(endpoint, LEAST)) == {"InferenceService"}
    found = manifests(endpoint, MOST)
    assert {manifest["metadata"]["namespace"] for manifest in found.values()} == {"risk"}
    predictor = found["InferenceService"]["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"], predictor["serviceAccountName"]) == (2, 5, "models")
    (container,) = predictor["containers"]
    assert container["resources"]["limits"] == {"memory": "2Gi"}
    route = found["HTTPRoute"]["spec"]
    assert route["parentRefs"] == [{"name": "public", "namespace": "edge"}]
    assert route["hostnames"] == ["fraud.example"]
    assert route["rules"][0]["backendRefs"] == [{"name": "fraud-api-predictor", "port": 80}]


def test_the_schemas_can_refuse(endpoint: Endpoint) -> None:
    found = manifests(endpoint, MOST)
    found["InferenceService"]["spec"]["predictor"]["replicas"] = 1
    found["HTTPRoute"]["spec"]["rules"][0]["backendRefs"][0]["port"] = "http"
    for kind, manifest in found.items():
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(manifest, SCHEMAS[kind])


def test_a_pod_is_started_by_a_command_that_serves_this_endpoint_and_no_other(endpoint: Endpoint) -> None:
    from chopmark.cli.serve import gateway

    container = manifests(endpoint, LEAST)["InferenceService"]["spec"]["predictor"]["containers"][0]
    assert container["command"] == ["chopmark", "gateway"]
    parsed = gateway.make_context("gateway", list(container["args"])).params
    assert (parsed["control"], parsed["endpoints"]) == ("https://models.example", ("fraud-api",))
    assert parsed["port"] == container["ports"][0]["containerPort"] == container["readinessProbe"]["httpGet"]["port"]
    assert is_served_by(endpoint, parsed["endpoints"])
    assert not is_served_by(endpoint, ())
    assert not is_served_by(endpoint, ("other",))
    (token, auth) = container["env"]
    assert token["valueFrom"]["secretKeyRef"] == {"name": "chopmark-token", "key": "token"}
    assert auth == {"name": "CHOPMARK_SERVE_AUTH", "value": "tokens"}


def test_without_a_host_only_paths_that_name_it_lead_to_it(endpoint: Endpoint) -> None:
    rules = manifests(endpoint, {**LEAST, "gateway": "public"})["HTTPRoute"]["spec"]["rules"]
    paths = [match["path"]["value"] for match in rules[0]["matches"]]
    assert paths == ["/v2/models/fraud-api", "/predict/fraud-api", "/endpoints/fraud-api"]
    model = structs.replace(endpoint.variants[0].version, kind="llm_config")
    chat = structs.replace(endpoint, variants=(structs.replace(endpoint.variants[0], version=model),))
    with pytest.raises(InvalidRequest, match="no path leads to it") as caught:
        manifests(chat, {**LEAST, "gateway": "public"})
    assert caught.value.hint == "Give it a host."


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image": ""}, "image"),
        ({"control": "models.example"}, "control"),
        ({"replicas_min": "9"}, "fewer than 9"),
        ({"replicas_max": "many"}, "replicas_max"),
        ({"namespace": "Risk_1"}, "namespace"),
        ({"memory": "much"}, "memory"),
        ({"host": "a.b"}, "needs a gateway"),
        ({"imge": "x"}, "imge"),
    ],
)
def test_options_that_cannot_be_are_refused(endpoint: Endpoint, wrong: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        manifests(endpoint, {**LEAST, **wrong})


@settings(max_examples=60, deadline=None)
@given(name=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,99}", fullmatch=True))
def test_a_service_has_a_name_that_kubernetes_can_have_and_that_is_its_own(name: str) -> None:
    endpoint = structs.replace(ENDPOINT, name=name)
    called = service_name(endpoint)
    assert len(called) <= 45
    assert all(c.isalnum() or c == "-" for c in called)
    assert called[0].isalpha()
    assert called[-1].isalnum()
    assert called == name or called.endswith(service_name(structs.replace(ENDPOINT, name="_"))[-8:])


ENDPOINT = made(memory_registry())


def test_names_that_fall_together_stay_apart() -> None:
    one, other = (made(memory_registry(), name) for name in ("fraud.api", "fraud_api"))
    assert service_name(one) != service_name(other)


def test_files_are_written_and_are_the_same_each_time(tmp_path: Path) -> None:
    registry = memory_registry()
    made(registry)
    files = registry.endpoints.render("fraud-api", tmp_path / "k8s", options=MOST)
    assert {path.name: path.read_text() for path in (tmp_path / "k8s").iterdir()} == {f.name: f.text for f in files}
    assert registry.endpoints.render("fraud-api", options=MOST) == files


def test_a_cluster_is_changed_by_people() -> None:
    registry = memory_registry()
    made(registry)
    with pytest.raises(Unsupported) as caught:
        registry.endpoints.apply("fraud-api", options=LEAST)
    assert "kubectl apply" in caught.value.hint


def test_what_others_serve_is_recorded_and_said_to_be() -> None:
    registry = memory_registry()
    endpoint = registry.endpoints.create("score", registry.register("m", {"a": 1}), config={"target": "external"})
    (file,) = registry.endpoints.render(endpoint)
    told = json.loads(file.text)
    assert told["variants"] == [
        {"name": "stable", "share": 1.0, "version": "m:1", "digest": endpoint.variants[0].version.digest}
    ]
    assert "recorded" in registry.endpoints.apply(endpoint)
    assert "others serve it" in registry.endpoints.observe(endpoint).findings[0]
    with pytest.raises(InvalidRequest, match="external"):
        registry.endpoints.render(endpoint, options={"image": "x"})


def test_targets_are_found_by_name() -> None:
    assert target_names() == ("external", "kubernetes")
    with pytest.raises(NotFound) as caught:
        get_target("local")
    assert "external, kubernetes" in caught.value.hint
    assert get_target("kubernetes").options is KubernetesOptions
