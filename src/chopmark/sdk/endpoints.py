"""``registry.endpoints``: names that callers keep, what answers behind them, and what is live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import UNSET, structs

from chopmark.domain.endpoints import LOCAL, Endpoint, EndpointConfig, Router, parse_endpoint
from chopmark.domain.live import LiveEndpoint
from chopmark.domain.predictions import Prediction
from chopmark.domain.variants import changed_config
from chopmark.domain.versions import Version
from chopmark.errors import InvalidRequest
from chopmark.ops import endpoints as q
from chopmark.ops.endpoints import Live
from chopmark.ops.results import Done
from chopmark.sdk.predicting import ask, gateway_of
from chopmark.sdk.results import Page
from chopmark.sdk.surface import EndpointReference, Reference, Surface
from chopmark.targets import RenderedFile, get_target, options_of

__all__ = ["Endpoints"]

_HINT = 'Give one version, or shares that sum up to 100: {"fraud:3": 90, "fraud:4": 10}.'


class Endpoints(Surface):
    """Verbs about endpoints. Gateways answer requests: `chopmark serve`, or `chopmark gateway` beside it."""

    def create(
        self,
        endpoint: str,
        split: Reference | Mapping[Any, float],
        *,
        shadows: Reference | Mapping[Any, float] | None = None,
        names: Mapping[Any, str] | None = None,
        config: EndpointConfig | Mapping[str, Any] | None = None,
        description: str = "",
        reason: str = "",
    ) -> Endpoint:
        """Make an endpoint: a name that callers keep, and what answers behind it.

        Parameters
        ----------
        endpoint
            ``[project/]name``.
        split
            A version, or versions and their shares in percent. What a reference means now is kept: moving the alias
            later moves no traffic.
        shadows
            Versions that get copies of requests, and whose answers nobody gets; with the share that is copied.
        names
            Of variants, by the reference in ``split``; ``stable`` for the first and ``candidate`` for the next unless said.
        config
            How requests are taken and run; see `chopmark.domain.endpoints.EndpointConfig`.

        Raises
        ------
        Conflict
            When there is an endpoint of that name, or a version cannot answer.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> first = registry.register("fraud", {"threshold": 0.7})
        >>> registry.endpoints.create("fraud-api", first, config={"timeout_ms": 500})
        <endpoint fraud-api · stable fraud:1 100 % · generation 1>
        """
        request = q.CreateEndpoint(
            endpoint=self._endpoint(endpoint),
            split=self._shares(split, names),
            shadows=self._shadows(shadows),
            config=_config(config),
            description=description,
            reason=reason,
        )
        made: Endpoint = self._call(request)
        return made

    def get(self, endpoint: EndpointReference) -> Endpoint:
        """An endpoint as it is meant to be; what is live is told by `live`."""
        found: Endpoint = self._call(q.GetEndpoint(endpoint=self._endpoint(endpoint)))
        return found

    def list(self, project: str | None = None, *, limit: int = 50, cursor: str = "") -> Page[Endpoint]:
        """Endpoints of a project, or of all that one sees, by project and name, a page at a time."""
        page: q.EndpointPage = self._call(q.ListEndpoints(project=project, limit=limit, cursor=cursor))
        return Page(page.items, page.cursor)

    def split(
        self,
        endpoint: EndpointReference,
        split: Reference | Mapping[Any, float],
        *,
        shadows: Reference | Mapping[Any, float] | None = None,
        names: Mapping[Any, str] | None = None,
        reason: str = "",
    ) -> Endpoint:
        """Say which versions answer from now on, all of them, and which are asked beside them; see `create`.

        A version that stays keeps its name, and its callers as far as its share allows.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> first, second = (registry.register("fraud", {"threshold": t}) for t in (0.7, 0.8))
        >>> made = registry.endpoints.create("fraud-api", first)
        >>> registry.endpoints.split(made, {first: 90, second: 10}, reason="a first look")
        <endpoint fraud-api · stable fraud:1 90 %, candidate fraud:2 10 % · generation 2>
        >>> registry.endpoints.split(made, second, reason="it does better")
        <endpoint fraud-api · stable fraud:2 100 % · generation 3>
        """
        request = q.SplitEndpoint(
            endpoint=self._endpoint(endpoint),
            split=self._shares(split, names),
            shadows=self._shadows(shadows),
            reason=reason,
        )
        changed: Endpoint = self._call(request)
        return changed

    def update(
        self,
        endpoint: EndpointReference,
        *,
        description: str | None = None,
        config: EndpointConfig | Mapping[str, Any] | None = None,
        reason: str = "",
    ) -> Endpoint:
        """Change what is given, and leave what is not; of a configuration the fields that are named.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> made = registry.endpoints.create("fraud-api", registry.register("fraud", {"threshold": 0.7}))
        >>> registry.endpoints.update(made, config={"timeout_ms": 500}).config.timeout_ms
        500
        """
        changes = structs.asdict(config) if isinstance(config, EndpointConfig) else dict(config or {})
        request = q.UpdateEndpoint(
            endpoint=self._endpoint(endpoint),
            description=UNSET if description is None else description,
            config=changes,
            reason=reason,
        )
        changed: Endpoint = self._call(request)
        return changed

    def delete(self, endpoint: EndpointReference, *, reason: str = "") -> Done:
        """Remove an endpoint: its name answers no more, and its versions may go."""
        done: Done = self._call(q.DeleteEndpoint(endpoint=self._endpoint(endpoint), reason=reason))
        return done

    def predict(
        self,
        endpoint: EndpointReference,
        rows: object,
        *,
        key: str = "",
        outputs: Sequence[str] = (),
        variant: str = "",
    ) -> Prediction:
        """Ask an endpoint about rows, at a gateway that serves it.

        Parameters
        ----------
        rows
            A data frame, an Arrow table, an array, a mapping (one row), a list of mappings or lists; or bytes: CSV with a header,
            whose texts the gateway reads as the signature says.
        key
            For whom: the same key always meets the same variant.
        outputs
            What is wanted other than what the model gives by itself, for example ``predict_proba``.
        variant
            The one that is to answer; for who may deploy.

        Raises
        ------
        Unavailable
            When nobody serves it, or the gateway does not answer.
        InvalidRequest
            When the rows are not what the model takes.
        """
        ref = self._endpoint(endpoint)
        has_address = self._settings.gateway_url or self._settings.url.startswith("http")
        gateway = gateway_of(self._settings, () if has_address else self.routers(limit=500), ref)
        return ask(self._settings, gateway, ref, rows, outputs=outputs, key=key, variant=variant)

    def live(self, endpoint: EndpointReference = "") -> Live:
        """What is live, as the routers report it, of an endpoint or of all; with what is not as it was asked for.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> made = registry.endpoints.create("fraud-api", registry.register("fraud", {"threshold": 0.7}))
        >>> registry.endpoints.live(made).endpoints
        (<fraud-api · nobody serves it: no router reports>,)
        """
        found: Live = self._call(q.ShowLive(endpoint=self._endpoint(endpoint) if endpoint else ""))
        return found

    def render(
        self,
        endpoint: EndpointReference,
        directory: str | Path | None = None,
        *,
        target: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> tuple[RenderedFile, ...]:
        """The files by which a target is told of an endpoint: manifests of Kubernetes, or what others are to serve.

        Parameters
        ----------
        directory
            Where to write them; made when it is not there.
        target
            That of the endpoint's configuration unless said.
        options
            What the target takes, for example `chopmark.targets.kubernetes.KubernetesOptions`.

        Raises
        ------
        NotFound
            When there is no such target.
        InvalidRequest
            When the options cannot be.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> first = registry.register("fraud", {"threshold": 0.7})
        >>> made = registry.endpoints.create("fraud-api", first, config={"target": "kubernetes"})
        >>> options = {"image": "registry.example/chopmark:1", "control": "https://models.example"}
        >>> [file.name for file in registry.endpoints.render(made, options=options)]
        ['fraud-api-inferenceservice.yaml']
        """
        found = self.get(endpoint)
        files = tuple(get_target(target or found.config.target).render(found, self._options(found, target, options)))
        if directory is not None:
            place = Path(directory)
            place.mkdir(parents=True, exist_ok=True)
            for file in files:
                (place / file.name).write_text(file.text, encoding="utf-8")
        return files

    def apply(self, endpoint: EndpointReference, *, target: str = "", options: Mapping[str, Any] | None = None) -> str:
        """Have a target make an endpoint answer, and say what was done; see `render`.

        Raises
        ------
        Unsupported
            When that is for people to do, as with Kubernetes; the hint says how.
        """
        found = self.get(endpoint)
        return get_target(target or found.config.target).apply(found, self._options(found, target, options))

    def observe(self, endpoint: EndpointReference, *, target: str = "") -> LiveEndpoint:
        """What is live of an endpoint, as its target sees it; of a local one that is what `live` says."""
        found = self.get(endpoint)
        (live,) = self.live(found).endpoints
        name = target or found.config.target
        return live if name == LOCAL else get_target(name).observe(found, live)

    def _options(self, found: Endpoint, target: str, options: Mapping[str, Any] | None) -> Any:
        return options_of(get_target(target or found.config.target), options or {})

    def routers(self, *, limit: int = 50, cursor: str = "") -> Page[Router]:
        """Routers that reported within an hour, by id, a page at a time."""
        page: q.RouterPage = self._call(q.ListRouters(limit=limit, cursor=cursor))
        return Page(page.items, page.cursor)

    def _endpoint(self, endpoint: object) -> str:
        if isinstance(endpoint, Endpoint):
            return endpoint.ref
        if not isinstance(endpoint, str):
            raise InvalidRequest(f"An endpoint is a text such as 'fraud-api', not a {type(endpoint).__name__}.")
        return str(parse_endpoint(endpoint, self._settings.project))

    def _shares(self, split: Reference | Mapping[Any, float], names: Mapping[Any, str] | None) -> tuple[q.Share, ...]:
        called = {self._ref(version): name for version, name in (names or {}).items()}
        shares = [
            q.Share(version=version, percent=percent, name=called.pop(version, ""))
            for version, percent in self._percents(split)
        ]
        if called:
            raise InvalidRequest(f"{next(iter(called))} is named, and is not in the split.", hint=_HINT)
        return tuple(shares)

    def _shadows(self, shadows: Reference | Mapping[Any, float] | None) -> tuple[q.ShadowShare, ...]:
        if shadows is None:
            return ()
        return tuple(q.ShadowShare(version=version, percent=percent) for version, percent in self._percents(shadows))

    def _percents(self, shares: object) -> tuple[tuple[str, float], ...]:
        if isinstance(shares, (str, Version)):
            return ((self._ref(shares), 100.0),)
        if not isinstance(shares, Mapping):
            raise InvalidRequest(f"Shares are a mapping, not a {type(shares).__name__}.", hint=_HINT)
        return tuple((self._ref(version), percent) for version, percent in shares.items())


def _config(config: EndpointConfig | Mapping[str, Any] | None) -> EndpointConfig:
    if isinstance(config, EndpointConfig):
        return config
    return changed_config(EndpointConfig(), config or {})
