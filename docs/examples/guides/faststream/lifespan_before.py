from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faststream import ContextRepo, FastStream
from faststream.nats import NatsBroker

broker = NatsBroker()


@asynccontextmanager
async def lifespan(context: ContextRepo) -> AsyncIterator[None]:
    context.set_global("prices", {"cup": 7})
    yield
    print("the prices are closed")


app = FastStream(broker, lifespan=lifespan)
