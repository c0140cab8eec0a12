"""How storing is measured: in turn, by themselves, peers only where they are; and what sharing promises, which is no time."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import catalog, sharing, stores
from benchmarks.aside import making_a_file_us, set_aside
from benchmarks.figures import Figure
from benchmarks.peers import environments, processes
from benchmarks.turns import Here, Spent, against_base, in_turn
from tests.project.tracked import ROOT


def test_ways_take_turns_and_the_first_round_does_not_count() -> None:
    told: list[str] = []

    def way(name: str) -> Here:
        return Here(
            lambda: told.append(name), before=lambda: told.append(f"+{name}"), after=lambda: told.append(f"-{name}")
        )

    spent = in_turn({"a": way("a"), "b": way("b")}, 2)
    a, b = ["+a", "a", "-a"], ["+b", "b", "-b"]
    assert told == [*a, *b, *b, *a, *a, *b]
    assert [len(each) for each in spent.values()] == [2, 2]


def test_what_a_way_left_is_put_away_when_it_fails() -> None:
    told: list[str] = []
    with pytest.raises(ZeroDivisionError):
        in_turn({"a": Here(lambda: 1 // 0, after=lambda: told.append("away"))}, 1)
    assert told == ["away"]


def test_only_the_wall_has_the_limit_and_medians_are_compared() -> None:
    ours = [Spent(3.0, 1.0), Spent(1.0, 1.0), Spent(1.0, 9.0)]
    wall, cpu = against_base("store", ours, [Spent(2.0, 0.5)], limit=0.4)
    assert (wall.what, wall.ratio, wall.is_met) == ("store, wall", 0.5, False)
    assert (cpu.what, cpu.ratio, cpu.is_met) == ("store, CPU", 2.0, True)


def test_files_set_aside_give_back_their_blocks_and_keep_their_inodes(tmp_path: Path) -> None:
    made = tmp_path / "store" / "ab"
    made.mkdir(parents=True)
    (made / "blob").write_bytes(os.urandom(100_000))
    (made / "blob").chmod(0o444)
    inode = (made / "blob").stat().st_ino
    for _ in range(2):
        set_aside(tmp_path / "store", tmp_path / "aside")
        (tmp_path / "store").mkdir()
    (kept,) = (tmp_path / "aside").rglob("blob")
    assert (kept.stat().st_ino, kept.stat().st_size, kept.stat().st_blocks) == (inode, 0, 0)


@pytest.mark.parametrize(("each_us", "is_told"), [(30.0, False), (300.0, True)])
def test_it_is_told_when_removed_files_make_new_ones_slow(
    each_us: float, is_told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stores, "making_a_file_us", lambda _: each_us)
    stores._warn_of_removals(tmp_path)
    assert ("Making a file takes 300 µs" in capsys.readouterr().err) is is_told


def test_what_making_a_file_takes_is_measured_on_files(tmp_path: Path) -> None:
    assert making_a_file_us(tmp_path) > 0
    assert len(list((tmp_path / "probes").iterdir())) == 500


@pytest.fixture
def no_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(environments, "_ENVIRONMENTS", tmp_path / ".bench")
    return tmp_path / ".bench"


def test_an_environment_counts_only_when_it_was_made_from_the_versions_asked_for(no_peers: Path) -> None:
    assert environments.made("dvc") is None
    python = no_peers / "dvc" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert environments.made("dvc") is None
    stamp = no_peers / "dvc" / "made-from.txt"
    stamp.write_text((ROOT / "benchmarks" / "peers" / "requirements-dvc.txt").read_text())
    assert environments.made("dvc") == python
    stamp.write_text("dvc==0.1\n")
    assert environments.made("dvc") is None


@pytest.mark.parametrize("peer", environments.PEERS)
def test_a_peer_is_pinned_by_name_alone(peer: str) -> None:
    assert (ROOT / "benchmarks" / "peers" / f"requirements-{peer}.txt").read_text() == (
        f"{peer}=={environments.pinned_version(peer)}\n"
    )


def test_without_environments_it_is_told_how_to_get_them(
    no_peers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with processes.running(tmp_path / "peers") as running:
        assert running == []
    assert not no_peers.exists()
    assert capsys.readouterr().err == (
        "No rows for DVC, MLflow, BentoML: `make bench-peers` makes their environments.\n"
    )


def test_a_peer_that_fails_is_told_with_its_own_words(tmp_path: Path) -> None:
    with (
        pytest.raises(processes.PeerFailed, match=r"(?s)DVC .* could not start:.*(ModuleNotFound|Import)Error"),
        processes._running("dvc", tmp_path, Path(sys.executable)),  # an environment without DVC
    ):
        pytest.fail("it has started")


def test_a_peer_that_stores_less_than_it_was_given_is_no_figure(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").write_bytes(b"12345")
    script = """
import sys
from benchmarks.peers import stores
class Forgetful:
    def __init__(self, home): pass
    def prepare(self, source): pass
    def run(self): pass
    def stored(self): return []
stores.KINDS["forgetful"] = Forgetful
sys.argv = ["stores", "forgetful", "."]
stores.main()
"""
    orders = [{"verb": "start"}, {"verb": "prepare", "source": str(tmp_path / "source")}, {"verb": "run"}]
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        input="".join(json.dumps(order) + "\n" for order in orders),
        text=True,
        capture_output=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout) == (1, "{}\n{}\n")
    assert "Only 0 of 5 bytes were stored." in done.stderr


def test_the_catalogs_answers_become_figures_that_keep_their_limits() -> None:
    times = {"p50_ms": 2.5, "p99_ms": 24.0, "p50_cpu_ms": 1.0, "p99_cpu_ms": 2.0}
    found = catalog.from_json(
        {
            "times": [
                {"database": "sqlite", "what": "get", "is_promised": promised, **times} for promised in (True, False)
            ],
            "ratios": [
                {"database": "sqlite", "what": "page 1,000 by page 1", "ours_ms": 3.0, "theirs_ms": 2.0, "limit": 1.3}
            ],
        }
    )
    assert [f.what for f in found] == [*["sqlite: get, p50", "sqlite: get, p99"] * 2, "sqlite: page 1,000 by page 1"]
    assert [f.is_met for f in found] == [False, True, True, True, False]
    assert (found[-1].against, found[-1].ratio) == ("page 1", 1.5)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    run: list[str] = []

    def part(name: str) -> Callable[[Path, bench.Sizes], list[Figure]]:
        def figures(place: Path, _: bench.Sizes) -> list[Figure]:
            assert list(place.iterdir()) == []
            run.append(name)
            return [Figure(name, 2.0, "s", "floor", 1.0, limit=1.0)]

        return figures

    monkeypatch.setattr(bench, "PARTS", {name: part(name) for name in bench.PARTS})
    monkeypatch.chdir(tmp_path)
    return run


@pytest.mark.parametrize(
    ("only", "wanted"),
    [
        (
            [],
            [
                "imports",
                "calls",
                "syncs",
                "stores",
                "sharing",
                "experiments",
                "drift",
                "outcomes",
                "server",
                "searches",
                "transfers",
                "gateway",
                "rollouts",
            ],
        ),
        (["--only", "sharing", "catalog", "calls"], ["calls", "sharing", "catalog"]),
    ],
)
def test_parts_are_chosen_by_name_and_a_missed_limit_is_told_and_no_error(
    parts: list[str],
    only: list[str],
    wanted: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *only, "--json", "figures.json"])
    bench.main()
    assert parts == wanted
    told = capsys.readouterr()
    assert told.out.count("missed") == len(wanted)
    assert "above its limit" in told.err
    written = json.loads((tmp_path / "figures.json").read_text())
    assert [(each["what"], each["ratio"], each["is_met"]) for each in written] == [
        (name, 2.0, False) for name in wanted
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


@pytest.mark.slow
@pytest.mark.usefixtures("no_peers")
def test_stores_are_measured_at_each_work_without_peers(tmp_path: Path) -> None:
    found = stores.figures(tmp_path, 1, 20, quick=True)
    assert [f.what.removesuffix(", wall") for f in found if f.what.endswith("wall")] == [
        "store 1 file of 20 MiB",
        "store 100 files of 1 MB",
        "store 1,000 files of 10 kB",
        "load 20 MiB, verified",
        "load 20 MiB that was verified before",
        "read a verified MiB within 20 MiB",
    ]
    assert [f.limit for f in found if f.limit is not None] == [0.85, 1.1, 0.5, 0.45, 0.45]
    assert all(f.ours > 0 and f.theirs > 0 for f in found)


@pytest.mark.slow
def test_versions_that_share_most_of_their_files_take_little_more_than_their_differences(tmp_path: Path) -> None:
    found = {f.what + " / " + f.against: f for f in sharing.figures(tmp_path, large_bytes=8 << 20)}
    promised = [f for f in found.values() if f.limit is not None]
    assert [f.limit for f in promised] == [sharing.SHARED_LIMIT]
    assert all(f.is_met for f in promised)
    scattered = found["10 x 8 MiB of float32 weights, 1 % changed scattered, distinct 64 KiB chunks / raw bytes"]
    in_one_place = found["10 x 8 MiB of float32 weights, 1 % changed in one place, distinct 64 KiB chunks / raw bytes"]
    assert scattered.ratio == 1.0
    assert in_one_place.ratio < 0.15
