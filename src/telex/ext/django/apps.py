"""The app of Django, for ``INSTALLED_APPS = ["telex.ext.django"]``, which has the command ``manage.py telex``."""

from __future__ import annotations

from django.apps import AppConfig


class TelexConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """The app ``telex``."""

    name = "telex.ext.django"
    label = "telex"
