"""A model in a process of its own: whatever it does, its requests fail clearly, and it is there again for the next."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from chopmark.domain.endpoints import EndpointConfig
from chopmark.errors import InvalidRequest, ModelFailed, ModelTimeout, Unavailable
from chopmark.gateway.execution import start
from chopmark.gateway.execution.processes import Worker, backoff_s
from tests.gateway.execution import models
from tests.gateway.execution.models import POISON, WIDTH, loadable

LONG_S = 60.0

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def rows_of(value: float, count: int = 1) -> np.ndarray:
    return np.full((count, WIDTH), value)


@pytest.fixture
def worker(request):
    kind, arguments = getattr(request, "param", ("Summing", {}))
    made = Worker(loadable(kind, runs_code=True, **arguments))
    made.open()
    yield made
    made.close()
    assert not children()


def children() -> list[str]:
    """Processes of ours that run or have ended and were not waited for."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            command = (path.parent / "cmdline").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[1]) == os.getpid() and (b"execution.child" in command or fields[0] == "Z"):
            found.append(path.parent.name)
    return found


def poisoned(poison):
    return pytest.param(("Summing", {"poison": poison}), id=poison.__name__)


def test_it_answers_from_another_process_what_it_would_here() -> None:
    async def asked():
        execution = await start(EndpointConfig(execution="process"), loadable("Telling"))
        facts = execution.kind, execution.words, execution.layout
        answer = await execution.run(rows_of(1.0, 2), 2, (), LONG_S)
        await execution.close(LONG_S)
        return facts, answer

    facts, answer = asyncio.run(asked())
    assert facts == ("process", "process, sums", models.LAYOUT)
    assert answer["y"][0] == answer["y"][1] != os.getpid()
    assert not children()


@pytest.mark.parametrize(
    ("worker", "told"),
    [
        (("Summing", {"poison": models.raises}), "fraud:3 raised ValueError: this row cannot be"),
        (("Summing", {"poison": models.exits}), "fraud:3 raised SystemExit: 3"),
        (("Summing", {"poison": models.interrupts}), "fraud:3 raised KeyboardInterrupt."),
    ],
    indirect=["worker"],
)
def test_what_it_raises_is_told_and_its_process_goes_on(worker, told) -> None:
    before = worker.pid
    with pytest.raises(ModelFailed) as caught:
        worker.ask(rows_of(POISON), (), LONG_S)
    assert str(caught.value) == told
    assert worker.ask(rows_of(2.0), ("double", "y"), LONG_S)["double"].tolist() == [12.0]
    assert worker.pid == before


@pytest.mark.parametrize(
    ("worker", "told"),
    [
        (("Summing", {"poison": models.ends}), "The process of fraud:3 ended: exit status 4."),
        (("Summing", {"poison": models.crashes}), "The process of fraud:3 ended: SIGSEGV."),
        (("Summing", {"poison": models.babbles}), "The process of fraud:3 sent what is no answer, and was ended."),
    ],
    indirect=["worker"],
)
def test_one_that_ends_is_started_anew(worker, told) -> None:
    before = worker.pid
    with pytest.raises(ModelFailed) as caught:
        worker.ask(rows_of(POISON), (), LONG_S)
    assert str(caught.value) == told
    assert worker.ask(rows_of(2.0), (), LONG_S)["y"].tolist() == [6.0]
    assert worker.pid != before
    assert len(children()) == 1


@pytest.mark.parametrize("worker", [poisoned(models.hangs), poisoned(models.hangs_in_c)], indirect=True)
def test_one_that_hangs_is_ended_at_its_limit(worker) -> None:
    before = worker.pid
    began = time.monotonic()
    with pytest.raises(ModelTimeout, match=r"within 0\.3 s"):
        worker.ask(rows_of(POISON), (), 0.3)
    assert time.monotonic() - began < 5
    assert worker.pid is None
    assert worker.ask(rows_of(2.0), (), LONG_S)["y"].tolist() == [6.0]
    assert worker.pid != before


def test_one_that_was_killed_between_two_requests_costs_neither(worker) -> None:
    os.kill(worker.pid, signal.SIGKILL)
    assert worker.ask(rows_of(2.0), (), LONG_S)["y"].tolist() == [6.0]


def test_a_request_that_had_not_begun_is_asked_of_the_next_process(worker) -> None:
    os.kill(worker.pid, signal.SIGSTOP)  # it takes nothing any more, and its channel does
    before = worker.pid
    killing = threading.Timer(0.3, os.kill, (before, signal.SIGKILL))
    killing.start()
    assert worker.ask(rows_of(2.0), (), LONG_S)["y"].tolist() == [6.0]
    killing.join()
    assert worker.pid != before


def test_one_that_stands_still_is_ended_at_the_limit_too(worker) -> None:
    os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(ModelTimeout):
        worker.ask(rows_of(2.0), (), 0.3)
    assert worker.ask(rows_of(2.0), (), LONG_S)["y"].tolist() == [6.0]


def test_one_bad_request_of_eight_costs_its_neighbours_nothing_even_when_it_ends_the_process() -> None:
    async def asked(poison):
        execution = await start(EndpointConfig(execution="process"), loadable(poison=poison, call_s=0.1))
        busy = asyncio.create_task(execution.run(rows_of(0.0), 1, (), LONG_S))
        await asyncio.sleep(0.05)
        rows = [rows_of(POISON if i == 5 else float(i)) for i in range(8)]
        answers = await asyncio.gather(
            *[execution.run(r, 1, (), LONG_S) for r in rows],
            return_exceptions=True,
        )
        await busy
        await execution.close(LONG_S)
        return answers

    for poison in (models.crashes, models.raises):
        answers = asyncio.run(asked(poison))
        assert isinstance(answers.pop(5), ModelFailed)
        assert [a["y"][0] for a in answers] == [WIDTH * float(i) for i in range(8) if i != 5]
        assert not children()


def test_one_that_ends_again_and_again_is_started_ever_later() -> None:
    ends = [backoff_s(n) for n in range(20)]
    assert ends == sorted(ends)
    assert (ends[1], ends[-1]) == (0.0, 30.0)
    worker = Worker(loadable(poison=models.ends))
    worker.open()
    try:
        refused = None
        for _ in range(8):
            try:
                worker.ask(rows_of(POISON), (), LONG_S)
            except ModelFailed:
                continue
            except Unavailable as error:
                refused = error
                break
        assert refused is not None
        assert refused.details["retry_after_s"] >= 2
    finally:
        worker.close()
    assert not children()


@linux_only
def test_one_that_leaks_is_started_anew_before_its_limit_and_no_request_is_lost() -> None:
    async def asked():
        config = EndpointConfig(execution="process", memory_mib_max=256, batch_rows_max=1)
        execution = await start(config, loadable("Leaking"))
        answers = [await execution.run(rows_of(float(i)), 1, ("y", "double"), LONG_S) for i in range(60)]
        await execution.close(LONG_S)
        return answers

    answers = asyncio.run(asked())
    assert [a["y"][0] for a in answers] == [WIDTH * float(i) for i in range(60)]
    assert len({a["double"][0] for a in answers}) >= 2


@linux_only
def test_one_that_asks_for_more_memory_than_it_may_is_refused_by_the_system() -> None:
    worker = Worker(loadable(poison=models.eats), memory_mib_max=256)
    worker.open()
    try:
        with pytest.raises(ModelFailed, match="MemoryError"):
            worker.ask(rows_of(POISON), (), LONG_S)
        worker.rest()
        assert worker.ask(rows_of(1.0), (), LONG_S)["y"].tolist() == [3.0]
    finally:
        worker.close()


@linux_only
def test_one_that_uses_too_much_once_it_is_loaded_is_refused_with_what_to_do() -> None:
    worker = Worker(loadable(), memory_mib_max=20)
    with pytest.raises(ModelFailed, match=r"memory_mib_max|ended: ") as caught:
        worker.open()
    assert "fraud:3" in str(caught.value)
    worker.close()
    assert not children()


def test_what_loading_raises_is_told() -> None:
    async def asked(load):
        await start(EndpointConfig(), loadable(runs_code=True)._replace(load=load))

    with pytest.raises(ModelFailed, match="RuntimeError: these bytes are no model"):
        asyncio.run(asked(models.fails_to_load))
    with pytest.raises(ModelFailed, match="ended: exit status 5, while it loaded"):
        asyncio.run(asked(models.ends_while_loading))
    assert not children()


def test_what_a_model_prints_is_no_answer_and_not_our_standard_output(capfd) -> None:
    worker = Worker(loadable("Printing"))
    worker.open()
    answer = worker.ask(rows_of(1.0), (), LONG_S)
    worker.close()
    out, err = capfd.readouterr()
    assert answer["y"].tolist() == [3.0]
    assert out == ""
    assert "a stray print of a model" in err
    assert "a stray write of a model" in err


def test_closing_ends_a_process_that_hangs_and_whoever_waits_is_told() -> None:
    async def asked():
        execution = await start(EndpointConfig(execution="process"), loadable(poison=models.hangs))
        tasks = [asyncio.create_task(execution.run(rows_of(v), 1, (), LONG_S)) for v in (POISON, 1.0)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(60):
            await execution.close(0.1)
            return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(asked())
    assert all(isinstance(a, (ModelFailed, Unavailable)) for a in answers)
    assert not children()


@linux_only
def test_a_start_that_is_given_up_leaves_no_process() -> None:
    async def asked():
        late = loadable("Summing", call_s=20.0)  # it is timed before it is ready
        task = asyncio.create_task(start(EndpointConfig(execution="process"), late))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(300):
            if not children():
                return True
            await asyncio.sleep(0.02)
        return False

    assert asyncio.run(asked())


@linux_only
@pytest.mark.parametrize("poison", ["hangs", "hangs_in_c"])
def test_it_ends_with_its_parent_even_while_it_hangs(poison: str) -> None:
    parent = textwrap.dedent(f"""
        import threading, sys
        from chopmark.gateway.execution.processes import Worker
        from tests.gateway.execution import models
        worker = Worker(models.loadable(poison=models.{poison}))
        worker.open()
        print(worker.pid, flush=True)
        worker.ask(models.np.full((1, 3), models.POISON), (), 600)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, cwd=Path(models.__file__).parents[3]
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        time.sleep(0.3)
        process.kill()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":  # whoever inherits orphans here has not waited for it yet
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{child}").exists()


def test_what_cannot_be_sent_is_refused_and_the_process_goes_on(worker) -> None:
    before = worker.pid
    bad = np.empty(1, dtype=object)
    bad[0] = socket.socket
    with pytest.raises(InvalidRequest, match="between processes"):
        worker.ask({"x": bad}, (), LONG_S)
    assert worker.ask(rows_of(1.0), (), LONG_S)["y"].tolist() == [3.0]
    assert worker.pid == before
