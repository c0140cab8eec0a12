"""The generated pages are those that the generator writes today."""

import subprocess
import sys

from tests.docs.markdown import ROOT

SCRIPT = ROOT / "scripts" / "generate_reference.py"


def test_the_reference_is_fresh() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nRenew it with: python scripts/generate_reference.py"
