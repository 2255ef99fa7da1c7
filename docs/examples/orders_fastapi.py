import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import telex


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]


class NewOrder(BaseModel):
    item: str


def create_app() -> FastAPI:
    hub = telex.Hub(os.environ["TELEX_URL"])  # sqlite:////var/lib/shop.db, postgresql://shop@db/shop
    engine = create_async_engine(os.environ["DATABASE_URL"])  # sqlite+aiosqlite:///..., postgresql+psycopg://...

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with hub:  # it publishes the messages of committed transactions
            async with engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
            yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.post("/orders", status_code=201)
    async def place(new: NewOrder) -> dict[str, int]:
        async with AsyncSession(engine) as session, session.begin():
            order = Order(item=new.item)
            session.add(order)
            await session.flush()  # the database gives it an id
            await hub.join(session).publish("orders", {"id": order.id, "item": order.item})
            if new.item == "sold out":
                raise HTTPException(409, "sold out")  # rolls back both
            return {"id": order.id}

    @app.get("/orders")
    async def orders() -> list[str]:
        async with AsyncSession(engine) as session:
            return list(await session.scalars(select(Order.item).order_by(Order.id)))

    return app
