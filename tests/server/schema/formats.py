"""Texts of grammars that JSON Schema cannot say, for schemathesis."""

from typing import Any

import schemathesis
from hypothesis import strategies

_TEXTS = {
    "chopmark-cursor": [""],  # others come from pages
    "chopmark-filter": ["", "metrics.f1 > 0.5", 'name ~ "fraud" and tags.team = "risk" order by created_at desc'],
    "chopmark-words": ["", "odd", "odd payments", "pay*"],
    "chopmark-cron": ["17 3 * * *", "*/5 * * * *", "0 0 1 1 *"],
    "chopmark-zone": ["UTC", "Europe/Vienna"],
}

for _name, _texts in _TEXTS.items():
    schemathesis.openapi.format(_name, strategies.sampled_from(_texts))


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:  # noqa: ARG001 - schemathesis' names
    """JSON Schema calls 3.0 an integer; the server, as most typed readers, does not, and no client writes one so."""
    return _whole(body)


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list) else value
