"""Every example of README and docs runs as it stands there."""

import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.backends.s3 import S3Server
from tests.docs.markdown import EXECUTED, ROOT, SHOWN, blocks, name_of, pages
from tests.docs.running import PageRun, shell_environment

WITH_EXAMPLES = [page for page in pages() if any(b.language in EXECUTED for b in blocks(page.read_text()))]
# Pages whose examples need a real service, and what they find in their environment.
ON_SERVERS = frozenset({"docs/how-to/postgresql-and-object-stores.md"})
# Where the program is started as it is installed, from nothing. Elsewhere it is forked from a warm process: see starter.py.
AS_INSTALLED = frozenset({"README.md"})


@pytest.fixture
def service_settings(page: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    if name_of(page) not in ON_SERVERS:
        return {}
    database: str = request.getfixturevalue("postgres_url")
    s3: S3Server = request.getfixturevalue("s3_server")
    return {
        "CHOPMARK_DATABASE_URL": database,
        "CHOPMARK_STORE_URL": f"s3://{s3.bucket}/docs-{database.rpartition('/')[2]}",
        "CHOPMARK_STORE_ENDPOINT": s3.endpoint_url,
        "CHOPMARK_STORE_REGION": s3.region,
        "AWS_ACCESS_KEY_ID": s3.access_key_id,
        "AWS_SECRET_ACCESS_KEY": s3.secret_access_key,
    }


@pytest.fixture
def programs(page: Path, request: pytest.FixtureRequest) -> list[Path]:
    return [] if name_of(page) in AS_INSTALLED else [request.getfixturevalue("warm_programs")]


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=name_of)
def test_the_examples_of_a_page_run(
    page: Path,
    service_settings: dict[str, str],
    programs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home, directory = tmp_path / "home", tmp_path / "page"
    home.mkdir()
    directory.mkdir()
    monkeypatch.chdir(directory)
    environ = shell_environment(home, service_settings, programs)
    for name in ("HOME", "LOGNAME", *service_settings):
        monkeypatch.setenv(name, environ[name])
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    run = PageRun(name_of(page), directory, environ)
    monkeypatch.setitem(sys.modules, "__main__", run.module)
    try:
        for block in blocks(page.read_text()):
            if block.language in EXECUTED:
                run.run(block)
    finally:  # a page that fails on its way leaves no server behind, to answer the next run
        for noted in directory.glob("*.pid"):
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(int(noted.read_text()), signal.SIGTERM)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_block_says_what_it_is(page: Path) -> None:
    """A block without a language, or of one that nobody runs, is an example that may rot."""
    odd = [f"line {b.line}: {b.language!r}" for b in blocks(page.read_text()) if b.language not in EXECUTED | SHOWN]
    assert odd == []


def test_the_pages_are_there() -> None:
    assert ROOT / "README.md" in WITH_EXAMPLES
    assert AS_INSTALLED | ON_SERVERS | {"docs/tutorial.md", "docs/reference/surfaces.md"} <= {
        name_of(page) for page in WITH_EXAMPLES
    }
