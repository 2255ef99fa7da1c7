import os

import django
from django.conf import settings

TASKS = {
    "default": {
        "BACKEND": "telex.ext.django.tasks.TelexBackend",
        "OPTIONS": {"url": os.environ["TELEX_URL"], "keep": "7d"},
    }
}
# A project has these lines in its settings.py, and the task in the tasks.py of an app.
settings.configure(TASKS=TASKS, USE_TZ=True, INSTALLED_APPS=["telex.ext.django"])
django.setup()

try:
    from django.tasks import task  # Django 6
except ImportError:
    from django_tasks import task


@task
def receipt(order: int) -> str:
    return f"the receipt of order {order}"


def order_placed(order: int) -> str:
    return receipt.enqueue(order).id
