"""Orders: stock, payment, invoice, parcel."""

from celery import chain

from . import world
from .celery import app
from .mails import send_mail


@app.task
def place_order(order_id: int, item: str, cents: int, address: str) -> None:
    """Start the steps of an order, and cancel it when it is not paid within half an hour."""
    chain(
        reserve_stock.s(order_id, item),
        charge_card.si(order_id, cents),
        send_invoice.s(order_id, cents, address),
    ).apply_async(link_error=release_stock.si(order_id, item))
    cancel_unpaid.apply_async((order_id, item), countdown=1800)


@app.task
def reserve_stock(order_id: int, item: str) -> str:
    if not world.stock.get(item):
        raise ValueError(f"{item} is sold out")
    world.stock[item] -= 1
    return item


@app.task
def release_stock(order_id: int, item: str) -> None:
    world.stock[item] += 1


@app.task(bind=True, max_retries=5)
def charge_card(self, order_id: int, cents: int) -> str:
    """Charge the card. A bank that does not answer is asked again, with growing waits; a refusal is final."""
    try:
        return world.charge(order_id, cents)
    except world.BankDown as error:
        raise self.retry(exc=error, countdown=world.WAIT * 2**self.request.retries) from error


@app.task
def send_invoice(payment: str, order_id: int, cents: int, address: str) -> None:
    send_mail.delay(address, f"invoice {order_id}: {cents / 100:.2f}, paid by {payment}")


@app.task(bind=True, max_retries=20)
def ship_parcel(self, order_id: int) -> None:
    """Ship when the carrier has made the label, and look again later when it has not."""
    if order_id not in world.labels:
        if not world.fault("label"):
            world.labels[order_id] = f"label-{order_id}"
        raise self.retry(countdown=world.WAIT)
    world.shipped.append(order_id)


@app.task
def cancel_unpaid(order_id: int, item: str) -> bool:
    if order_id in world.paid:
        return False
    world.cancelled.append(order_id)
    return True
