"""What is asked of a large catalog: each a kind of call with values of its own every time, drawn as users would.

Half of the values are drawn as the versions have them, so that common ones come often; half evenly, so that rare ones do.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.made_registry import TEAMS, VOCABULARY, model_name

__all__ = ["PAGED", "QUESTIONS", "Question", "Sizes"]


class Sizes(NamedTuple):
    """How many there are."""

    versions: int
    models: int


class Question(NamedTuple):
    """A kind of call: a reference that is resolved, a model whose page is listed, or a search's filter.

    ``is_promised``: whether the limits hold for it; the others are told so that they are known.
    """

    what: str
    verb: str
    text: Callable[[random.Random, Sizes], str]
    is_promised: bool = True


def _model(draw: random.Random, sizes: Sizes) -> str:
    return model_name(draw.randrange(sizes.models))


def _number(draw: random.Random, sizes: Sizes) -> int:
    return draw.randrange(1, max(2, sizes.versions // sizes.models))


def _team(draw: random.Random) -> str:
    drawn = int(draw.paretovariate(0.7)) if draw.random() < 0.5 else draw.randrange(TEAMS)
    return f"team{drawn % TEAMS}"


def _word(draw: random.Random) -> str:
    if draw.random() < 0.1:
        return draw.choice(("fraud", "churn", "percent", "needle", "odd", "even"))
    drawn = int(draw.paretovariate(0.6)) if draw.random() < 0.5 else draw.randrange(VOCABULARY)
    return f"w{drawn % VOCABULARY}"


def _words(draw: random.Random, count: int) -> str:
    return " ".join(_word(draw) for _ in range(count))


def _stage(draw: random.Random) -> str:
    return draw.choice(("development", "staging", "production", "archived"))


def _range(draw: random.Random) -> str:
    width = draw.choice((0.0001, 0.001, 0.01, 0.1, 0.5))
    low = round(draw.uniform(0, 1 - width), 4)
    return f"metrics.{draw.choice(('auc', 'f1', 'recall'))} >= {low} and metrics.auc < {round(low + width, 4)}"


def _one_range(draw: random.Random) -> str:
    width = draw.choice((0.0001, 0.001, 0.01, 0.1, 0.5))
    low = round(draw.uniform(0, 1 - width), 4)
    return f"metrics.auc >= {low} and metrics.auc < {round(low + width, 4)}"


def _semver_range(draw: random.Random, sizes: Sizes) -> str:
    return draw.choice(("^1.0", "^1.{}")).format(_number(draw, sizes) // 2)


QUESTIONS = (
    Question("get by number", "get", lambda d, s: f"{_model(d, s)}:{_number(d, s)}"),
    Question("get by SemVer", "get", lambda d, s: f"{_model(d, s)}:1.{_number(d, s)}.0"),
    Question("get by range", "get", lambda d, s: f"{_model(d, s)}:{_semver_range(d, s)}"),
    Question("get the latest", "get", _model),
    Question("get by alias", "get", lambda d, s: f"{_model(d, s)}@{d.choice(('champion', 'challenger', 'previous'))}"),
    Question("get by stage", "get by stage", _model),
    Question("get by digest", "get by digest", lambda d, s: f"{_model(d, s)}:{_number(d, s)}"),
    Question("list a model's page", "list", _model),
    Question("newest of all", "search", lambda _d, _s: ""),
    Question("stage, by time", "search", lambda d, _: f'stage = "{_stage(d)}"'),
    Question(
        "tag and stage, by time",
        "search",
        lambda d, _: f'tags.team = "{_team(d)}" and stage = "{_stage(d)}" order by created_at desc',
    ),
    Question("metric range, by time", "search", lambda d, _: _one_range(d)),
    Question("metric range, by it", "search", lambda d, _: f"{_one_range(d)} order by metrics.auc desc"),
    Question("ranges of two metrics", "search", lambda d, _: _range(d)),
    Question("one word", "search", lambda d, _: f'text ~ "{_word(d)}"'),
    Question("two words", "search", lambda d, _: f'text ~ "{_words(d, 2)}"'),
    Question("three words", "search", lambda d, _: f'text ~ "{_words(d, 3)}"'),
    Question("beginning of a word", "search", lambda d, _: f'text ~ "{_word(d)[:4]}*"'),
    Question("one word, by metric", "search", lambda d, _: f'text ~ "{_word(d)}" order by metrics.auc desc'),
    Question("two words, by metric", "search", lambda d, _: f'text ~ "{_words(d, 2)}" order by metrics.auc desc'),
    Question("words that never meet", "search", lambda _d, _s: 'text ~ "never ever"'),
    Question("words that seldom meet", "search", lambda _d, _s: 'text ~ "odd even"'),
    Question("they, by metric", "search", lambda _d, _s: 'text ~ "never ever" order by metrics.auc desc'),
    Question("word of 1 %, by metric", "search", lambda _d, _s: 'text ~ "percent" order by metrics.auc desc'),
    Question(
        "tag and stage, by metric",
        "search",
        lambda d, _: f'tags.team = "{_team(d)}" and stage = "{_stage(d)}" order by metrics.auc desc',
        is_promised=False,
    ),
    Question("rare value, no index", "search", lambda _d, _s: 'task = "none"', is_promised=False),
)

PAGED = {
    "newest of all": "",
    "stage, by time": 'stage = "development"',
    "tag, by time": 'tags.team = "team1"',
    "tag and stage, by time": 'tags.region = "region1" and stage = "development" order by created_at desc',
    "one word": 'text ~ "fraud"',
    "two words": 'text ~ "fraud odd"',
    "by a metric": "order by metrics.auc desc",
    "metric range, by it": "metrics.auc < 0.9 order by metrics.auc desc",
}
"""Searches with more than 1,000 pages."""
