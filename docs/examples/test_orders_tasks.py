import asyncio

from orders_tasks import order_placed, receipt


def test_a_worker_writes_the_receipt() -> None:
    backend = receipt.get_backend()
    id = order_placed(17)
    assert receipt.get_result(id).status == "READY"

    async def work() -> None:  # as `manage.py telex worker` does
        async with backend.worker() as hub:
            ticket = await hub.ticket(id)
            await ticket.result(timeout=20)

    asyncio.run(work())
    assert receipt.get_result(id).return_value == "the receipt of order 17"
    backend.close()
