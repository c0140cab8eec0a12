"""Equal models trained in different processes are the same bytes."""

import os
import subprocess
import sys

from tests.formats.cases import CASES

ACROSS_PROCESSES = [
    name
    for name in CASES
    if name.partition("-")[0] in ("skops", "numpy", "json", "onnx", "lightgbm", "xgboost")
    or name == "safetensors-numpy"
]


def digests(hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.formats.save_digests", *ACROSS_PROCESSES]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return answer.stdout


def test_processes_with_other_hash_seeds_write_the_same_bytes() -> None:
    first = digests("1")
    assert first.count("sha256:") >= len(ACROSS_PROCESSES)
    assert first == digests("2")
