"""A short life of a registry whose store forgets a sync: what the power cuts must find. Its last argument says which.

``nothing``: all is as it should be; ``files``: bytes of blobs are not synced; ``directories``: their names are not.
"""

import os
import stat
import sys

from faults.powercut_workload import Life, live

fsync = os.fsync


def live_shortly(life: Life) -> None:
    """Register small and many, then move an alias."""
    life.register("fraud", value={"t": 1})
    life.register("many", path="many-0")
    life.alias("fraud@champion", "fraud:1")
    life.register("big", path="large-0.bin")


def forgetful(descriptor: int) -> None:
    """Sync all but what is to be forgotten."""
    is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
    if is_directory != (os.environ["FORGOTTEN_SYNC"] == "directories"):
        fsync(descriptor)


if __name__ == "__main__":
    assert len(sys.argv) == 4
    if os.environ["FORGOTTEN_SYNC"] != "nothing":
        vars(os).update(fsync=forgetful, fdatasync=forgetful)
    live([live_shortly])
