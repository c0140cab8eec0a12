"""One large file to a server and back, over loopback: what server and client hold in memory meanwhile.

    python -m benchmarks.large_file [--gigabytes 5] [--place DIRECTORY]

Four times the size is needed on the disk: the file, its copy on the way, the store's, and what comes back.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.served import chopmark

_PIECE_BYTES = 1 << 20

_CLIENT = """
import resource, sys, chopmark as cm
what, url, file, cache = sys.argv[1:]
with cm.open(url, cache_dir=cache, cache_quota_bytes=0, progress="never", request_timeout_s=3600) as registry:
    registry.search(limit=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if what == "up":
        registry.register("large", path=file, format="raw")
    else:
        registry.files.download("large:1", file)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def main() -> int:
    """Measure, and print what was measured."""
    asked = argparse.ArgumentParser(prog="python -m benchmarks.large_file", description=__doc__)
    asked.add_argument("--gigabytes", type=float, default=5.0)
    asked.add_argument("--place", type=Path, help="where there is room (the system's temporary directory)")
    options = asked.parse_args()
    size_bytes = int(options.gigabytes * 1e9)
    place = Path(tempfile.mkdtemp(prefix="chopmark-large-", dir=options.place))
    try:
        print(f"{size_bytes:,} bytes")
        _measure(place, size_bytes)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return 0


def _measure(place: Path, size_bytes: int) -> None:
    file = place / "large.bin"
    _fill(file, size_bytes)
    (place / "server").mkdir()
    os.environ["TMPDIR"] = str(place)
    with chopmark(place / "server") as server:
        for what, target in (("up", file), ("down", place / "back")):
            before_kib, cpu_s, begun = _peak_kib(server.process.pid), server.cpu_s(), time.perf_counter()
            client_kib = _client(what, f"http://127.0.0.1:{server.port}", server.token, target, place)
            seconds, cpu_s = time.perf_counter() - begun, server.cpu_s() - cpu_s
            grown_kib = _peak_kib(server.process.pid) - before_kib
            print(
                f"{what:4}  server +{grown_kib / 1024:.0f} MiB at its peak ({_peak_kib(server.process.pid) / 1024:.0f} in all),"
                f" {cpu_s:.1f} s of CPU; client +{client_kib / 1024:.0f} MiB; {seconds:.1f} s,"
                f" {size_bytes / seconds / 1e6:.0f} MB/s"
            )
    came = next(path for path in (place / "back").rglob("*") if path.is_file())
    if subprocess.run(["cmp", "-s", file, came], check=False).returncode:
        raise RuntimeError("what came back is not what was sent")


def _fill(file: Path, size_bytes: int) -> None:
    with file.open("wb") as made:
        left = size_bytes
        while left:
            left -= made.write(os.urandom(min(_PIECE_BYTES, left)))


def _client(what: str, url: str, token: str, target: Path, place: Path) -> int:
    """What a client process grew by at most, in KiB."""
    environ = {**os.environ, **({"CHOPMARK_TOKEN": token} if token else {})}
    arguments = [sys.executable, "-c", _CLIENT, what, url, str(target), str(place / "cache")]
    done = subprocess.run(arguments, env=environ, check=True, capture_output=True, text=True)
    return int(done.stdout)


def _peak_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    sys.exit(main())
