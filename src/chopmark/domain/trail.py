"""The trail of a version: which events concern it, and each of them told in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from chopmark.domain.audit import AuditEvent

__all__ = ["LINEAGE_EVENTS", "concerning", "told"]

LINEAGE_EVENTS = ("lineage.linked", "lineage.unlinked")
"""Events whose facts name versions other than their target."""


def concerning(events: Iterable[AuditEvent], model: str, number: int) -> Iterator[AuditEvent]:
    """Those of some events that concern one version, in their order.

    What happened to the version itself; moves of an alias to it or away from it; edges of the
    lineage that name it; and what happened to its model while it was there: that the model was
    made (the last time before the version), deleted, restored and purged.

    Parameters
    ----------
    events
        In order of ``seq``; at least all those whose target is the model, the version or an alias
        of the model.
    model
        ``[project/]name``.
    number
        Of the version.
    """
    ref = f"{model}:{number}"
    made: AuditEvent | None = None
    is_there = False
    for event in events:
        if event.target == model and event.event.startswith("model."):
            if event.event == "model.created" and not is_there:
                made = event
            elif is_there and event.event != "model.updated":
                yield event
                is_there = event.event != "model.purged"
        elif _names(event, ref, model, number):
            if event.event in ("version.registered", "version.imported"):
                is_there = True
                if made is not None:
                    yield made
            yield event
            is_there = is_there and event.event != "version.purged"


def _names(event: AuditEvent, ref: str, model: str, number: int) -> bool:
    if event.target == ref:
        return True
    if event.target.startswith(model + "@"):
        return number in (event.data.get("number"), event.data.get("previous"))
    return event.event in LINEAGE_EVENTS and ref in event.data.values()


def told(event: AuditEvent, number: int | None = None) -> str:
    """What happened, in words, without the reason.

    Parameters
    ----------
    event
        The event; of a kind that is not known here its name and its facts are told.
    number
        Of the version whose trail it stands in: an alias then comes to it or leaves it.

    >>> from chopmark.base.clock import FakeClock
    >>> from uuid import UUID
    >>> facts = {"from_stage": "development", "to_stage": "staging"}
    >>> event = AuditEvent(
    ...     seq=1, id=UUID(int=1), at=FakeClock()(), actor="ada", event="version.promoted", target="fraud:1", data=facts
    ... )
    >>> told(event)
    'moved fraud:1 from development to staging'
    """
    if event.event.startswith("alias."):
        return _alias(event, number)
    words = _WORDS.get(event.event)
    if words is None:
        facts = ", ".join(f"{k} {v}" for k, v in event.data.items() if k != "reason")
        return f"{event.event} {event.target}" + (f" ({facts})" if facts else "")
    return words(event.target, event.data)


def _alias(event: AuditEvent, number: int | None) -> str:
    model, _, name = event.target.partition("@")
    to, before = event.data.get("number"), event.data.get("previous")
    if to is None:
        return f"removed @{name}, which pointed to {model}:{before}"
    if to == before:
        return f"{'protected' if event.data.get('protected') else 'lifted the protection of'} @{name} on {model}:{to}"
    if before is None:
        return f"pointed @{name} to {model}:{to}"
    if number == before:
        return f"moved @{name} away from {model}:{before}, to {model}:{to}"
    return f"moved @{name} from {model}:{before} to {model}:{to}"


def _moved(target: str, data: Mapping[str, Any]) -> str:
    return f"moved {target} from {data.get('from_stage', '?')} to {data.get('to_stage', '?')}"


def _registered(target: str, data: Mapping[str, Any]) -> str:
    what = " ".join(str(data[k]) for k in ("semver", "format") if data.get(k))
    code = ", runs code on load" if data.get("runs_code") else ""
    return f"registered {target} ({what}{code}, {str(data.get('digest', ''))[:19]})"


def _deprecated(target: str, data: Mapping[str, Any]) -> str:
    successor = f"; its successor is {data['successor']}" if data.get("successor") else ""
    if data.get("to_stage"):
        return _moved(target, data) + successor
    return f"announced that {target} is deprecated from {str(data.get('effective_at', ''))[:10]} on{successor}"


def _deleted(target: str, data: Mapping[str, Any]) -> str:
    forced = " although it was used" if data.get("forced") else ""
    aliases = ", ".join(f"@{name}" for name in data.get("aliases", ()))
    return f"deleted {target}{forced}" + (f", and with it {aliases}" if aliases else "")


def _updated(target: str, data: Mapping[str, Any]) -> str:
    return f"changed {', '.join(data.get('after', ())) or 'what is said'} of {target}"


def _evaluated(target: str, data: Mapping[str, Any]) -> str:
    where = f"{data.get('dataset', '?')} {data.get('split', '')}".strip()
    metrics = ", ".join(f"{k} {v:.6g}" for k, v in data.get("metrics", {}).items())
    return f"evaluated {target} on {where}" + (f": {metrics}" if metrics else "")


def _trusted(target: str, data: Mapping[str, Any]) -> str:
    if data.get("basis") == "own_registry":
        return f"trusted the code of {target} by loading it, as the settings allow"
    names = len(data.get("names", ()))
    return f"trusted {f'{names} of the types' if names else 'the code'} of {target}"


def _imported(target: str, data: Mapping[str, Any]) -> str:
    origin = data.get("origin") or {}
    source = f" from {origin['ref']} of another registry" if origin.get("ref") else " from another registry"
    return _registered(target, data).replace("registered", "imported", 1) + source


def _linked(target: str, data: Mapping[str, Any]) -> str:
    return f"linked {_link(target, data)}"


def _unlinked(target: str, data: Mapping[str, Any]) -> str:
    return f"took back that {_link(target, data)}"


def _link(target: str, data: Mapping[str, Any]) -> str:
    return f"{target} {str(data.get('relation', '?')).replace('_', ' ')} {data.get('to', '?')}"


def _deployed(verb: str) -> Callable[[str, Mapping[str, Any]], str]:
    def words(target: str, data: Mapping[str, Any]) -> str:
        after = data.get("after") or {}
        shares = [f"{v.get('version', '?')} {v.get('weight', 0) / 100:g} %" for v in after.get("variants", ())]
        beside = [f"{s.get('version', '?')} as a shadow" for s in after.get("shadows", ())]
        return f"{verb} the endpoint {target}: {', '.join(shares + beside) or '?'}"

    return words


def _experiment_started(target: str, data: Mapping[str, Any]) -> str:
    plan = data.get("plan") or {}
    versions = [v.get("version", {}) for v in plan.get("variants", ())]
    arms = [f"{version.get('model', '?')}:{version.get('number', '?')}" for version in versions]
    return f"began the experiment {target}: {' against '.join(arms) or '?'}"


def _experiment_ended(verb: str) -> Callable[[str, Mapping[str, Any]], str]:
    def words(target: str, data: Mapping[str, Any]) -> str:
        won = f" for {data['winner']}" if data.get("winner") else ""
        return f"{verb} the experiment {target}{won}; it said: {data.get('sentence', '?')}"

    return words


def _endpoint_updated(target: str, data: Mapping[str, Any]) -> str:
    return f"changed {', '.join(data.get('after', ())) or 'what is said'} of the endpoint {target}"


def _rollout(verb: str) -> Callable[[str, Mapping[str, Any]], str]:
    def words(target: str, data: Mapping[str, Any]) -> str:
        return f"{verb.format(**{k: data.get(k, '?') for k in ('command', 'after')})} the rollout of {data.get('candidate', '?')} to {target}"

    return words


def _rollout_advanced(target: str, data: Mapping[str, Any]) -> str:
    where = f", step {data.get('step', '?')}" if data.get("after") == "progressing" else ""
    share = f"{data.get('weight', 0) / 100:g} %"
    return (
        f"took the rollout of {data.get('candidate', '?')} to {target} on: {data.get('after', '?')}{where} at {share}"
    )


def _monitor_made(target: str, data: Mapping[str, Any]) -> str:
    return f"made the monitor {target} of {data.get('metric', '?')} on {data.get('on', '?')}"


def _fired(target: str, data: Mapping[str, Any]) -> str:
    return f"found {data.get('on', '?')} {data.get('severity', 'bad')}, by {_watcher(target, data)}: {data.get('message', '?')}"


def _resolved(target: str, data: Mapping[str, Any]) -> str:
    return f"found it well again, by {_watcher(target, data)}: {data.get('message', '?')}"


def _watcher(target: str, data: Mapping[str, Any]) -> str:
    """Whose alert it is."""
    return f"its rollout {data['rollout']}" if data.get("rollout") else f"the monitor {target}"


def _silenced(target: str, data: Mapping[str, Any]) -> str:
    until = data.get("until")
    return f"silenced the monitor {target} until {until}" if until else f"ended the silence of the monitor {target}"


def _rolled_back(target: str, data: Mapping[str, Any]) -> str:
    before, after = (
        ((data.get(when) or {}).get("variants") or [{}])[0].get("version", "?") for when in ("before", "after")
    )
    return f"took the endpoint {target} back from {before} to {after}, as {data.get('monitor', 'a monitor')} fires"


def _simple(words: str) -> Callable[[str, Mapping[str, Any]], str]:
    return lambda target, data: words.format(target)  # noqa: ARG005 - one signature for all


_WORDS: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
    "project.created": _simple("made the project {}"),
    "project.configured": _simple("changed the rules of the project {}"),
    "model.created": _simple("made the model {}"),
    "model.updated": _updated,
    "model.deleted": _deleted,
    "model.restored": _simple("restored the model {}"),
    "model.purged": _simple("purged the model {} with all its versions"),
    "version.registered": _registered,
    "version.imported": _imported,
    "version.updated": _updated,
    "version.promoted": _moved,
    "version.archived": _moved,
    "version.deprecated": _deprecated,
    "version.deleted": _deleted,
    "version.restored": _simple("restored {}"),
    "version.purged": _simple("purged {}"),
    "version.evaluated": _evaluated,
    "version.trusted": _trusted,
    "version.distrusted": _simple("withdrew all trust in {}"),
    "lineage.linked": _linked,
    "lineage.unlinked": _unlinked,
    "storage.damaged": _simple("found damage in bytes that versions need"),
    "registry.expired": _simple("forgot what is old: keys, jobs, tokens, deliveries"),
    "schedule.set": _simple("set the {}"),
    "schedule.removed": _simple("removed the {}"),
    "schedule.paused": _simple("paused the {}"),
    "schedule.resumed": _simple("resumed the {}"),
    "job.queued": _simple("queued the {}"),
    "job.retried": _simple("had the {} tried again"),
    "job.cancelled": _simple("cancelled the {}"),
    "webhook.created": _simple("made the {}"),
    "webhook.updated": _simple("changed the {}"),
    "webhook.deleted": _simple("deleted the {}"),
    "webhook.rotated": _simple("gave the {} a new secret"),
    "webhook.tested": _simple("tried the {}"),
    "delivery.replayed": _simple("had an event sent again to the {}"),
    "endpoint.created": _deployed("made"),
    "endpoint.split": _deployed("split"),
    "endpoint.updated": _endpoint_updated,
    "endpoint.deleted": _simple("deleted the endpoint {}"),
    "experiment.started": _experiment_started,
    "experiment.stopped": _experiment_ended("stopped"),
    "experiment.extended": _simple("set the end of the experiment {} anew"),
    "experiment.decided": _experiment_ended("decided"),
    "experiment.archived": _experiment_ended("archived"),
    "rollout.started": _rollout("began"),
    "rollout.commanded": _rollout("asked for {command} of"),
    "rollout.advanced": _rollout_advanced,
    "rollout.paused": _rollout("paused"),
    "rollout.aborting": _rollout("aborts"),
    "rollout.completed": _rollout("completed"),
    "rollout.rolled_back": _rollout("rolled back"),
    "rollout.failed": _rollout("gave up"),
    "rollout.superseded": _rollout("put another in the place of"),
    "endpoint.rolled_back": _rolled_back,
    "monitor.created": _monitor_made,
    "monitor.enabled": _simple("enabled the monitor {}"),
    "monitor.disabled": _simple("disabled the monitor {}"),
    "monitor.deleted": _simple("deleted the monitor {}"),
    "alert.fired": _fired,
    "alert.resolved": _resolved,
    "alert.acknowledged": _simple("looks after the alert of {}"),
    "monitor.silenced": _silenced,
    "alert.rollback_refused": _simple("did not roll back for the alert of {}"),
    "token.created": _simple("made the token {}"),
    "token.revoked": _simple("revoked the token {}"),
    "member.set": _simple("gave a role to {}"),
    "member.removed": _simple("took a role from {}"),
    "role.defined": _simple("defined the role {}"),
    "role.removed": _simple("removed the role {}"),
    "storage.collected": _simple("freed bytes that nothing needs"),
    "registry.rebuilt": _simple("restored the catalog from the records beside the blobs"),
}
