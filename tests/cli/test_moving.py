"""``export`` and ``import`` as one meets them in a terminal."""

import hashlib
import os

from tests.cli.running import Program

INTEGRITY, NOT_FOUND, USAGE = 6, 3, 2


def test_an_export_prints_what_an_import_compares(program: Program) -> None:
    program.register()
    file = program.directory / "fraud.chopmark"
    out = program.ok("export", "fraud:1", file).out
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert sha256 in "".join(out.split())
    other = program.directory / "other"
    refused = program("import", file, "--sha256", "0" * 64, at=other)
    assert refused.code == INTEGRITY
    assert sha256 in refused.err
    assert program("import", file, "--sha256", sha256, at=other).code == 0


def test_a_failed_import_leaves_no_registry(program: Program) -> None:
    program.register()
    file = program.directory / "fraud.chopmark"
    program.ok("export", "fraud:1", file)
    data = file.read_bytes()
    at = data.index(b'{"threshold"')
    damaged = program.file("damaged.chopmark", data[:at] + b"X" + data[at + 1 :])
    os.mkfifo(program.directory / "pipe")
    other = program.directory / "other"
    for source, code in ((damaged, INTEGRITY), ("nowhere", NOT_FOUND), (program.directory / "pipe", USAGE)):
        ran = program("import", source, at=other)
        assert (ran.code, ran.out) == (code, ""), ran.err
        assert not other.exists()
    assert program("import", file, "--dry-run", at=other).code == 0
    assert not other.exists()


def test_an_export_does_not_replace_the_registry(program: Program) -> None:
    program.register()
    for inside in ("chopmark.db", "blobs"):
        ran = program("export", "fraud:1", program.place / inside, "--force")
        assert ran.code == 4
        assert "in the registry itself" in ran.err
    program.ok("fsck")
