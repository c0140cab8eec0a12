"""Equal models trained in different processes are the same bytes."""

import os
import subprocess
import sys

import pytest

from tests.formats.cases import CASES

ACROSS_PROCESSES = [
    name
    for name in CASES
    if name.partition("-")[0] in ("skops", "numpy", "json", "onnx", "lightgbm", "xgboost")
    or name == "safetensors-numpy"
]


def start(hash_seed: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.formats.save_digests", *ACROSS_PROCESSES]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_processes_with_other_hash_seeds_write_the_same_bytes() -> None:
    running = [start("1"), start("2")]
    first, second = (process.communicate()[0] for process in running)
    assert [process.returncode for process in running] == [0, 0]
    assert first.count("sha256:") >= len(ACROSS_PROCESSES)
    assert first == second
