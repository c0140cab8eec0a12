"""What `chopmark.stats` offers by itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from chopmark import stats


def test_every_public_name_is_there_and_typed() -> None:
    for name in stats.__all__:
        assert getattr(stats, name).__name__ == name
    text = Path(stats.__file__).read_text(encoding="utf-8")
    block = next(n for n in ast.parse(text).body if isinstance(n, ast.If))
    typed = {alias.name for n in ast.walk(block) if isinstance(n, ast.ImportFrom) for alias in n.names}
    assert typed == set(stats.__all__)
    assert dir(stats) == sorted(stats.__all__)


def test_importing_it_loads_no_array_library() -> None:
    program = "import sys, chopmark.stats as s; print(sorted({'numpy', 'scipy', 'sklearn'} & set(sys.modules)))"
    program += "; [getattr(s, name) for name in s.__all__]; print(sorted({'scipy', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]


def test_scipys_large_module_is_never_imported() -> None:
    for path in Path(stats.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(m == "scipy.stats" or m.startswith("scipy.stats.") for m in modules), path
