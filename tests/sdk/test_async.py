"""The asynchronous twin: the same verbs, awaited, and no older than its source."""

import asyncio
import inspect
import subprocess
import sys
from pathlib import Path

import chopmark as cm
from chopmark.sdk import async_registry

ROOT = Path(__file__).parents[2]


def test_the_twin_is_what_the_generator_writes() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "generate_async.py", "--check"], check=False)
    assert done.returncode == 0, "run: python scripts/generate_async.py"


def test_every_verb_has_a_twin(local: cm.Registry) -> None:
    twin = cm.AsyncRegistry(local)
    for name in (
        "",
        "versions",
        "models",
        "aliases",
        "stages",
        "files",
        "projects",
        "profiles",
        "lineage",
        "trust",
        "audit",
        "storage",
    ):
        ours = getattr(local, name) if name else local
        theirs = getattr(twin, name) if name else twin
        verbs = {n for n, m in inspect.getmembers(ours) if not n.startswith("_") and callable(m)}
        assert verbs - {"draft", "dry_run"} <= set(dir(theirs))
        assert len([v for v in verbs if v not in ("close", "on", "draft", "dry_run")]) <= 15, (
            f"{name} has grown too large"
        )
    assert set(async_registry.__all__) >= {"AsyncRegistry", "AsyncVersions"}


def test_a_story_in_an_event_loop(tmp_path: Path) -> None:
    async def story() -> None:
        async with await cm.AsyncRegistry.open(tmp_path / "registry", actor="ada") as registry:
            made = await asyncio.gather(*(registry.register(f"m{i}", {"t": i}) for i in range(4)))
            assert {v.number for v in made} == {1}
            await registry.promote("m0", "staging", reason="r")
            await registry.alias("m0@champion", "m0:1")
            assert await registry.load("m0@champion") == {"t": 0}
            assert [v.model async for v in registry.versions.each("order by name")] == ["m0", "m1", "m2", "m3"]
            assert (await registry.audit.verify()).fault == ""

    asyncio.run(story())
