"""The gateway beside its control plane, or apart from it: either way through the transport of a registry."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from chopmark.abc.hints import Hints
from chopmark.abc.predicting import Predictor
from chopmark.base.clock import Clock, system_clock
from chopmark.base.ids import uuid7
from chopmark.base.settings import Settings, named_secrets, pairs_in
from chopmark.domain.endpoints import EndpointConfig, RouterReport, Routing, RoutingMark, is_served_by, parse_endpoint
from chopmark.domain.experiment_units import UnitMet
from chopmark.domain.feedback import Feedback
from chopmark.domain.llm import LlmConfig, parse_llm_config
from chopmark.domain.names import counted
from chopmark.domain.outcomes import OutcomeWindow
from chopmark.domain.profile_windows import ProfileWindow
from chopmark.domain.traffic import PinnedVersion
from chopmark.domain.versions import Version
from chopmark.errors import IntegrityFailure, InvalidRequest, NotFound, Unsupported
from chopmark.formats.predicting import predictor_of
from chopmark.formats.prediction_files import open_parquet
from chopmark.gateway.app import Gateway
from chopmark.gateway.chat import ChatLimits, Provider, open_chat, providers_of
from chopmark.gateway.execution import Execution, Loadable, start
from chopmark.gateway.holding import Holding
from chopmark.gateway.linking import Link
from chopmark.gateway.log_directory import LogDirectory
from chopmark.gateway.prediction_log import PredictionLog
from chopmark.gateway.profiling import Profiling
from chopmark.gateway.router import Router
from chopmark.gateway.shadows import Shadows
from chopmark.gateway.turns import Turns
from chopmark.ops.endpoints import CurrentRouting, GetRouting, ReportRouter
from chopmark.ops.requests import GetVersion
from chopmark.sdk.loading import load_version
from chopmark.sdk.profiles import Profiles
from chopmark.sdk.transport import Transport
from chopmark.server.gateway_metrics import GatewayMetrics, SeenMetrics
from chopmark.server.memory import available_bytes, check_memory
from chopmark.server.provisions import Provisions, Taken, provisions_for, with_members

if TYPE_CHECKING:
    from chopmark.gateway.chat.chat import Chat
    from chopmark.stats.profile import Profile

__all__ = ["DataPlane", "RegistryControl"]

_LOADS_AT_ONCE = 2
_TURN_S = 60.0
"""A version that takes longer to load keeps no other waiting for its turn."""


class RegistryControl:
    """What a router asks and tells, by the ops of a registry.

    Parameters
    ----------
    transport
        Of the registry.
    hints
        Say when something may have changed; None: it is only asked again and again.
    only
        Endpoints that the router was told to serve.
    """

    def __init__(self, transport: Transport, hints: Hints | None, only: tuple[str, ...] = ()) -> None:
        self._transport = transport
        self._hints = hints
        self._only = only

    def routing(self, known: RoutingMark) -> Routing | None:
        """The newest routing, with what the router serves; None when that is the one it knows."""
        answer: CurrentRouting = self._transport.call(GetRouting(epoch=known.epoch, generation=known.generation))
        if answer.routing is None:
            return None
        own = tuple(each for each in answer.routing.endpoints if is_served_by(each, self._only))
        return structs.replace(answer.routing, endpoints=own)

    def report(
        self,
        report: RouterReport,
        outcomes: Sequence[OutcomeWindow],
        profiles: Sequence[ProfileWindow] = (),
        feedback: Sequence[Feedback] = (),
        exposures: Sequence[UnitMet] = (),
    ) -> None:
        """Say what it serves, what became of requests, what they looked like, and what callers said of answers."""
        self._transport.call(
            ReportRouter(
                report=report,
                outcomes=tuple(outcomes),
                profiles=tuple(profiles),
                feedback=tuple(feedback),
                exposures=tuple(exposures),
            )
        )

    def wait(self, timeout_s: float) -> None:
        """Return when something may have changed, or so many seconds have passed."""
        if self._hints is not None:
            self._hints.wait(timeout_s)
        else:
            time.sleep(timeout_s)


class DataPlane:
    """A gateway with all that it needs, as one process has it.

    Parameters
    ----------
    transport, hints
        The control plane.
    settings
        Settings, of this process and of those that run models for it.
    address
        Where it listens, for people.
    asks_callers
        Whether everybody needs a token.
    clock
        Where the time comes from.
    """

    def __init__(
        self,
        transport: Transport,
        hints: Hints | None,
        settings: Settings,
        *,
        address: str,
        asks_callers: bool,
        clock: Clock = system_clock,
    ) -> None:
        self._transport = transport
        # Where others may register, nothing of theirs runs here because it is in "one's own" registry.
        is_shared = asks_callers and settings.trust == "own_registry"
        self._settings = structs.replace(settings, trust="marked_only") if is_shared else settings
        self._loads = ThreadPoolExecutor(_LOADS_AT_ONCE, thread_name_prefix="chopmark-load")
        self._turns = Turns(_LOADS_AT_ONCE, _TURN_S)
        self._holding = Holding(self._load, time.monotonic)
        self._shadows = Shadows()
        self.router = Router(self._holding, clock)
        self.gateway = Gateway(
            self.router,
            asks_callers=asks_callers,
            mirror=self._shadows,
            body_s=settings.serve_idle_s,
            bodies_bytes_max=settings.gateway_bodies_bytes_max,
            release=version("chopmark"),
            clock=clock,
        )
        self.metrics = GatewayMetrics(self.router)
        router_id = uuid7(clock()).hex
        self._log = _log_of(settings, self.router, router_id, clock)
        only = endpoints_in(settings.gateway_endpoints)
        self.link = Link(
            self.router,
            RegistryControl(transport, hints, only),
            router_id=router_id,
            address=address,
            only=only,
            poll_s=settings.gateway_poll_s,
            took=self.gateway.know_callers,
            counted=self.metrics.add,
            feedback=self.gateway.feedback,
            exposing=self.gateway.exposing,
            profiling=Profiling(self.router, self._profile_of, clock),
            noted=lambda: self._log.note if self._log is not None else "",
            clock=clock,
        )

    async def start(self) -> None:
        """Take the routing, and begin to load what it names."""
        await self.link.start()
        if self._log is not None:
            await self._log.start()

    def seen_metrics(self, authorization: str) -> SeenMetrics:
        """Figures of the endpoints that whoever sends this header may know of."""
        headers = {b"authorization": authorization.encode("latin-1")} if authorization else {}
        return self.metrics.seen(self.gateway.seen_refs(headers))

    def waits_for(self) -> str:
        """What has to come before it can be called ready; empty when nothing."""
        if self.router.routing is None:
            return self.link.note or "no routing has come yet"
        pending = {each.endpoint for each in self.router.served() if each.state != "serving"}
        return f"of {counted(len(pending), 'endpoint')} not all versions are loaded" if pending else ""

    async def close(self) -> None:
        """Report for the last time, and let go of everything."""
        await self.link.close()
        if self._log is not None:
            await self._log.close()
        await self._shadows.close()
        await self._holding.close()
        self._loads.shutdown(wait=False, cancel_futures=True)

    async def _load(self, pinned: PinnedVersion, config: EndpointConfig) -> Execution | Chat:
        """Load a version, and try it on a sample."""
        async with self._turns.turn():
            loop = asyncio.get_running_loop()
            versions = await loop.run_in_executor(self._loads, self._looked_up, pinned)
            found = versions[0]
            if found.kind == "llm_config":
                return await self._opened_chat(found, config.queue_max)
            runs_code = any(each.runs_code for each in versions)  # an ensemble runs what its members do
            is_apart = config.execution == "process" or (config.execution == "auto" and runs_code)
            if is_apart:
                take = partial(provisions_for, self._transport, self._settings, versions)
                load = partial(load_apart, await loop.run_in_executor(self._loads, take))
            else:
                load = partial(loaded, self._transport, self._settings, found)
            return await start(config, Loadable(found.ref, runs_code, load))

    async def _opened_chat(self, found: Version, queue_max: int) -> Chat:
        settings = self._settings
        limits = ChatLimits(
            at_once=settings.llm_at_once,
            queue_max=queue_max,
            connect_s=settings.llm_connect_s,
            first_piece_s=settings.llm_first_piece_s,
            between_pieces_s=settings.llm_between_pieces_s,
            timeout_s=settings.llm_timeout_s,
            retries_max=settings.llm_retries_max,
            answer_bytes_max=settings.llm_answer_bytes_max,
        )
        return await open_chat(parse_llm_config(found.config), self._providers(), self._config_of, limits)

    def _providers(self) -> dict[str, Provider]:
        addresses = pairs_in("llm_providers", self._settings.llm_providers)
        return providers_of(addresses, named_secrets("llm_keys", self._settings.llm_keys))

    def _config_of(self, ref: str) -> LlmConfig:
        """The configuration that a fallback refers to."""
        found: Version = self._transport.call(GetVersion(ref=ref))
        return parse_llm_config(found.config)

    def _profile_of(self, pinned: PinnedVersion) -> Profile | None:
        """The reference profile of a version, None where it has none, or several."""
        try:
            return Profiles(self._transport, self._settings).get(pinned.ref)
        except (NotFound, InvalidRequest):
            return None

    def _looked_up(self, pinned: PinnedVersion) -> tuple[Version, ...]:
        """The version, and of an ensemble the members."""
        found: Version = self._transport.call(GetVersion(ref=pinned.ref))
        _check_same(found, pinned.digest)
        versions = with_members(self._transport, found)
        check_memory(found.ref, sum(each.size_bytes for each in versions), available_bytes())
        return versions


def _log_of(settings: Settings, router: Router, router_id: str, clock: Clock) -> PredictionLog | None:
    """What writes samples to files, where the settings name a directory for them."""
    if not settings.gateway_log_dir:
        return None
    directory = LogDirectory(Path(settings.gateway_log_dir).absolute(), settings.gateway_log_bytes_max, router_id)
    close_s = settings.gateway_log_close_s
    return PredictionLog(router, directory, open_parquet(), router_id=router_id, close_s=close_s, clock=clock)


def endpoints_in(text: str) -> tuple[str, ...]:
    """Endpoints that a setting names, with commas between.

    Raises
    ------
    InvalidRequest
        When one is no ``[project/]name``.
    """
    return tuple(str(parse_endpoint(part.strip())) for part in text.split(",") if part.strip())


def loaded(transport: Transport, settings: Settings, version: Version) -> Predictor:
    """The model of a version, ready to be asked: verified bytes, trusted formats."""
    if version.kind == "external":
        raise Unsupported(f"{version.ref} is external: its model is served elsewhere.")
    return predictor_of(load_version(transport, settings, version), version.signature)


def load_apart(provisions: Provisions) -> Predictor:
    """As `loaded`, in a process that has nothing but what it took along."""
    taken = Taken(provisions)
    try:
        return loaded(taken, provisions.settings, provisions.version)
    finally:
        taken.close()


def _check_same(version: Version, digest: str) -> None:
    if version.digest != digest:
        msg = f"{version.ref} is {version.digest[:19]}, and the endpoint was set to {digest[:19]}."
        raise IntegrityFailure(msg, hint="Set the endpoint's split again.", ref=version.ref)
