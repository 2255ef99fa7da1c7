"""Arrays of parameters in binary form, read again by psycopg's own loaders and by the server."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import Transformer
from psycopg.pq import Format

from telex.engines.postgres.address import parse
from telex.engines.postgres.arrays import BigintArray, BytesArray, FloatArray, PackedArray, TextArray
from telex.engines.postgres.connections import connect
from tests.support.postgres import url_of


def loaded(array: PackedArray) -> Any:
    return Transformer().get_loader(array.oid, Format.BINARY).load(array.data)


@pytest.mark.slow
@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1)))
def test_numbers_are_read_as_they_were_written(items: list[int]) -> None:
    assert loaded(BigintArray.of(items)) == items


@pytest.mark.slow
@given(st.lists(st.floats(allow_nan=False)))
def test_floats_are_read_as_they_were_written(items: list[float]) -> None:
    assert loaded(FloatArray.of(items)) == items


@pytest.mark.slow
@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_texts_and_nulls_are_read_as_they_were_written(items: list[str | None]) -> None:
    array = TextArray.of(items)
    if array is None:
        assert not any(item is not None for item in items), "only an array without a text is left out"
    else:
        assert loaded(array) == items


@pytest.mark.slow
@given(st.lists(st.none() | st.binary()))
def test_bytes_and_nulls_are_read_as_they_were_written(items: list[bytes | None]) -> None:
    array = BytesArray.of(items)
    if array is None:
        assert not any(item is not None for item in items)
    else:
        assert loaded(array) == items


def test_an_empty_text_is_not_null() -> None:
    assert loaded(TextArray.of([None, ""]) or BigintArray.of([])) == [None, ""]
    assert loaded(BytesArray.of([b"", None]) or BigintArray.of([])) == [b"", None]


@pytest.mark.slow
async def test_the_server_accepts_the_arrays_as_parameters(postgres: str) -> None:
    arrays = (
        TextArray.of(["ü", None, ""]),
        BytesArray.of([b"\0\xff"]),
        BigintArray.of([1 << 62, -1]),
        FloatArray.of([]),
    )
    connection = await connect(parse(url_of(postgres, "arrays")))
    try:
        cursor = await connection.execute("SELECT %s::text[], %s::bytea[], %s::bigint[], %s::float8[]", arrays)
        assert await cursor.fetchone() == (["ü", None, ""], [b"\0\xff"], [1 << 62, -1], [])
    finally:
        connection.drop()
