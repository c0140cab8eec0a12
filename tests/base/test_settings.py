"""Settings: five layers in one order, each value with its origin."""

from pathlib import Path

import pytest

from chopmark.base.settings import load_settings
from chopmark.errors import InvalidRequest


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / ".config" / "chopmark").mkdir(parents=True)
    return tmp_path / "home"


def test_defaults_need_nothing(tmp_path: Path, home: Path) -> None:
    resolved = load_settings(environ={"HOME": str(home), "USER": "ada"}, directory=tmp_path)
    assert resolved.settings.url == ".chopmark"
    assert resolved.settings.actor == "ada"
    assert resolved.settings.cache_dir == str(home / ".cache" / "chopmark")
    assert set(resolved.origins.values()) == {"default", "operating system"}


def test_the_order_of_layers(tmp_path: Path, home: Path) -> None:
    user = home / ".config" / "chopmark" / "config.toml"
    user.write_text('project = "user"\nactor = "user"\npool_size = 1\ntrust = "never"\n')
    project = tmp_path / "work"
    (project / "deep").mkdir(parents=True)
    (project / "chopmark.toml").write_text('project = "file"\nactor = "file"\npool_size = 2\nurl = "reg"\n')
    environ = {"HOME": str(home), "CHOPMARK_ACTOR": "env", "CHOPMARK_POOL_SIZE": "3"}
    resolved = load_settings({"pool_size": 4, "project": None}, environ=environ, directory=project / "deep")
    settings = resolved.settings
    assert (settings.trust, settings.project, settings.actor, settings.pool_size) == ("never", "file", "env", 4)
    assert settings.url == str(project / "reg")
    assert resolved.origins["trust"] == str(user)
    assert resolved.origins["project"] == str(project / "chopmark.toml")
    assert resolved.origins["actor"] == "environment"
    assert resolved.origins["pool_size"] == "argument"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHOPMARK_POOL_SIZE", "many"),
        ("CHOPMARK_POOL_SIZE", "0"),
        ("CHOPMARK_TRUST", "always"),
        ("CHOPMARK_LOCK_TIMEOUT_S", "-1"),
    ],
)
def test_a_bad_value_names_its_layer(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match="setting in environment is not valid"):
        load_settings(environ={"HOME": str(tmp_path), name: value}, directory=tmp_path)


@pytest.mark.parametrize("text", ["projct = 'x'", "project = ", "project = 5", "\xff"])
def test_a_bad_file_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "chopmark.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidRequest, match=r"chopmark\.toml"):
        load_settings(environ={"HOME": str(tmp_path)}, directory=tmp_path)


def test_an_unknown_argument_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="the call"):
        load_settings({"colour": "red"}, environ={"HOME": str(tmp_path)}, directory=tmp_path)


def test_unknown_names_in_the_environment_are_left_alone(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "CHOPMARK_SOMETHING_ELSE": "1", "CHOPMARK_TRUST": "never"}
    resolved = load_settings(environ=environ, directory=tmp_path)
    assert resolved.unknown == ("CHOPMARK_SOMETHING_ELSE",)


def test_a_home_that_may_not_be_looked_into_holds_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refused)  # root, who may look anywhere, runs this too
    assert load_settings(environ={"HOME": str(tmp_path / "home")}, directory=tmp_path).settings.url == ".chopmark"
