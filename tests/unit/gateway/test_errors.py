"""What the gateway refuses survives a copy, and its close codes say whether to come back."""

import copy
import pickle

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
