"""Tasks of Django, as a project writes them."""

from typing import Any

try:
    from django.tasks import TaskContext, task
except ImportError:  # before Django 6
    from django_tasks import TaskContext, task


@task
def add(left: int, right: int) -> int:
    return left + right


@task(priority=10, queue_name="mails")
async def mail(to: str) -> str:
    return f"mailed {to}"


@task(takes_context=True)
def attempt(context: TaskContext) -> list[Any]:
    return [context.attempt, context.task_result.id]


@task
def leave() -> None:
    raise SystemExit("it is enough")


@task
def fail(text: str) -> None:
    raise LookupError(text)
