"""Nothing in the repository points at one person's machine or at the package index that somebody happened to use."""

import re
from pathlib import Path

import pytest

from tests.project.tracked import ROOT, tracked_files

# Every pattern is put together from pieces, so that this file does not match itself.
INDEX_HOSTS = [
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("piwheels", "org"),
    ("registry.npmjs", "org"),
    ("registry.yarnpkg", "com"),
    ("npmmirror", "com"),
    ("anaconda", "org"),
    ("deb.debian", "org"),
    ("archive.ubuntu", "com"),
    ("proxy.golang", "org"),
    ("crates", "io"),
]
HOST = re.compile(
    r"(?<![\w-])(?:[\w-]+\.)*(?:" + "|".join(r"\.".join(map(re.escape, host)) for host in INDEX_HOSTS) + r")\b"
)
INDEX_OPTION = re.compile("--(?:extra-)?" + r"index-url|--find" + r"-links|\bextra" + r"-index-url\b")
FILE_URL = re.compile(r"\bfile" + r":/+")
# A path below somebody's home directory, on Linux, macOS or Windows. "you" and "me" are fine in an example.
HOME_PATH = re.compile(
    r"(?<![\w.~-])/(?:"
    r"home|Users"
    r")/(?!you\b|me\b)\w[\w.-]*/|(?<![\w.~-])/"
    r"root/[\w.]|\b[A-Z]:\\"
    r"Users\\"
)
PATTERNS = {
    "an index host": HOST,
    "an index option": INDEX_OPTION,
    "a file URL": FILE_URL,
    "a home directory": HOME_PATH,
}


def here() -> dict[str, re.Pattern[str]]:
    """Add the paths of this very machine; a one-part path, such as /app, is too common a word to look for."""
    places = {"this checkout": ROOT, "its parent": ROOT.parent, "this home": Path.home()}
    return {what: re.compile(re.escape(f"{place}") + r"\b") for what, place in places.items() if len(place.parts) > 2}


def findings(text: str, patterns: dict[str, re.Pattern[str]]) -> list[str]:
    return [f"{what}: {found[0]}" for what, pattern in patterns.items() for found in pattern.finditer(text)]


def test_no_tracked_file_names_an_index_or_a_machine() -> None:
    files = tracked_files()
    assert ROOT / "pyproject.toml" in files
    patterns = PATTERNS | here()
    found = {
        str(path.relative_to(ROOT)): what
        for path in files
        if (what := findings(path.read_bytes().decode("latin-1"), patterns))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "https://files." + "pythonhosted" + ".org/packages/x.whl",
        "index = " + "pypi" + ".org/simple",
        "https://registry." + "npmjs" + ".org/azurite",
        "--index" + "-url https://mirror.example/simple",
        "file:" + "///srv/wheels",
        "see /" + "home/maria/chopmark/README.md",
        "/" + "root/.cache/uv",
        "C:" + "\\Users\\maria\\chopmark",
    ],
)
def test_the_patterns_find_what_they_are_for(text: str) -> None:
    assert findings(text, PATTERNS)


@pytest.mark.parametrize(
    "text", ["profile:/x", "a file: the raw bytes", "~/home/x", "https://example.org/home", "pypi"]
)
def test_the_patterns_leave_the_rest_alone(text: str) -> None:
    assert not findings(text, PATTERNS)


def test_no_tracked_file_is_large() -> None:
    """Data sets and models come from packages; what the tests keep is small."""
    limit_bytes = 2_000_000
    assert [str(path) for path in tracked_files() if path.stat().st_size > limit_bytes] == []
