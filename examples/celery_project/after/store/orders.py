"""Orders: stock, payment, invoice, parcel."""

from dataclasses import dataclass

import telex

from . import world
from .mails import Mail

router = telex.Router()


@dataclass
class Order:
    id: int
    item: str
    cents: int
    address: str

    @property
    def key(self) -> str:
        return f"order-{self.id}"


@router.on("orders", group="orders", concurrency=8)
async def place_order(order: Order, hub: telex.Hub) -> None:
    """Take the steps of an order, and cancel it when it is not paid within half an hour."""
    await hub.send("cancel_unpaid", order, key=order.key, delay="30m")
    try:
        await hub.call("reserve_stock", order, key=order.key)
        payment = await hub.call("charge_card", order, type=str, key=order.key)
    except telex.CommandFailed as error:
        if error.command == "charge_card":
            await hub.call("release_stock", order, key=order.key)
        raise telex.Reject(str(error)) from error
    invoice = f"invoice {order.id}: {order.cents / 100:.2f}, paid by {payment}"
    await hub.topic("mails").publish(Mail(order.address, invoice), id=f"invoice-{order.id}")


@router.command("reserve_stock", once=True)
def reserve_stock(order: Order) -> str:
    if not world.stock.get(order.item):
        raise telex.CommandError(f"{order.item} is sold out", code="sold_out")
    world.stock[order.item] -= 1
    return order.item


@router.command("release_stock", once=True)
def release_stock(order: Order) -> None:
    world.stock[order.item] += 1


@router.command("charge_card", once=True, max_attempts=6, backoff=world.WAIT)
def charge_card(order: Order) -> str:
    """Charge the card. A bank that does not answer is asked again, with growing waits; a refusal is final."""
    try:
        return world.charge(order.id, order.cents)
    except world.CardDeclined as error:
        raise telex.CommandError(str(error), code="declined") from error


@router.on("parcels", group="shipping", retry=telex.Retry(attempts=21))
def ship_parcel(order_id: int) -> None:
    """Ship when the carrier has made the label, and look again later when it has not."""
    if order_id not in world.labels:
        if not world.fault("label"):
            world.labels[order_id] = f"label-{order_id}"
        raise telex.Nack(delay=world.WAIT)
    world.shipped.append(order_id)


@router.command("cancel_unpaid", once=True)
def cancel_unpaid(order: Order) -> bool:
    if order.id in world.paid:
        return False
    world.cancelled.append(order.id)
    return True
