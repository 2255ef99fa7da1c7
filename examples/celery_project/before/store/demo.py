"""A day of the shop, with a worker running: `python -m store.demo`."""

from . import reports, world
from .mails import send_newsletter
from .orders import place_order, ship_parcel
from .upkeep import expire_carts, nightly_report, refresh_rates


def main() -> None:
    place_order.delay(1, "cup", 700, "ann@example.org")
    place_order.delay(2, "plate", 200_000, "bob@example.org")
    ship_parcel.delay(1)
    send_newsletter.delay(["ann@example.org", "bob@example.org"], "new cups")
    report = reports.build_report.delay(10)
    print(report.get(timeout=10))
    print(reports.look_up(report.id))
    print(reports.regional_sales(10).get(timeout=10))
    for task in (expire_carts, nightly_report):
        task.delay()
    refresh_rates.delay("EUR")
    print("mails:", len(world.outbox), "shipped:", world.shipped, "paid:", world.paid, "left:", world.stock)
    print("alarms:", sorted(world.alarms))


if __name__ == "__main__":
    main()
