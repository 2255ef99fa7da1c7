"""The observers that a hub is given."""

import pytest

import telex
from telex.observe.instrument import check_instruments


@pytest.mark.parametrize("wrong", ["otel", 5, [object()], True])
def test_another_value_is_refused(wrong: object) -> None:
    with pytest.raises(telex.BadOption, match=r"telex\.observe\.OpenTelemetry\(\)"):
        check_instruments(wrong)
    with pytest.raises(telex.BadOption, match="observe"):
        telex.Hub(observe=wrong)  # type: ignore[arg-type]  # on purpose


def test_nothing_is_given_by_default() -> None:
    assert check_instruments(None) == ()
