"""Make the environments of the peers: ``python -m benchmarks.peers --make [PEER …]``; without ``--make``, say which are there."""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.peers.environments import DRIFT_PEERS, PEERS, SERVING_PEERS, made, make, pinned_version

ALL = (*PEERS, *DRIFT_PEERS, *SERVING_PEERS)


def main() -> int:
    """Make what is asked for, then say what is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers")
    parser.add_argument("--make", action="store_true", help="make those that are missing")
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(ALL)}; all of them when none is named")
    options = parser.parse_args()
    wanted = options.peers or ALL
    unknown = sorted(set(wanted) - set(ALL))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}")
    for peer in wanted if options.make else ():
        if made(peer) is None:
            print(f"{peer}: making its environment ...", file=sys.stderr)
        try:
            make(peer)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{peer}: {error}", file=sys.stderr)
    for peer in wanted:
        print(f"{peer} {pinned_version(peer)}: {'there' if made(peer) else 'missing'}")
    return 1 if options.make and not all(map(made, wanted)) else 0


if __name__ == "__main__":
    sys.exit(main())
