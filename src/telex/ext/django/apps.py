"""The app of Django, for ``INSTALLED_APPS = ["telex.ext.django"]``, which has the command ``manage.py telex``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    AppConfig = object  # Django has no types
else:
    from django.apps import AppConfig


class TelexConfig(AppConfig):
    """The app ``telex``."""

    name = "telex.ext.django"
    label = "telex"
