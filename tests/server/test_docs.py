"""The reference at ``/docs``: all of the API, by itself, and every line of curl in it works."""

import html
import io
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from chopmark.base.jsons import decode, encode
from chopmark.base.settings import load_settings
from chopmark.domain.access import PERMISSIONS, Actor
from chopmark.ops.access import CreateToken, SetMember
from chopmark.ops.table import OPS
from chopmark.server.docs import docs_page, policy_of
from chopmark.server.docstrings import said_by
from chopmark.server.examples import BODIES, curl_line
from chopmark.server.openapi import described
from chopmark.server.serving import application, served
from chopmark.testing.registry import memory_transport
from tests.server.conftest import Plain

VOID = {"br", "hr", "img", "meta", "wbr", "link", "input"}


class Page(HTMLParser):
    """Ids, links, and whether elements are closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        said = dict(attrs)
        self.ids += [said["id"]] if "id" in said else []
        self.links += [said["href"]] if "href" in said else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text() -> str:
    return docs_page(described())


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_every_op_and_shape_is_told_once_and_every_link_leads_somewhere(page: Page) -> None:
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    operations = {o["operationId"] for methods in described()["paths"].values() for o in methods.values()}
    assert set(OPS) < operations <= set(page.ids)
    assert {f"shape-{name}" for name in described()["components"]["schemas"]} <= set(page.ids)
    assert {f"noun-{name.partition('.')[0]}" for name in OPS} <= set(page.ids)
    assert {link.removeprefix("#") for link in page.links} - set(page.ids) == {"openapi.json"}


def test_it_needs_nothing_from_elsewhere_and_runs_nothing(text: str, page: Page) -> None:
    assert not page.tags & {"script", "img", "link", "iframe", "form", "object", "base"}
    assert not {a for a in page.attributes if a.startswith("on") or a in ("src", "style", "srcset")}
    assert "url(" not in text
    assert "@import" not in text
    policy = policy_of(text)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert policy_of(text.replace("<style>", "<style>body{}", 1)) != policy


def test_what_is_said_of_an_op(text: str) -> None:
    start = text.index('<div id="version.promote"')
    told = re.sub(r"<[^>]+>", " ", html.unescape(text[start : text.index("</details>", start)]))
    for words in (
        "needs the permission  promote",
        "GivenReason",
        "Idempotency-Key",
        "required",
        "412",
        "Version",
        "curl -X POST",
    ):
        assert words in told, words


def test_the_served_page(plain: Plain) -> None:
    answer = plain.ask("GET", "/docs", accept_encoding="identity")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == policy_of(answer.data.decode())
    assert answer.data.decode() == docs_page(described())
    again = plain.ask("GET", "/docs", if_none_match=answer.headers["etag"])
    assert (again.status, again.data) == (304, b"")
    assert plain.ask("HEAD", "/docs").status == 200
    packed = plain.ask("GET", "/docs", accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.data == answer.data
    document = plain.ask("GET", "/openapi.json", accept_encoding="zstd")
    assert document.json() == decode(encode(described()), dict[str, Any])


SHOWN = Path(shutil.which("chromium") or shutil.which("google-chrome") or "")


@pytest.mark.skipif(not SHOWN.name, reason="no Chromium on this machine")
@pytest.mark.slow
def test_a_browser_draws_it_with_its_policy_and_nothing_is_too_wide(plain: Plain, tmp_path: Path) -> None:
    drawn = subprocess.run(
        [SHOWN, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--enable-logging=stderr",
         "--window-size=500,900", "--virtual-time-budget=3000", f"--screenshot={tmp_path / 'page.png'}", f"{plain.url}/docs"],
        capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    assert "Content Security Policy" not in drawn.stderr  # a style that it refused would be told here
    assert (tmp_path / "page.png").stat().st_size > 20_000


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a shell knows of a server of a registry in which there is something, and a token that may do everything."""
    settings = load_settings(
        {"actor": "root", "serve_address_rate_per_s": 0, "serve_token_rate_per_s": 0}, environ={}
    ).settings
    behind = memory_transport(settings)
    root = Actor("root")
    behind.act(SetMember(project="*", member="boss", role="admin"), root)
    secret = behind.act(CreateToken(name="t", owner="boss", scopes=tuple(sorted(PERMISSIONS))), root).secret
    place = tmp_path_factory.mktemp("cache")
    behind.store.put(io.BytesIO(b""))
    with served(application(behind, settings)) as url:
        with cm.open(url, token=secret, cache_dir=str(place)) as registry:
            for threshold in (0.5, 0.6, 0.7):
                registry.register("fraud", {"threshold": threshold}, metrics={"roc_auc": threshold})
            registry.alias("fraud@champion", "fraud:1")
            registry.endpoints.create("fraud-api", "fraud:2")
            registry.rollouts.start("fraud-api", "fraud:1")
            registry.monitors.create("fraud-api", above=0.05)
            registry.experiments.start("ranker-test", control="fraud:1", treatment="fraud:2", metric="success")
        yield {**os.environ, "CHOPMARK_URL": url, "CHOPMARK_TOKEN": secret}
    behind.close()


DOCUMENT = described()
LINES = {
    operation["operationId"]: curl_line(method.upper(), path, operation, DOCUMENT["components"]["schemas"])
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
MADE_FIRST = {
    "experiment.archive", "token.revoke", "job.get", "job.retry", "job.cancel", "schedule.remove", "schedule.pause", "schedule.resume", "role.remove",
    "member.get", "member.remove", "schedule.get", "dataset.get", "webhook.get", "webhook.update", "webhook.delete", "webhook.rotate", "webhook.test",
    "alert.get", "alert.acknowledge", "alert.rollback",
    "blob.address",
    "blob.arrived",
    "delivery.list", "delivery.get", "delivery.replay", "lineage.unlink", "model.restore", "model.purge", "version.restore",
    "version.purge", "alias.at", "model.delete", "trust.grant", "trust.revoke", "registry.rebuild",
}  # fmt: skip
"""Their examples name what this registry has not, or what would have to be deleted first."""


@pytest.mark.parametrize("name", LINES)
def test_every_line_of_curl_works(name: str, shell: dict[str, str], tmp_path: Path) -> None:
    line = LINES[name].replace("curl ", "curl -s -o answer -w '%{http_code}' --max-time 3 ", 1)
    if name in OPS and OPS[name].writes:  # so that none depends on those before it
        line = line.removesuffix('"') + ("&" if "?" in line else "?") + 'dry_run=true"'
    (tmp_path / "model.bin").write_bytes(b"")
    ran = subprocess.run(["bash", "-c", line], env=shell, cwd=tmp_path, capture_output=True, text=True, check=False)
    told = (tmp_path / "answer").read_text() if (tmp_path / "answer").exists() else ""
    assert ran.stdout in ({"404", "409"} if name in MADE_FIRST else {"200", "201"}), (line, told)


def test_every_body_belongs_to_an_op() -> None:
    assert set(BODIES) <= set(LINES)


class Sample:
    """A thing; see ``other``.

    More of it.

    Attributes
    ----------
    one
        What one is,
        in two lines.
    two, three
        What is UNSET stays.
    """


def test_docstrings_are_read() -> None:
    said = said_by(Sample)
    assert said.about == "A thing; see `other`. More of it."
    assert said.attributes == {
        "one": "What one is, in two lines.", "two": "What is left out stays.", "three": "What is left out stays.",
    }  # fmt: skip
