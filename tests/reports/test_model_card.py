"""Model cards: front matter that YAML reads and the hub understands; a body without strangers' HTML."""

from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from chopmark.base.yaml_text import yaml_text
from chopmark.reports.card_text import split_front_matter
from chopmark.reports.front_matter import front_matter_fault
from chopmark.reports.model_card import model_card
from tests.reports.stories import EVIL, a_story


def front_matter(**fields: Any) -> dict[str, Any]:
    front, _ = split_front_matter(model_card(a_story(**fields)))
    loaded: dict[str, Any] = yaml.safe_load(front)
    return loaded


def mapping(front: str) -> dict[str, Any] | None:
    """What a parser reads; None of what is no YAML, and of a list or a text, which say nothing to the hub."""
    try:
        read = yaml.safe_load(front)
    except yaml.YAMLError:
        return None
    return read if isinstance(read, dict) else None


def test_what_the_hub_reads() -> None:
    found = front_matter()
    assert found["license"] == "apache-2.0"
    assert found["language"] == ["en", "de"]
    assert found["library_name"] == "sklearn"
    assert found["pipeline_tag"] == "tabular-classification"
    assert found["tags"] == ["chopmark", "binary-classification", f"evil:{EVIL}", "yes:no", "n:o:#: {x}"]
    assert found["datasets"] == ["february"]
    assert found["metrics"] == ["roc_auc", "latency_ms_p95", "f1"]
    assert found["base_model"] == "fraud:1"
    assert found["base_model_relation"] == "finetune"


def test_results_of_evaluations() -> None:
    (index,) = front_matter()["model-index"]
    assert index["name"] == "fraud:2"
    (result,) = index["results"]  # both evaluations are of the same bytes: the newest counts
    assert result["task"] == {"type": "tabular-classification"}
    assert result["dataset"] == {"name": "march", "type": "march", "split": "test", "revision": "sha256:" + "e" * 64}
    assert result["metrics"][0] == {"type": "roc_auc", "value": 0.93, "name": "roc_auc"}


@pytest.mark.parametrize(
    ("fields", "key", "expected"),
    [
        ({"task": "regression"}, "pipeline_tag", "tabular-regression"),
        ({"task": "anomaly detection"}, "pipeline_tag", None),
        ({"kind": "llm_config", "task": ""}, "pipeline_tag", "text-generation"),
        ({"task": "text-classification"}, "pipeline_tag", "text-classification"),
        ({"parents": ()}, "base_model", None),
        ({"tags": {}, "metadata": {"license": "mit", "language": ["fr"]}}, "license", "mit"),
        ({"tags": {}, "metadata": {"license": "mit", "language": ["fr"]}}, "language", ["fr"]),
        ({"tags": {}}, "license", None),
    ],
)
def test_fields_by_facts(fields: dict[str, Any], key: str, expected: object) -> None:
    assert front_matter(**fields).get(key) == expected


def test_the_body_is_made_of_facts_where_nobody_wrote_one() -> None:
    body = split_front_matter(model_card(a_story()))[1]
    for heading in (
        "# fraud:2 (1.1.0)",
        "## What it is",
        "## Data",
        "## Evaluation on march test",
        "## How to load it",
    ):
        assert heading in body
    assert "<script" not in body
    assert "registry.load('fraud:2')" in body


def test_a_persons_card_is_kept_without_its_html() -> None:
    card = f"# Ours\n\n{EVIL} and `<b>code</b>`\n\n```html\n<i>shown</i>\n```\n"
    front, body = split_front_matter(model_card(a_story(card=card)))
    assert yaml.safe_load(front)["library_name"] == "sklearn"
    assert "&lt;script>alert(1)&lt;/script>" in body
    assert "`<b>code</b>`" in body
    assert "<i>shown</i>" in body


def test_front_matter_that_a_person_wrote_stays() -> None:
    text = model_card(a_story(card="---\nlicense: mit\nmine: 1\n---\n\n# Ours\n"))
    assert text == "---\nlicense: mit\nmine: 1\n---\n\n# Ours\n"


@pytest.mark.parametrize(
    ("front", "fault"),
    [
        ("license: mit\ntitle: a: b", "line 2 has a second colon"),
        ("license: mit\njust words", "line 2 is not of the form"),
        ("tags: [a, b", "line 1 opens [ and never closes it"),
        ('title: "a', 'line 1 opens " and never closes it'),
        ('title: "a" b', "line 1 goes on behind the closing"),
        ("- a\n- b", "line 1 is an item below no key"),
        ("license: mit\n- a", "line 2 is an item below no key"),
        ("tags: - a", "line 1 has an item behind"),
        ("license: mit\n  title: b", "line 2 is a key below"),
        ("title: @a", "line 1 begins its value with @"),
        ("license: mit\x1b", "line 1 has a control character"),
    ],
)
def test_front_matter_that_is_no_yaml_is_replaced(front: str, fault: str) -> None:
    assert mapping(front) is None
    text = model_card(a_story(card=f"---\n{front}\n---\n\n# Ours\n"))
    assert f"# The card's own front matter was left out: its {fault}" in text
    found, body = split_front_matter(text)
    assert yaml.safe_load(found)["license"] == "apache-2.0"
    assert body == "\n# Ours\n"


LINES = st.sampled_from(
    """a: b
b:
- c
  - d
  e: f
# g: h
i: j # k: l
m: 'n: o'
p: [q,
r]
  t: u: v
"w": x
y: >-
s: |
  z

a b: c:d
? e
: f
g: &h i
j: *h
k: {l: m}
n: http://o
p
'q
r: - s
t: u: v
w: @x
y: %z
- a: b
-c: d
...
e:f
g: 'h''i'
j: "k\\"l"
%b
- - c
--- a
\tm
a:\tb""".splitlines()
)


@given(st.lists(LINES, max_size=6).map("\n".join))
def test_front_matter_that_can_be_read_is_kept(front: str) -> None:
    if mapping(front) is not None:
        assert front_matter_fault(front) == ""


TEXTS = st.text(max_size=30)
PLAIN = st.one_of(TEXTS, st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner.filter(lambda v: not isinstance(v, list)), min_size=1, max_size=3)
        | st.dictionaries(TEXTS, inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4))
def test_yaml_reads_what_was_written(values: dict[str, Any]) -> None:
    assert yaml.safe_load(yaml_text(values)) == values
    assert front_matter_fault(yaml.safe_dump(values, allow_unicode=True)) == ""


@pytest.mark.parametrize(
    "word",
    [
        "yes",
        "No",
        "null",
        "~",
        "1e3",
        "0x10",
        "012",
        "12:30",
        "2026-03-01",
        ".5",
        "- a",
        "a: b",
        "#",
        "",
        " a",
        "\ufeff",
        "\x85",
        "=",
        "<<",
    ],
)
def test_words_that_yaml_takes_for_something_else(word: str) -> None:
    assert yaml.safe_load(yaml_text({word: word, "list": [word]})) == {word: word, "list": [word]}
