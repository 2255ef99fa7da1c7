"""When triggers fire: against plain definitions, and cron against an independent computation."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex import BadOption
from telex.triggers.conditions.schedule import GRACE, After, At, Cron, Every, due, instant_of

ZONES = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago")
EXPRESSIONS = (
    "30 2 * * *",
    "*/15 0-4 * * sun",
    "0 0 * * *",
    "0 9 * * mon-fri",
    "59 1 * * sun",
    "0 */3 1,15 * *",
    "15 2 * 3,10 *",
)
MINUTES = (0, 15, 30, 45, 59)
"""All minutes that an expression may name: others need not be looked at."""
YEAR = 2026


def shown(zone: ZoneInfo) -> list[tuple[float, datetime]]:
    """Every minute of a year, with what the clocks show: nothing but the conversion of instants is used."""
    begin = datetime(YEAR, 1, 1, tzinfo=UTC)
    minutes = (begin + timedelta(minutes=n) for n in range(366 * 24 * 60))
    return [(at.timestamp(), at.astimezone(zone).replace(tzinfo=None)) for at in minutes]


def values(field: str, low: int, high: int) -> set[int]:
    """What a field of cron stands for, by its manual."""
    names = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
    found: set[int] = set()
    for part in field.split(","):
        whole, _, step = part.partition("/")
        first, _, last = whole.partition("-")
        begin = low if whole == "*" else names[first] if first in names else int(first)
        end = high if whole == "*" else begin if not last else names[last] if last in names else int(last)
        found.update(range(begin, end + 1, int(step or 1)))
    return found


def matcher(expression: str) -> Callable[[datetime], bool]:
    """Whether a local time fits: fields compared one by one."""
    bounds = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
    minutes, hours, days, months, week = (
        values(field, *bound) for field, bound in zip(expression.split(), bounds, strict=True)
    )
    return lambda local: (
        local.minute in minutes
        and local.hour in hours
        and local.day in days
        and local.month in months
        and (local.weekday() + 1) % 7 in week
    )


def expected(minutes: list[tuple[float, datetime]]) -> dict[str, list[float]]:
    """Each local time at its first instant, a time that is left out at the next one that there is."""
    matchers = {expression: matcher(expression) for expression in EXPRESSIONS}
    found: dict[str, list[float]] = {expression: [] for expression in EXPRESSIONS}
    seen: dict[str, set[datetime]] = {expression: set() for expression in EXPRESSIONS}
    minute = timedelta(minutes=1)
    before = last = minutes[0][1] - minute
    for instant, local in minutes:
        times = [local]
        if local - last > minute and local > before:
            times = [before + n * minute for n in range(1, (local - before) // minute + 1)]
        last = local
        before = max(before, local)
        if len(times) == 1 and local.minute not in MINUTES:
            continue
        for expression, matches in matchers.items():
            fitting = {time for time in times if matches(time)} - seen[expression]
            if fitting:
                seen[expression] |= fitting
                found[expression].append(instant)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_a_year_of_cron(zone: str) -> None:
    minutes = shown(ZoneInfo(zone))
    start, end = minutes[0][0], minutes[-1][0]
    offsets = {datetime.fromtimestamp(instant, ZoneInfo(zone)).utcoffset() for instant, _ in minutes[::60]}
    assert len(offsets) == (1 if zone == "Asia/Kolkata" else 2), "both changes are in the year"
    by_expression = expected(minutes)
    for expression in EXPRESSIONS:
        cron, fired, at = Cron.checked(expression, zone), [], start
        while (found := cron.after(at, start)) is not None and found <= end:
            fired.append(found)
            at = found
        wanted = [instant for instant in by_expression[expression] if instant > start]
        assert fired == wanted, f"{expression} in {zone}"
        for index in range(0, len(fired) - 1, 97):
            inside = (fired[index] + fired[index + 1]) / 2
            assert cron.latest(inside, start) == fired[index]
            assert cron.latest(fired[index], start) == fired[index]


def test_the_clocks_of_paris() -> None:
    paris = ZoneInfo("Europe/Paris")
    forward = instant_of(datetime(2026, 3, 29, 2, 30), paris)  # noqa: DTZ001  # a local time
    assert datetime.fromtimestamp(forward, UTC) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    back = instant_of(datetime(2026, 10, 25, 2, 30), paris)  # noqa: DTZ001
    assert datetime.fromtimestamp(back, UTC) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@given(st.floats(0.001, 1e5), st.floats(0, 2e9), st.floats(0, 1e7))
def test_every_has_no_drift(period: float, start: float, later: float) -> None:
    every, now = Every(period), start + later
    following = every.after(now, start)
    assert following is not None
    assert following > now
    number = round((following - start) / period)
    assert following == start + number * period
    assert number == 1 or start + (number - 1) * period <= now
    latest = every.latest(now, start)
    assert latest is None if now < start + period else latest is not None and latest <= now < following


@given(
    st.integers(1, 50),
    st.integers(0, 500),
    st.one_of(st.none(), st.integers(0, 300)),
    st.sampled_from(["skip", "once", "all"]),
)
def test_the_due_instants_fire(period: int, now: int, last: int | None, misfire: str) -> None:
    instants = [float(n * period) for n in range(1, 1000)]
    since = 0.0 if last is None else float(last)
    missed = [instant for instant in instants if since < instant <= now]
    fired, following = due(Every(float(period)), None if last is None else since, 0.0, float(now), misfire)  # type: ignore[arg-type]
    if misfire == "all":
        assert fired == missed
    elif misfire == "once":
        assert fired == missed[-1:]
    else:
        assert fired == [instant for instant in missed[-1:] if now - instant <= GRACE]
    assert following is not None
    assert following == min(instant for instant in instants if instant > max(now, since))


def test_once_and_no_more() -> None:
    assert due(At(10.0), None, 0.0, 9.0, "skip") == ([], 10.0)
    assert due(At(10.0), None, 0.0, 10.5, "skip") == ([10.0], None)
    assert due(At(10.0), None, 0.0, 100.0, "skip") == ([], None)
    assert due(At(10.0), None, 0.0, 100.0, "once") == ([10.0], None)
    assert due(At(10.0), 10.0, 0.0, 100.0, "all") == ([], None)
    assert due(After(5.0), None, 7.0, 12.0, "all") == ([12.0], None)


def test_mistakes() -> None:
    for expression in ("", "* * * *", "61 * * * *", "0 0 31 2 *", 5):
        with pytest.raises(BadOption, match="five fields"):
            Cron.checked(expression, "UTC")
    with pytest.raises(BadOption, match="time zone"):
        Cron.checked("* * * * *", "Mars/Olympus")


@pytest.mark.parametrize(
    ("word", "first", "second"),
    [
        ("@yearly", "2027-01-01 00:00:00", "2028-01-01 00:00:00"),
        ("@annually", "2027-01-01 00:00:00", "2028-01-01 00:00:00"),
        ("@monthly", "2026-06-01 00:00:00", "2026-07-01 00:00:00"),
        ("@weekly", "2026-05-10 00:00:00", "2026-05-17 00:00:00"),
        (" @Daily ", "2026-05-05 00:00:00", "2026-05-06 00:00:00"),
        ("@midnight", "2026-05-05 00:00:00", "2026-05-06 00:00:00"),
        ("@hourly", "2026-05-04 13:00:00", "2026-05-04 14:00:00"),
        ("*/20 30 12 * * *", "2026-05-04 12:30:00", "2026-05-04 12:30:20"),
        ("5  0 9 * *   mon", "2026-05-11 09:00:05", "2026-05-18 09:00:05"),
    ],
)
def test_words_of_cron_and_six_fields(word: str, first: str, second: str) -> None:
    cron = Cron.checked(word, "UTC")
    start = datetime(2026, 5, 4, 12, 10, 30, tzinfo=UTC).timestamp()  # a Monday
    one = cron.after(start, start)
    assert one is not None
    other = cron.after(one, start)
    assert other is not None
    assert [f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}" for at in (one, other)] == [first, second]
    assert cron.latest(other - 0.5, start) == one
    assert cron.latest(one - 0.5, start) is None


@pytest.mark.parametrize(
    ("expression", "match"),
    [
        ("@reboot", "@yearly, @annually"),
        ("@every 5m", "five fields, or one of"),
        ("@dayly", "@daily"),
        ("* * * *", "with six, the first is the second"),
        ("* * * * * * *", "with six, the first is the second"),
        ("0 9 * * * 2026", "bad day-of-week"),
        ("0 9 ? * *", "bad day-of-month"),
        ("", "wrong number of fields"),
        (5, "text of five fields"),
    ],
)
def test_expressions_that_cron_does_not_know_are_refused(expression: object, match: str) -> None:
    with pytest.raises(BadOption, match=match):
        Cron.checked(expression, "UTC")
