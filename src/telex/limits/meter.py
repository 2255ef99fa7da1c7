"""The shared state of one key of a limit, and the decisions about it.

No asyncio, no clock, no I/O: time is an argument, in seconds of the engine's clock. All processes keep the state in one
record, which they change by compare-and-set, so that two processes never decide by the same state.

The rate is the generic cell rate algorithm (GCRA): `KeyState.arrival` is the theoretical arrival time of the next call.
A call moves it by the interval of the rate, and may begin while it is less than ``burst`` intervals ahead of the clock.
So in any ``t`` seconds at most ``rate * t + burst`` calls begin.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from telex.limits.limit import Rule

ROUNDING = 5e-7
"""The seconds by which a call may be early: times of day as floats have steps of a quarter of a microsecond."""


MAX_LATE_SECONDS = 10.0
"""The time by which the clock may be behind another process. When it is further behind, it was set back."""


class KeyState(msgspec.Struct, frozen=True, array_like=True):
    """The state of one key in its record. ``slots`` has the running calls of each process, by the id of the process,
    ``wanted`` is true when a process without a slot waits for one.
    """

    arrival: float = 0.0
    slots: dict[str, int] = {}
    wanted: bool = False


class Decision(msgspec.Struct, frozen=True):
    """The answer to a request for calls: the next state, the number of calls that may begin, and the seconds after
    which another call may begin (None: when a call of this process ends, or all may begin).
    """

    state: KeyState
    granted: int
    wait: float | None
    is_crowded: bool = False
    """True when calls of other processes are in the way: they do not announce their end."""
    gave_way: bool = False
    """True when this process leaves a free slot to a process that has none."""


class CallRequest(msgspec.Struct, frozen=True):
    """A request of ``holder`` for ``want`` more calls, beyond the ``used`` ones that run. ``gone`` are processes that
    do not live any more. ``insists`` is true for a process that has given way, and may take a slot now.
    """

    holder: str
    used: int
    want: int
    gone: Collection[str] = ()
    insists: bool = False


def decide(state: KeyState, rule: Rule, request: CallRequest, now: float) -> Decision:
    """Return how many calls may begin now."""
    want, had = request.want, state.slots.get(request.holder, 0)
    others = {id: n for id, n in state.slots.items() if id != request.holder and id not in request.gone}
    free = want if rule.concurrency is None else max(0, rule.concurrency - sum(others.values()) - request.used)
    gives_way = state.wanted and had > 0 and want > 0 and free > 0 and not request.insists
    arrival, wait = _arrival(state, rule, now), None
    base, tokens = max(arrival, now), want
    if rule.interval is not None:
        tokens = max(0, int((now - base + ROUNDING) / rule.interval + rule.burst))
    granted = 0 if gives_way else min(want, free, tokens)
    if rule.interval is not None and granted:
        arrival = base + granted * rule.interval
    if rule.interval is not None and tokens < min(want, free):
        wait = max(0.0, max(arrival, now) + (1 - rule.burst) * rule.interval - now)
    crowded = free < want and free <= tokens and bool(others)
    wanted = state.wanted
    if granted and (not had or request.insists):
        wanted = False
    elif crowded and not had:
        wanted = True
    mine = request.used + granted if rule.concurrency is not None else 0
    slots = {**others, request.holder: mine} if mine else others
    return Decision(KeyState(arrival, slots, wanted), granted, wait, crowded, gives_way)


def _arrival(state: KeyState, rule: Rule, now: float) -> float:
    """Return the arrival time of the state, or that after a full burst if the clock was set back."""
    if rule.interval is None:
        return state.arrival
    latest = now + rule.burst * rule.interval
    return latest if state.arrival > latest + MAX_LATE_SECONDS else state.arrival


def encode(state: KeyState) -> bytes:
    """Return the value of the record."""
    return msgspec.json.encode(state)


def decode(value: bytes) -> KeyState:
    """Return the state in a record. A damaged record is an empty state."""
    try:
        return msgspec.json.decode(value, type=KeyState)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return KeyState()
