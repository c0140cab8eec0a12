import os
import subprocess
from typing import Any

import pytest

from chopmark.formats import provenance
from chopmark.formats.provenance import git_state


@pytest.fixture
def tree(tmp_path):
    directory = tmp_path / "tree"
    directory.mkdir()
    git(directory, "init", "-q", "-b", "trunk")
    (directory / "a.py").write_text("a")
    git(directory, "add", ".")
    git(directory, "commit", "-q", "-m", "first")
    return directory


def git(directory, *words: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    answer = subprocess.run(["git", *who, *words], cwd=directory, check=True, capture_output=True, text=True)
    return answer.stdout.strip()


def test_a_clean_tree(tree) -> None:
    state = git_state(tree)
    assert (state.commit, state.branch, state.dirty) == (git(tree, "rev-parse", "HEAD"), "trunk", False)


@pytest.mark.parametrize("name", ["a.py", "new.py"])
def test_a_changed_or_new_file_is_dirty(tree, name: str) -> None:
    (tree / name).write_text("changed")
    assert git_state(tree).dirty


def test_a_detached_head_has_no_branch(tree) -> None:
    git(tree, "checkout", "-q", "--detach")
    assert git_state(tree).branch == ""


def test_a_commit_is_seen_at_once(tree) -> None:
    before = git_state(tree)
    git(tree, "commit", "-q", "--allow-empty", "-m", "second")
    assert git_state(tree).commit == git(tree, "rev-parse", "HEAD") != before.commit


def test_a_branch_and_the_index_are_seen_at_once(tree) -> None:
    assert git_state(tree).branch == "trunk"
    git(tree, "checkout", "-q", "-b", "twig")
    assert git_state(tree).branch == "twig"
    (tree / "a.py").write_text("changed")
    git(tree, "add", "a.py")
    assert git_state(tree).dirty


def test_a_commit_in_a_linked_tree_is_seen_at_once(tree, tmp_path) -> None:
    linked = tmp_path / "linked"
    git(tree, "worktree", "add", "-q", "-b", "side", str(linked))
    assert git_state(linked).branch == "side"
    git(linked, "commit", "-q", "--allow-empty", "-m", "second")
    assert git_state(linked).commit == git(linked, "rev-parse", "HEAD")


def test_a_file_changed_by_hand_is_seen_when_the_answer_is_old(tree, monkeypatch) -> None:
    assert not git_state(tree).dirty
    (tree / "a.py").write_text("changed")
    monkeypatch.setattr(provenance, "AGE_MAX_S", 0.0)
    assert git_state(tree).dirty


def test_git_is_asked_once_for_many_registrations_and_never_outside_a_tree(tree, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(provenance, "AGE_MAX_S", 60.0)
    asked: list[object] = []
    run = subprocess.run

    def noted(*args: Any, **options: Any) -> Any:
        asked.append(args)
        return run(*args, **options)

    monkeypatch.setattr(subprocess, "run", noted)
    assert len({git_state(tree).commit for _ in range(5)}) == len(asked) == 1
    assert git_state(tmp_path) is None
    assert len(asked) == 1


def test_a_tree_behind_a_link(tree, tmp_path) -> None:
    (tree / "inner").mkdir()
    (tmp_path / "link").symlink_to(tree / "inner")
    assert git_state(tmp_path / "link").branch == "trunk"


def test_nothing_is_written(tree) -> None:
    os.utime(tree / "a.py", (1, 1))  # makes a plain `git status` refresh its index
    index = tree / ".git" / "index"
    before = index.stat().st_mtime_ns, index.read_bytes()
    git_state(tree)
    assert (index.stat().st_mtime_ns, index.read_bytes()) == before


def test_another_repositorys_variables_do_not_count(tree, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert git_state(tree).branch == "trunk"


def test_no_repository(tmp_path) -> None:
    assert git_state(tmp_path) is None


def test_a_repository_without_a_commit(tmp_path) -> None:
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None


def test_no_git(tree, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tree) is None


def test_a_git_that_does_not_answer(tree, monkeypatch, tmp_path) -> None:
    slow = tmp_path / "bin"
    slow.mkdir()
    (slow / "git").write_text("#!/bin/sh\nexec sleep 30\n")
    (slow / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(slow), prepend=os.pathsep)
    assert git_state(tree, timeout_seconds=0.05) is None


def test_a_repository_of_somebody_else(tree) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    for path in (tree, tree / ".git"):
        os.chown(path, 12345, 12345)
    assert git_state(tree) is None
