"""What commands print: JSON shapes, quiet mode, plain tables, and what they change."""

import json
from pathlib import Path

import pytest

from tests.cli.running import Program


def test_a_record_is_the_record_of_the_sdk(program: Program) -> None:
    program.register("fraud", "{}", "--param", "depth=3", "--param", "solver=lbfgs", "--tag", "team=risk")
    version = program.ok("get", "fraud", "--json").json
    assert version["params"] == {"depth": 3, "solver": "lbfgs"}
    assert version["tags"] == {"team": "risk"}
    assert version["created_by"] == "ana"
    assert {"id", "number", "semver", "digest", "runs_code", "stage"} <= set(version)


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("search", "number > 0"),
        ("files", "fraud"),
        ("uses", "fraud"),
        ("history", "fraud"),
        ("evaluations", "fraud"),
        ("model", "list"),
        ("alias", "list", "fraud"),
        ("alias", "history", "fraud@champion"),
        ("project", "list"),
        ("trust", "list", "fraud"),
        ("audit", "list"),
        ("config", "show"),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_a_list_is_items_and_cursor(program: Program, words: tuple[str, ...]) -> None:
    program.register()
    program.ok("alias", "set", "fraud@champion", "fraud:1")
    answer = program.ok(*words, "--json").json
    assert set(answer) == {"items", "cursor"}
    assert isinstance(answer["items"], list)


def test_pages_follow_the_cursor(program: Program) -> None:
    for number in range(3):
        program.register("fraud", json.dumps({"n": number}))
    first = program.ok("list", "fraud", "--limit", "2", "--json").json
    assert [v["number"] for v in first["items"]] == [3, 2]
    rest = program.ok("list", "fraud", "--limit", "2", "--cursor", first["cursor"], "--json").json
    assert [v["number"] for v in rest["items"]] == [1]
    assert rest["cursor"] == ""


def test_quiet_prints_references_only(program: Program) -> None:
    program.register()
    program.register("fraud", "{}")
    assert program.ok("list", "-q").out == "fraud:2\nfraud:1\n"
    assert program.ok("get", "fraud", "-q").out == "fraud:2\n"
    assert program.ok("model", "list", "-q").out == "fraud\n"
    assert program.ok("promote", "fraud:2", "staging", "--reason", "x", "-q").out == "fraud:2\n"


def test_a_row_that_is_no_json_is_refused_in_whole_sentences(program: Program) -> None:
    ran = program("predict", "api", "--row", "xx")
    assert ran.code == 2
    told = " ".join(ran.err.split())
    assert "The row is not JSON." in told
    assert "(byte 0)." in told
    assert ".." not in told


def test_options_of_the_program_stand_before_the_command_too(program: Program) -> None:
    program.register()
    assert program.ok("--json", "get", "fraud").json["number"] == 1
    assert program.ok("-q", "--project", "default", "list").out == "fraud:1\n"


def test_plain_tables_cut_nothing(program: Program) -> None:
    long = "x" * 300
    program.ok("register", "fraud", program.file(), "--metric", f"{'m' * 150}=0.5")
    program.ok("model", "update", "fraud", "--description", long)
    assert "m" * 150 in program.ok("list").out
    assert long in program.ok("model", "list").out


def test_what_others_wrote_cannot_steer_the_terminal(program: Program) -> None:
    program.register()
    program.ok("describe", "fraud:1", "good\x1b[2J\x1b]0;owned\x07")
    out = program.ok("get", "fraud:1").out
    assert "\x1b" not in out
    assert "\\x1b[2J" in out


def test_running_code_is_said_wherever_a_version_is_shown(program: Program) -> None:
    import pickle

    file = program.file("model.pkl", pickle.dumps({"a": 1}))
    ran = program.ok("register", "fraud", file)
    assert "runs code on load" in ran.out
    assert "runs code on load" in ran.err
    for words in (("get", "fraud"), ("list",), ("search", ""), ("download", "fraud", str(program.directory / "out"))):
        assert "runs code on load" in program.ok(*words).out
    assert "runs code on load" in program.ok("trust", "grant", "fraud", "--reason", "ours").out


def test_the_same_content_is_given_back_and_said(program: Program) -> None:
    program.register()
    ran = program.ok("register", "fraud", program.file())
    assert "note: The same content was registered before as fraud:1" in ran.err
    assert program.ok("register", "fraud", program.file(), "--allow-twin", "-q").out == "fraud:2\n"


def test_kinds_without_files(program: Program) -> None:
    toml = program.file("prompt.toml", 'provider = "vllm"\nmodel = "small"\ntemperature = 0.2\n')
    assert program.ok("register", "chat", "--config", toml, "--json").json["config"]["temperature"] == 0.2
    program.register()
    program.register("fraud", "{}")
    both = program.ok("register", "both", "--member", "fraud:1=0.7", "--member", "fraud:2=0.3", "--json").json
    assert {m["ref"]: m["weight"] for m in both["parents"]} == {"fraud:1": 0.7, "fraud:2": 0.3}
    assert "both:1 has as a member fraud:1" in program.ok("uses", "fraud:1").out
    digest = "sha256:" + "ab" * 32
    external = program.ok("register", "ext", "--uri", "s3://bucket/m", "--digest", digest, "--json").json
    assert external["kind"] == "external"


def test_artifacts_parents_data_sets_and_numbers(program: Program) -> None:
    program.register()
    version = program.ok(
        "register",
        "fraud",
        program.file("other.json", "[1]"),
        "--artifact",
        f"evaluation/report.json={program.file('report.json', '{}')}",
        "--dataset",
        str(program.file("train.csv", "a,b\n1,2\n")),
        "--dataset",
        "march-2026",
        "--parent",
        "fine_tuned_from=fraud:1",
        "--semver",
        "2.0.0",
        "--cost-per-request",
        "0.01",
        "--json",
    ).json
    assert version["semver"] == "2.0.0"
    assert version["parents"][0]["relation"] == "fine_tuned_from"
    assert [d["name"] for d in version["datasets"]] == ["train.csv", "march-2026"]
    assert version["datasets"][0]["digest"].startswith("sha256:")
    files = {f["path"]: f["role"] for f in program.ok("files", "fraud", "--json").json["items"]}
    assert files["evaluation/report.json"] == "evaluation"


def test_what_is_said_of_a_version_changes(program: Program) -> None:
    program.register()
    program.ok("tag", "fraud", "team=risk", "tier=1")
    program.ok("tag", "fraud", "--remove", "tier")
    program.ok("annotate", "fraud", 'limits={"amount": 5000}', "note=hello")
    program.ok("annotate", "fraud", "--remove", "note")
    program.ok("describe", "fraud", "A detector.", "--card", program.file("CARD.md", "# Card\n"))
    program.ok("evaluate", "fraud", "--dataset", "march", "--metric", "f1=0.8", "--comment", "fine")
    version = program.ok("get", "fraud", "--json").json
    assert version["tags"] == {"team": "risk"}
    assert version["annotations"] == {"limits": {"amount": 5000}}
    assert (version["description"], version["card"]) == ("A detector.", "# Card\n")
    evaluation = program.ok("evaluations", "fraud", "--json").json["items"][0]
    assert (evaluation["dataset"]["name"], evaluation["metrics"]) == ("march", {"f1": 0.8})


def test_stages_and_aliases_know_their_past(program: Program) -> None:
    program.register()
    program.register("fraud", "{}")
    program.ok("alias", "set", "fraud@champion", "fraud:1")
    program.ok("alias", "set", "fraud@champion", "fraud:2", "--protect", "--reason", "better")
    assert program("alias", "set", "fraud@champion", "fraud:1").code == 4
    assert program.ok("alias", "at", "fraud@champion", "2999-01-01", "-q").out == "fraud:2\n"
    assert program("alias", "at", "fraud@champion", "2000-01-01").code == 3
    program.ok("alias", "remove", "fraud@champion", "--force", "--reason", "over")
    assert len(program.ok("alias", "history", "fraud@champion", "--json").json["items"]) == 3
    program.ok("promote", "fraud:1", "staging", "--reason", "a")
    program.ok("deprecate", "fraud:1", "--reason", "old", "--successor", "fraud:2", "--from", "2999-01-01")
    program.ok("archive", "fraud:1", "--reason", "gone")
    assert [m["to_stage"] for m in program.ok("history", "fraud:1", "--json").json["items"]] == ["archived", "staging"]
    assert program.ok("history", "fraud:1", "--on", "2999-01-01", "-q").out == "archived\n"


def test_models_and_projects(program: Program) -> None:
    program.ok("project", "create", "risk", "--require-field", "owner")
    program.ok("project", "configure", "risk", "--require-tag", "team", "--one-production")
    rules = program.ok("project", "get", "risk", "--json").json["rules"]
    assert rules == {"required_fields": ["owner"], "required_tags": ["team"], "one_production_version": True}
    program.ok("project", "configure", "risk", "--reset")
    assert program.ok("project", "get", "risk", "--json").json["rules"] == {}
    program.ok("model", "create", "fraud", "--owner", "ana", "--tag", "a=1", "--project", "risk")
    program.ok("model", "update", "risk/fraud", "--team", "blue", "--remove-tag", "a")
    model = program.ok("model", "get", "risk/fraud", "--json").json
    assert (model["owner"], model["team"], model["tags"]) == ("ana", "blue", {})
    program.ok("model", "delete", "risk/fraud")
    program.ok("model", "restore", "risk/fraud")
    program.ok("model", "delete", "risk/fraud")
    program.ok("model", "purge", "risk/fraud", "--reason", "never used", "--yes")
    assert program("model", "get", "risk/fraud", "--deleted").code == 3


def test_trust_is_given_and_withdrawn(program: Program) -> None:
    import pickle

    program.ok("register", "fraud", program.file("model.pkl", pickle.dumps(1)))
    program.ok("trust", "grant", "fraud", "--reason", "ours")
    assert len(program.ok("trust", "list", "fraud", "--json").json["items"]) == 1
    program.ok("trust", "revoke", "fraud")
    assert program("trust", "revoke", "fraud").code == 4


def test_settings_say_where_they_come_from_and_keep_passwords(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CHOPMARK_TRUST", "never")
    (tmp_path / "chopmark.toml").write_text('project = "risk"\n')
    secret = "postgresql://ana:" + "hunter2@db.example/models"
    ran = program.ok("config", "show", "--database", secret, "--json")
    found = {s["name"]: s for s in ran.json["items"]}
    assert "hunter2" not in ran.out
    assert found["database_url"]["value"] == "postgresql://ana:***@db.example/models"
    assert found["trust"]["origin"] == "environment"
    assert found["project"]["origin"].endswith("chopmark.toml")
    assert found["actor"]["value"] == "ana"
    assert "FROM" in program.ok("config", "show", "--origin").out


def test_the_database_is_current(program: Program) -> None:
    program.register()
    status = program.ok("db", "status", "--json").json
    assert status["current"]
    assert status["revision"] == status["known"]
    assert program.ok("db", "upgrade", "--json").json["after"] == status["known"]
