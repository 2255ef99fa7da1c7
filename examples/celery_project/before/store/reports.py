"""Reports, which people wait for and look at."""

from celery import chord
from celery.exceptions import SoftTimeLimitExceeded

from .celery import app

REGIONS = {"north": 120, "south": 80, "west": 45}


@app.task(bind=True, soft_time_limit=60)
def build_report(self, month: int, pages: int = 4) -> str:
    """Build a report, and show how far it is."""
    try:
        for page in range(1, pages + 1):
            self.update_state(state="PROGRESS", meta={"page": page, "of": pages})
    except SoftTimeLimitExceeded:
        return "the report took too long"
    return f"report of month {month}: {pages} pages"


@app.task
def count_region(region: str) -> int:
    return REGIONS[region]


@app.task
def sum_regions(counts: list[int], month: int) -> int:
    return sum(counts)


def regional_sales(month: int):
    """Count all regions at once, then sum. Returns the result of the sum."""
    return chord((count_region.s(region) for region in REGIONS), sum_regions.s(month))()


def look_up(task_id: str) -> tuple[str, object]:
    """The state of a report by its id, for a web page."""
    result = app.AsyncResult(task_id)
    return result.state, result.result


def stop(task_id: str) -> None:
    app.control.revoke(task_id, terminate=True)
