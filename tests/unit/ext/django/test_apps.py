"""The app of Django has a label that no other app has."""

from telex.ext.django.apps import TelexConfig


def test_the_app_is_named_telex() -> None:
    assert (TelexConfig.name, TelexConfig.label) == ("telex.ext.django", "telex")
