"""Run as a script: save one model of each deterministic format and print the digests of the files."""

import sys
import tempfile
from pathlib import Path

from chopmark.base.digest import digest_of
from tests.formats.cases import CASES

for name in sys.argv[1:]:
    case = CASES[name]()
    with tempfile.TemporaryDirectory() as directory:
        saved = case.format.save(case.make(), Path(directory))
        for file in saved.files:
            digest = digest_of((Path(directory) / file.path).read_bytes())
            sys.stdout.write(f"{name} {file.path} {digest}\n")
