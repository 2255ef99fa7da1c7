"""Opening a file that is not there, or is no database."""

from pathlib import Path

from tests.unit.engines.sqlite.hubs import at, told


async def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    assert "make it first" in await told(at(tmp_path / "nowhere" / "x.db"))


async def test_a_directory_in_the_place_of_the_file(tmp_path: Path) -> None:
    assert "it is a directory; name a file in it" in await told(at(tmp_path))


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"not a database" * 100)
    assert "give another name, or move that file away" in await told(at(path))
    assert path.read_bytes() == b"not a database" * 100
