"""Keys, seals, and the library that connects by itself."""

import base64
import stat
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

import chopmark as cm
from chopmark.base.settings import load_settings
from chopmark.domain.notices import ForLibrary
from chopmark.domain.receivers import Hidden, Secret
from chopmark.errors import Denied, IntegrityFailure, InvalidRequest, Unavailable, Unsupported
from chopmark.notify.post import CheckedPost
from chopmark.notify.seals import KEY_FILE, key_from

HOOK = UUID(int=1)
HIDDEN = Hidden(url="https://x.example/secret-path", credential="secret-word", secrets=(Secret("whsec_secret"),))
KEY = base64.b64encode(bytes(range(32))).decode()


def post(directory: Path | None = None, **settings: Any) -> CheckedPost:
    return CheckedPost(load_settings(settings, environ={}).settings, directory)


def test_what_is_sealed_says_nothing_and_comes_back() -> None:
    sealed = post(webhook_key=KEY).seal(HOOK, HIDDEN)
    assert "secret" not in sealed
    assert b"secret" not in base64.b64decode(sealed.partition(":")[2])
    assert post(webhook_key=KEY).unseal(HOOK, sealed) == HIDDEN
    assert post(webhook_key=KEY).seal(HOOK, HIDDEN) != sealed, "the same twice tells that it is the same"


def test_a_seal_is_of_one_key_and_one_webhook() -> None:
    sealed = post(webhook_key=KEY).seal(HOOK, HIDDEN)
    other = base64.b64encode(bytes(32)).decode()
    flipped = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]
    for key, webhook, text in (
        (other, HOOK, sealed),
        (KEY, UUID(int=2), sealed),
        (KEY, HOOK, flipped),
        (KEY, HOOK, sealed[:20]),
        (KEY, HOOK, ""),
        (KEY, HOOK, "a1:ä"),
    ):
        with pytest.raises(IntegrityFailure, match="another key, or changed"):
            post(webhook_key=key).unseal(webhook, text)


def test_a_directory_has_a_key_of_its_own_for_its_owner_only(tmp_path: Path) -> None:
    sealed = post(tmp_path).seal(HOOK, HIDDEN)
    file = tmp_path / KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert post(tmp_path).unseal(HOOK, sealed) == HIDDEN
    assert [each.name for each in tmp_path.iterdir()] == [KEY_FILE], "a draft is left"


def test_processes_that_make_the_key_at_once_have_one(tmp_path: Path) -> None:
    keys: list[bytes] = []
    barrier = threading.Barrier(8)

    def make() -> None:
        barrier.wait()
        keys.append(key_from("", tmp_path))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_keys_that_are_none(tmp_path: Path) -> None:
    for text in ("x", base64.b64encode(bytes(31)).decode(), "ä"):
        with pytest.raises(InvalidRequest) as refused:
            key_from(text, None)
        assert text not in refused.value.message.replace("webhook_key", "").replace("base64", "") or text == "x"
    with pytest.raises(Unsupported, match="no key"):
        key_from("", None)
    with pytest.raises(Unavailable, match="cannot be read or made"):
        key_from("", tmp_path / "nowhere")
    (tmp_path / KEY_FILE).write_text("rubbish")
    with pytest.raises(InvalidRequest, match="is no key"):
        key_from("", tmp_path)


def test_no_secret_is_in_a_file_of_the_registry(tmp_path: Path) -> None:
    with cm.open(tmp_path / "registry", actor="ada") as registry:
        made = registry.webhooks.create("https://ci.example/hook?key=secret-query")
        slack = registry.webhooks.create("https://hooks.slack.com/services/secret-path", kind="slack")
        registry.webhooks.create(kind="pagerduty", credential="secret-credential-0123456789abcde"[:32])
        registry.webhooks.rotate(made.webhook)
        registry.webhooks.update(slack.webhook, url="https://hooks.slack.com/services/secret-other")
    told = [b"secret-query", b"secret-path", b"secret-credential", b"secret-other", made.secret.encode()[6:]]
    files = [file for file in (tmp_path / "registry").rglob("*") if file.is_file()]
    assert any(file.name == "chopmark.db" for file in files)
    for file in files:
        raw = file.read_bytes()
        assert not [text for text in told if text in raw], file


class Library(ModuleType):
    """As much of the library apprise as is used."""

    def __init__(self) -> None:
        super().__init__("apprise")
        self.told: list[dict[str, str]] = []
        self.answer: Any = True
        self.Apprise = lambda: self

    def add(self, url: str) -> bool:
        self.url = url
        return url.startswith("discord://")

    def notify(self, **told: str) -> Any:
        self.told.append(told)
        return self.answer() if callable(self.answer) else self.answer


MESSAGE = ForLibrary(url="discord://secret/x", title="t", text="b", kind="warning")
YES: Any = {"webhook_apprise": "yes, to any address", "webhook_timeout_s": 0.5}


def test_the_library_is_given_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setitem(sys.modules, "apprise", library)
    assert post(**YES).send(MESSAGE).status == 200
    assert library.url == "discord://secret/x"
    assert library.told == [{"title": "t", "body": "b", "notify_type": "warning"}]
    library.answer = False
    assert "could not send" in post(**YES).send(MESSAGE).error
    library.answer = lambda: time.sleep(3)
    began_s = time.monotonic()
    assert post(**YES).send(MESSAGE).status == 0
    assert time.monotonic() - began_s < 2
    unknown = ForLibrary(url="nothing://secret", title="t", text="b", kind="info")
    answer = post(**YES).send(unknown)
    assert "does not know" in answer.error
    assert "secret" not in answer.error


def test_the_library_is_used_only_where_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would reach any address, and so make the rules on addresses worthless."""
    library = Library()
    monkeypatch.setitem(sys.modules, "apprise", library)
    with pytest.raises(Denied, match="connects by itself"):
        post().check("apprise", "json://127.0.0.1/")
    assert "connects by itself" in post().send(MESSAGE).error
    assert library.told == []


def test_without_the_library_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(Unsupported, match="need the library") as refused:
        post(**YES).check("apprise", "discord://x/y")
    assert "chopmark[apprise]" in (refused.value.hint or "")
    assert "chopmark[apprise]" in post(**YES).send(MESSAGE).error


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "https://[::1]/", "http://ci.example/", "https://169.254.169.254/"]
)
def test_what_could_not_be_sent_to_is_refused_at_once(url: str) -> None:
    with pytest.raises(Denied):
        post().check("webhook", url)
    post().check("webhook", "https://ci.example/")


def test_a_setting_that_cannot_be_meant_keeps_a_registry_from_opening(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="webhook_allow"):
        cm.open(tmp_path / "registry", webhook_allow="10.0.0.0/99")
