"""What a gateway counts, for Prometheus: by endpoint and variant, never by version or caller."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, NamedTuple

from chopmark.domain.outcomes import Spending
from chopmark.gateway.recording import Counts, TallyKey
from chopmark.gateway.router import Router
from chopmark.stats.sketch import bin_ends

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

__all__ = ["GatewayMetrics"]

_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_NS_PER_S = 1e9


class _Labels(NamedTuple):
    endpoint: str
    variant: str


class GatewayMetrics:
    """Totals since the process began, as a collector of ``prometheus_client``.

    Parameters
    ----------
    router
        What is counted.

    Latencies come in bins that are 1.6 % wide; each counts in the bucket that its middle falls into.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._outcomes: Counter[tuple[_Labels, str]] = Counter()
        self._rows: Counter[_Labels] = Counter()
        self._dropped: Counter[_Labels] = Counter()
        self._spent: dict[_Labels, Spending] = {}
        self._seconds: dict[_Labels, float] = {}
        self._buckets: dict[_Labels, list[int]] = {}

    def add(self, counted: Mapping[TallyKey, Counts]) -> None:
        """Add what was counted just now."""
        routing = self._router.routing
        names = {endpoint.id: endpoint.ref for endpoint in routing.endpoints} if routing is not None else {}
        for key, counts in counted.items():
            labels = _Labels(names.get(key.endpoint_id, "deleted"), key.variant)
            failed = sum(counts.errors.values())
            self._outcomes[labels, "answered"] += counts.requests - failed
            for name, count in counts.errors.items():
                self._outcomes[labels, name] += count
            self._rows[labels] += counts.rows
            self._dropped[labels] += counts.dropped
            if counts.spent != Spending():
                self._spent[labels] = self._spent.get(labels, Spending()) + counts.spent
            buckets = self._buckets.setdefault(labels, [0] * (len(_BUCKETS_S) + 1))
            for place, count in counts.bins.items():
                seconds = sum(bin_ends(place)) / 2 / _NS_PER_S
                buckets[bisect_left(_BUCKETS_S, seconds)] += count
                self._seconds[labels] = self._seconds.get(labels, 0.0) + seconds * count

    def seen(self, refs: AbstractSet[str] | None) -> SeenMetrics:
        """What of it who may know of these endpoints may see; None for all."""
        return SeenMetrics(self, refs)

    def collect(self, refs: AbstractSet[str] | None = None) -> Iterator[Metric]:
        """What concerns these endpoints, as Prometheus has it; all where none are named."""

        def is_seen(labels: _Labels) -> bool:
            return refs is None or labels.endpoint in refs

        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        named = list(_Labels._fields)
        requests = CounterMetricFamily(
            "chopmark_gateway_requests", "Requests by what became of them.", labels=[*named, "outcome"]
        )
        for (labels, outcome), count in self._outcomes.items():
            if is_seen(labels):
                requests.add_metric([*labels, outcome], count)
        yield requests
        for name, words, counts in (
            ("chopmark_gateway_rows", "Rows that were answered.", self._rows),
            ("chopmark_gateway_shadow_dropped", "Copies that a shadow never got.", self._dropped),
        ):
            family = CounterMetricFamily(name, words, labels=named)
            for each in filter(is_seen, counts):
                family.add_metric(list(each), counts[each])
            yield family
        for name, words, field in (
            ("input_tokens", "Tokens that language models were sent.", "input_tokens"),
            ("output_tokens", "Tokens that language models answered with.", "output_tokens"),
            ("cost_usd", "Cost of language models, by the prices of their configurations.", "cost_usd"),
            ("fallbacks", "Answers of a language model that is not the one asked first.", "fell_back"),
        ):
            family = CounterMetricFamily(f"chopmark_gateway_{name}", words, labels=named)
            for each in filter(is_seen, self._spent):
                family.add_metric(list(each), getattr(self._spent[each], field))
            yield family
        seconds = HistogramMetricFamily(
            "chopmark_gateway_request_duration_seconds", "From a request's body to its answer.", labels=named
        )
        for each in filter(is_seen, self._buckets):
            total, listed = 0, []
            for limit, count in zip((*map(str, _BUCKETS_S), "+Inf"), self._buckets[each], strict=True):
                total += count
                listed.append((limit, total))
            seconds.add_metric(list(each), listed, self._seconds.get(each, 0.0))
        yield seconds
        generation = GaugeMetricFamily("chopmark_gateway_routing_generation", "Of the routing that it knows.")
        generation.add_metric([], self._router.mark.generation)
        yield generation


class SeenMetrics:
    """The part of a gateway's figures that somebody may see, as a collector of ``prometheus_client``.

    Parameters
    ----------
    whole, refs
        All of them, and the endpoints that concern who asks.
    """

    def __init__(self, whole: GatewayMetrics, refs: AbstractSet[str] | None) -> None:
        self._whole = whole
        self._refs = refs

    def collect(self) -> Iterator[Metric]:
        """What may be seen."""
        return self._whole.collect(self._refs)
