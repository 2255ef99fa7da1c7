"""The shop's database, bank, carrier and mail server, as far as this example needs them."""

stock = {"cup": 2, "plate": 1, "spoon": 1}
paid: dict[int, int] = {}
labels: dict[int, str] = {}
shipped: list[int] = []
cancelled: list[int] = []
carts = ["cart-1", "cart-2"]
rates: dict[str, float] = {}
outbox: list[tuple[str, str]] = []
alarms: list[str] = []
WAIT = 0.1
"""The seconds before a step is repeated; more in a real shop."""
faults = {"bank": 1, "mail": 1, "label": 1}


class BankDown(Exception):
    pass


class CardDeclined(Exception):
    pass


def fault(of: str) -> bool:
    """Return true as often as this system still fails."""
    faults[of] -= 1
    return faults[of] >= 0


def charge(order_id: int, cents: int) -> str:
    if fault("bank"):
        raise BankDown("no answer from the bank")
    if cents > 100_000:
        raise CardDeclined("the limit is 1000.00")
    paid[order_id] = cents
    return f"payment-{order_id}"


def deliver_mail(to: str, text: str) -> None:
    if fault("mail"):
        raise ConnectionError("the mail server is busy")
    outbox.append((to, text))
