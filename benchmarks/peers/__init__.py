"""What else stores models, each in an environment of its own, timed at the same work.

``make bench-peers`` (``python -m benchmarks.peers --make``) makes the environments below ``.bench``, from the versions in
``requirements-*.txt``; where one is missing its rows are. Each peer runs in a process of its own that has imported all it
needs and made its store before anything is timed: what is timed is one call in that process, CPU and wall, so that the start of
a command line, a second or more, is in no figure. What each of them is asked to do stands in `benchmarks.peers.stores`.
"""

from __future__ import annotations

from benchmarks.peers.processes import Peer, running

__all__ = ["Peer", "running"]
