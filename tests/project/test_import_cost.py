"""What `import chopmark` and `chopmark --help` may load.

Time depends on the machine, so the gate is a list of modules. The budgets are 150 ms and 200 ms of processor time; `make
bench` measures those.
"""

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEAVY = {
    "IPython",
    "alembic",
    "boto3",
    "catboost",
    "cloudpickle",
    "cryptography",
    "dill",
    "fsspec",
    "joblib",
    "lightgbm",
    "mako",
    "numpy",
    "obstore",
    "onnx",
    "onnxruntime",
    "pandas",
    "polars",
    "psycopg",
    "pyarrow",
    "pydantic",
    "rich",
    "safetensors",
    "scipy",
    "skl2onnx",
    "sklearn",
    "skops",
    "sqlalchemy",
    "starlette",
    "torch",
    "uvicorn",
    "xgboost",
    "yaml",
    "backports",
    # Of the standard library: what costs more than 5 ms and nobody needs to say hello.
    "asyncio",
    "email",
    "http",
    "multiprocessing",
    "sqlite3",
    "ssl",
    "unittest",
    "urllib3",
    "xml",
}
SIZE_LIMIT_BYTES = 60_000_000
LIST_LOADED = "import json; json.dump(sorted({name.partition('.')[0] for name in sys.modules}), sys.stderr)"


def loaded_by(code: str) -> set[str]:
    """Run code in a fresh interpreter and return the top-level modules that are loaded at its end."""
    program = f"import sys\ntry:\n    {code}\nexcept SystemExit as end:\n    assert not end.code, end\n{LIST_LOADED}"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr))


def test_import_chopmark_loads_nothing_heavy() -> None:
    assert loaded_by("import chopmark") & HEAVY == set()


def test_the_registry_class_knows_no_database() -> None:
    assert loaded_by("import chopmark; chopmark.Registry") & HEAVY <= {"email"}  # importlib.metadata's


def test_a_registry_in_a_file_needs_nothing_of_other_databases_and_no_steps(tmp_path: Path) -> None:
    opened = f"import chopmark; chopmark.open({str(tmp_path / 'registry')!r}).close()"
    alone = "assert 'sqlalchemy.dialects.postgresql' not in sys.modules"
    for _ in ("made", "opened"):
        assert loaded_by(f"{opened}; {alone}") & {"alembic", "mako", "psycopg", "uvicorn"} == set()


def test_a_client_of_a_server_loads_no_database() -> None:
    opened = "import chopmark; chopmark.open('http://127.0.0.1:9', token='cm_x').close()"
    assert loaded_by(opened) & HEAVY <= {"backports", "email", "http", "multiprocessing", "sqlite3", "ssl", "urllib3"}


def test_help_loads_nothing_heavy() -> None:
    run_help = "import runpy; sys.argv = ['chopmark', '--help']; runpy.run_module('chopmark', run_name='__main__')"
    assert loaded_by(run_help) & HEAVY == set()


def test_the_probe_sees_what_is_loaded() -> None:
    assert {"email", "numpy"} <= loaded_by("import numpy, email") & HEAVY


def core_distributions() -> set[str]:
    """Collect the core's requirements and theirs, as this interpreter on this platform needs them."""
    found: set[str] = set()
    waiting = ["chopmark"]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found.add(name)
        for line in distribution(name).requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found - {"chopmark"}


def size_bytes(name: str) -> int:
    files = distribution(name).files or []
    paths = [Path(str(file.locate())) for file in files]
    return sum(path.stat().st_size for path in paths if path.suffix != ".pyc" and path.is_file())


def test_the_core_stays_small() -> None:
    sizes = {name: size_bytes(name) for name in core_distributions()}
    assert {"sqlalchemy", "msgspec"} <= sizes.keys()
    assert all(sizes.values())
    package = Path(__file__).parents[2] / "src" / "chopmark"
    sizes["chopmark"] = sum(
        path.stat().st_size for path in package.rglob("*") if path.suffix != ".pyc" and path.is_file()
    )
    assert sum(sizes.values()) <= SIZE_LIMIT_BYTES, sizes


def test_an_absent_distribution_is_not_counted_as_nothing() -> None:
    with pytest.raises(PackageNotFoundError):
        size_bytes("no-such-distribution")
