"""Runs in a peer's environment and checks drift: ``python -m benchmarks.peers.drift PEER DIRECTORY ROUNDS``.

What is timed, in this process, after all was imported and the data was read, is one check of ``current.npy`` against
``reference.npy`` in the directory, numbers of shape (rows, columns), as the peer does it by default:

- Evidently: ``Report([DataDriftPreset()]).run`` on two data frames.
- alibi-detect: ``TabularDrift`` made from the reference, and ``predict``.

One round that does not count comes first. The answer is a line of JSON: CPU seconds of each round, and how many columns drifted.
Of this repository nothing may be imported here: the environment has only the peer.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["main"]


def _evidently(reference: Any, current: Any) -> Callable[[], int]:
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    names = [f"c{i}" for i in range(reference.shape[1])]
    ours, theirs = pd.DataFrame(reference, columns=names), pd.DataFrame(current, columns=names)

    def check() -> int:
        snapshot = Report([DataDriftPreset()]).run(current_data=theirs, reference_data=ours)
        counts = [m["value"]["count"] for m in snapshot.dict()["metrics"] if isinstance(m["value"], dict)]
        return int(counts[0])

    return check


def _alibi_detect(reference: Any, current: Any) -> Callable[[], int]:
    from alibi_detect.cd import TabularDrift

    def check() -> int:
        answer = TabularDrift(reference, p_val=0.05).predict(current)["data"]
        return int((answer["p_val"] < answer["threshold"]).sum())

    return check


KINDS = {"evidently": _evidently, "alibi-detect": _alibi_detect}


def main() -> None:
    """Check so many times, and tell what it took."""
    answers = os.fdopen(os.dup(1), "w")  # for itself: what a peer prints goes elsewhere
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    import numpy as np

    peer, directory, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    check = KINDS[peer](np.load(directory / "reference.npy"), np.load(directory / "current.npy"))
    check()
    cpu_s, drifted = [], 0
    for _ in range(rounds):
        begun = time.process_time()
        drifted = check()
        cpu_s.append(time.process_time() - begun)
    print(json.dumps({"cpu_s": cpu_s, "drifted": drifted}), file=answers, flush=True)


if __name__ == "__main__":
    main()
