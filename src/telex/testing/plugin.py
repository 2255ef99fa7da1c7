"""The pytest plugin of telex: the fixtures ``hub``, ``recorder``, ``virtual_clock``, ``telex_url``, ``telex_routers``.

pytest finds it by its entry point when telex is installed. A test that takes ``hub`` is a coroutine function. The hub
is opened before the test and closed after it, on the event loop of the test: that of pytest-asyncio or anyio when the
test is marked for them, else a loop of the plugin.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from telex.hub import Hub
    from telex.router import Router
    from telex.testing.clock import VirtualClock
    from telex.testing.recorder import Recorder


@pytest.fixture
def telex_url() -> str:
    """Return the URL of the fixture ``hub``; override it to test on another engine."""
    return "memory://"


@pytest.fixture
def telex_routers() -> Sequence[Router]:
    """Return the routers that the fixture ``hub`` includes; override it to test the handlers of a program."""
    return ()


@pytest.fixture
def telex_overrides() -> Mapping[Callable[..., Any], Callable[..., Any]]:
    """Return the factories of dependencies that the fixture ``hub`` replaces, none; override it."""
    return {}


@pytest.fixture
def recorder() -> Recorder:
    """Return the `telex.testing.recorder.Recorder` of the fixture ``hub``."""
    from telex.testing.recorder import Recorder

    return Recorder()


@pytest.fixture
def virtual_clock(request: pytest.FixtureRequest) -> VirtualClock:
    """Return a `telex.testing.clock.VirtualClock` for the test and its hub: waiting takes no time."""
    from telex.testing.clock import VirtualClock

    test = request.node
    if inspect.iscoroutinefunction(test.obj) and _is_of_another_plugin(test):
        fix = (
            "leave out its mark, or the fixture 'virtual_clock'; in mode auto set asyncio_mode = strict, or make it "
            "`def` and open a hub of its own, telex.Hub(clock=virtual_clock), in virtual_clock.run(...)"
        )
        pytest.fail(
            f"a test on a virtual clock cannot run on the loop of pytest-asyncio or anyio: {fix}", pytrace=False
        )
    return VirtualClock()


@pytest.fixture
def hub(request: pytest.FixtureRequest, telex_url: str, telex_routers: Sequence[Router], recorder: Recorder) -> Hub:
    """Return a hub with the routers of ``telex_routers``; it is open during the test."""
    from telex.hub import Hub

    test = request.node
    clock = request.getfixturevalue("virtual_clock") if "virtual_clock" in request.fixturenames else None
    if not inspect.iscoroutinefunction(test.obj):
        fix = "make it 'async def', or open a telex.blocking.Hub() in it"
        pytest.fail(f"a test with the fixture 'hub' of telex must be 'async def': {fix}", pytrace=False)
    overrides = request.getfixturevalue("telex_overrides")
    hub = Hub(telex_url, overrides=overrides, clock=clock, middleware=[recorder.middleware], lifespan=recorder.lifespan)
    for router in telex_routers:
        hub.include_router(router)
    return hub


def _is_of_another_plugin(test: pytest.Function) -> bool:
    """Return true when anyio or pytest-asyncio runs a test."""
    marked = test.get_closest_marker("anyio") or test.get_closest_marker("asyncio")
    return marked is not None or type(test).__module__.startswith("pytest_asyncio")


def _fixture(item: pytest.Item, name: str) -> Any:
    """Return the value of a fixture of this plugin in a test; None when the test has none, or one of its own."""
    info = getattr(item, "_fixtureinfo", None)
    definitions = info.name2fixturedefs.get(name) if info else None
    if not definitions or definitions[-1].func.__module__ != __name__:
        return None
    return item.funcargs.get(name)  # type: ignore[attr-defined]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    """Open the hub around the test. Other plugins, which run coroutine functions, find one."""
    hub = _fixture(item, "hub")
    if hub is None:
        return (yield)
    test: Callable[..., Coroutine[Any, Any, object]] = item.obj  # type: ignore[attr-defined]

    @functools.wraps(test)
    async def opened(*args: Any, **kwargs: Any) -> None:
        async with hub:
            await test(*args, **kwargs)

    item.obj = opened  # type: ignore[attr-defined]
    try:
        return (yield)
    finally:
        item.obj = test  # type: ignore[attr-defined]


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine function with a fixture of this plugin, unless another plugin runs it."""
    clock = _fixture(pyfuncitem, "virtual_clock")
    if not inspect.iscoroutinefunction(pyfuncitem.obj) or (clock is None and _fixture(pyfuncitem, "hub") is None):
        return None
    run = asyncio.run if clock is None else clock.run
    names = pyfuncitem._fixtureinfo.argnames
    run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
