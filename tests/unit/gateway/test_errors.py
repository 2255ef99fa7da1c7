"""Copies of the gateway's refusals, and close codes that say whether to come back."""

import copy
import pickle
import re
from pathlib import Path

import pytest

from telex import TelexError
from telex.cli.client import Gone
from telex.cli.program import Unusable
from telex.gateway import CloseCode, Refused


@pytest.mark.parametrize("error", [Refused("rate", "slower", 1.5), Gone("ws://a", 3008, "slow"), Unusable("no hub")])
def test_errors_survive_copy_and_pickle(error: TelexError) -> None:
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


def test_codes_say_whether_to_come_back() -> None:
    come_back = {code for code in CloseCode if code.come_back}
    assert come_back == {CloseCode.RESTART, CloseCode.FAULT, CloseCode.IDLE, CloseCode.FULL, CloseCode.SLOW}
    for code in CloseCode:
        # A client goes by the number alone.
        assert Gone("ws://a", code, "").come_back == code.come_back


PAGE = (Path(__file__).parents[3] / "docs" / "gateway.md").read_text()  # files are not read on the event loop


def test_close_codes_are_those_of_the_page() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d{4}) \|", PAGE, re.MULTILINE)}
    assert codes == {int(code) for code in CloseCode}
    assert (CloseCode.FAULT, CloseCode.RESTART, CloseCode.BINARY, CloseCode.TOO_LARGE) == (1011, 1012, 1003, 1009)


def test_the_page_names_every_code() -> None:
    assert all(str(int(code)) in PAGE for code in CloseCode)
    assert "504" not in PAGE
