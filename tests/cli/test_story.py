"""One life of a version, each step a process of its own, as a person or a script would do it."""

import json
from pathlib import Path

from chopmark.base.digest import digest_of
from tests.cli.running import in_process
from tests.stored_bytes import change_stored


def test_from_a_file_to_a_refused_delete_and_a_found_fault(tmp_path: Path) -> None:
    model = tmp_path / "model.json"
    model.write_text('{"threshold": 0.7}')

    def step(*arguments: str, code: int = 0) -> str:
        done = in_process(*arguments, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        return done.stdout

    assert step("register", "fraud", "model.json", "--metric", "roc_auc=0.94", "-q") == "fraud:1\n"
    step("promote", "fraud:1", "staging", "--reason", "passes")
    assert step("alias", "set", "fraud@champion", "fraud:1", "-q") == "fraud@champion\n"
    version = json.loads(step("get", "fraud@champion", "--json"))
    assert (version["number"], version["stage"], version["aliases"]) == (1, "staging", ["champion"])
    assert version["metrics"] == {"roc_auc": 0.94}
    step("download", "fraud@champion", "out")
    assert (tmp_path / "out" / "model" / "model.json").read_text() == '{"threshold": 0.7}'
    step("verify", "fraud:1")
    assert step("delete", "fraud:1", code=4) == ""
    digest = digest_of(b'{"threshold": 0.7}')
    change_stored(tmp_path / ".chopmark" / "blobs", digest, lambda data: data.replace(b"7", b"9"))
    assert "NOT intact" in step("verify", "fraud:1", code=6)
    step("audit", "verify")
