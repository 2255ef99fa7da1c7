"""The rules of a test run: `async def` tests run on asyncio in debug mode, and a test may leave nothing behind.

- An `async def` test runs on a loop of its own. With the marker `every_loop` it runs once on asyncio and once on
  uvloop; `pytest --loop=uvloop` runs all of them there.
- A test fails if it leaves a task, a thread or a socket, if the loop met an exception that nobody awaited, and if
  something was dropped unclosed (a ResourceWarning, as warnings are errors).
- A call of telex that blocks the event loop fails (blockbuster).
- A test that skips itself fails: what can't run has to say so.
- Tests over a quarter of a second that aren't marked `slow` are listed at the end.
"""

import asyncio
import functools
import gc
import inspect
import itertools
import linecache
import logging
import os
import random
import signal
import threading
import traceback
from collections.abc import Callable, Coroutine, Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

import telex
from tests.support.leaks import descriptor_names, sockets
from tests.support.loops import loop_factory
from tests.support.postgres import server

REPOSITORY = Path(__file__).parent.parent
# Long enough for a loaded machine: an `async def` test that takes longer hangs.
HANGS_AFTER = 60.0
SLOW = 0.25
STACK_DEPTH = 4
"""The frames that say where a callback, a task or a future that a test complains of was made."""

settings.register_profile(
    "telex",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
settings.load_profile("telex")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--loop", choices=["asyncio", "uvloop"], default="asyncio", help="the event loop of async tests")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # `make test &` in a script begins with SIGINT ignored, and so would the programs that tests start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Set once: pytest's log_level sets it again in each phase of each test, which clears the caches of all loggers.
    logging.getLogger().setLevel(logging.DEBUG)
    # The seed is chosen here, before hypothesis and the workers read it, so that the header can tell it.
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.randrange(2**32))


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [f"hypothesis seed: {config.option.hypothesis_seed}", f"telex: {telex.__file__}"]


def pytest_sessionstart(session: pytest.Session) -> None:
    inside = REPOSITORY / "src" in Path(telex.__file__).parents
    if os.environ.get("TELEX_TEST_INSTALLED") and inside:
        raise pytest.UsageError(f"the installed telex was to be tested, but {telex.__file__} was imported")


def pytest_collection_finish(session: pytest.Session) -> None:
    addressed = [item.nodeid for item in session.items if " at 0x" in item.nodeid]
    if addressed:
        raise pytest.UsageError(f"names of tests differ in each process; give ids=: {', '.join(addressed)}")
    gc.collect()


def pytest_sessionfinish(session: pytest.Session) -> None:
    # The last collections, which pytest makes, look at everything.
    gc.unfreeze()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("every_loop"):
        metafunc.fixturenames.append("loop_name")
        metafunc.parametrize("loop_name", ["asyncio", "uvloop"])


def run_alone(test: Callable[[], Coroutine[Any, Any, object]], loop: str, seconds: float = HANGS_AFTER) -> None:
    """Run an async test on a new loop, and fail if it leaves tasks or unheard exceptions there."""
    complaints: list[str] = []

    def complain(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        complaints.append(f"{context['message']}: {context.get('exception') or context.get('task') or ''}")

    async def watched() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(complain)
        # A slow machine is no fault of the test, and what blocks the loop is found by blockbuster.
        loop.slow_callback_duration = seconds
        async with asyncio.timeout(seconds) as limit:
            try:
                await test()
            except TimeoutError as error:
                if limit.expired():
                    raise AssertionError(f"the test took longer than {seconds} s") from error
                raise
        gc.collect(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, "tasks left behind:\n" + "\n".join(sorted(map(repr, left)))

    with asyncio.Runner(debug=True, loop_factory=loop_factory(loop)) as runner:
        runner.run(watched())
    assert not complaints, "the event loop complained:\n" + "\n".join(complaints)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    callspec = getattr(pyfuncitem, "callspec", None)
    loop = callspec.params.get("loop_name") if callspec else None
    loop = loop or pyfuncitem.config.getoption("--loop")
    test = pyfuncitem.obj
    property_test = getattr(test, "hypothesis", None)
    if property_test and inspect.iscoroutinefunction(property_test.inner_test):
        # Hypothesis calls the inner test once an example; each example gets its own loop.
        inner = property_test.inner_test

        @functools.wraps(inner)
        def example(*args: Any, **kwargs: Any) -> None:
            run_alone(functools.partial(inner, *args, **kwargs), loop)

        property_test.inner_test = example
        return None
    if not inspect.iscoroutinefunction(test):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    run_alone(functools.partial(test, **{name: pyfuncitem.funcargs[name] for name in names}), loop)
    return True


@pytest.fixture(scope="session", autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    guard = BlockBuster(scanned_modules=[telex])
    # A URL of another package's engine: its entry point is read from disk, once, where the hub is made.
    for call in guard.functions.values():
        call.can_block_in("engines/__init__.py", "_of_another_package")
        # The files of a page, which are read once, where the app with the page is made.
        call.can_block_in("chat/page.py", "load")
    guard.activate()
    yield
    guard.deactivate()


@pytest.fixture(scope="session", autouse=True)
def stacks_are_cheap() -> Iterator[None]:
    """asyncio's debug mode takes the stack of every callback, task and future. It takes the innermost frames of it
    only, and does not look each time at the files named in it: sources do not change.
    """
    walk_stack = traceback.walk_stack

    def innermost(frame: FrameType | None) -> Iterator[tuple[FrameType, int]]:
        return walk_stack(None) if frame is None else itertools.islice(walk_stack(frame), STACK_DEPTH)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linecache, "checkcache", lambda filename=None: None)
        patch.setattr(traceback, "walk_stack", innermost)
        yield


@pytest.fixture(autouse=True)
def nothing_left_behind(nothing_blocks_the_loop: None) -> Iterator[None]:
    # The collection after the test looks only at objects that the test has made.
    gc.freeze()
    threads, descriptors = set(threading.enumerate()), descriptor_names()
    yield
    gc.collect()
    # A thread that was told to end and not joined is given the time to do it.
    for thread in set(threading.enumerate()) - threads:
        thread.join(1)
    left = [thread.name for thread in set(threading.enumerate()) - threads]
    assert not left, f"threads left behind: {left}"
    assert not sockets(descriptor_names() - descriptors), "sockets left behind"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} skipped itself, and nothing may: {call.excinfo.value if call.excinfo else ''}"
    if report.when == "call" and report.duration > SLOW and not item.get_closest_marker("slow"):
        report.user_properties.append(("unmarked", round(report.duration, 2)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    passed = terminalreporter.stats.get("passed", [])
    unmarked = [(value, r.nodeid) for r in passed for name, value in r.user_properties if name == "unmarked"]
    if unmarked:
        terminalreporter.section("over 0.25 s and not marked slow")
        for seconds, name in sorted(unmarked, reverse=True):
            terminalreporter.line(f"{seconds:6.2f} s  {name}")


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable(report: pytest.CollectReport | pytest.TestReport) -> Generator[None, Any, Any]:
    """A report with a lone surrogate in it cannot be sent by xdist, which would end the whole run. Nobody reads the
    log and the output of a test that passed: a worker does not send them.
    """
    data = yield
    if isinstance(report, pytest.TestReport) and report.passed:
        data["sections"] = []
    return _sendable(data)


def _sendable(data: Any) -> Any:
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode()
    if isinstance(data, dict):
        return {_sendable(key): _sendable(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data)(map(_sendable, data))
    return data


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The connection string of a PostgreSQL server."""
    with server() as conninfo:
        yield conninfo
