"""Import and export: nothing is lost by either, and doing it twice changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from callboard.chats import ConversationManager
from callboard.chats.archive import export_file, import_file, user_of
from callboard.errors import ConfigurationError, InvalidRequest
from callboard.store import InMemoryStore
from tests.chats.world import DATA, USER, manager_of

pytestmark = pytest.mark.anyio
GOLDEN = (DATA / "golden.json").read_bytes()
LEGACY = (DATA / "legacy.json").read_bytes()


def file_of(folder: Path, data: bytes) -> Path:
    path = folder / f"{USER}.json"
    path.write_bytes(data)
    return path


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def copies(folder: Path) -> list[bytes]:
    return [each.read_bytes() for each in folder.glob("ada.json.backup.*")]


async def exported(store: InMemoryStore, folder: Path) -> object:
    await export_file(store, folder / "out.json", USER)
    return json.loads((folder / "out.json").read_bytes())


async def test_what_is_imported_is_exported_again_as_it_was(tmp_path: Path) -> None:
    store = InMemoryStore()
    path = file_of(tmp_path, GOLDEN)
    report = await import_file(store, path, USER)
    assert (len(report.new), report.left, report.migrated) == (2, (), ())
    assert copies(tmp_path) == [GOLDEN]
    assert names(tmp_path)[0] == path.name
    assert await exported(store, tmp_path) == json.loads(GOLDEN)


@pytest.mark.parametrize("data", [GOLDEN, LEGACY], ids=["later", "earlier"])
async def test_importing_twice_changes_nothing(data: bytes, tmp_path: Path) -> None:
    store = InMemoryStore()
    path = file_of(tmp_path, data)
    await import_file(store, path, USER)
    before, files = await exported(store, tmp_path), names(tmp_path)
    again = await import_file(store, path, USER)
    assert (again.new, again.extended, len(again.unchanged)) == ((), (), 2)
    assert await exported(store, tmp_path) == before
    assert names(tmp_path) == files


async def test_the_earlier_edition_is_there_and_can_be_gone_on_with(tmp_path: Path) -> None:
    store = InMemoryStore()
    report = await import_file(store, file_of(tmp_path, LEGACY), USER)
    assert set(report.migrated) == set(report.new) == {"thread_8LxyT", "thread_2"}
    assert copies(tmp_path) == [LEGACY]
    manager = manager_of(store)
    await manager.add_message(USER, "thread_2", "user", "still there?")
    assert await manager.get_message_list(USER, "thread_2") == [{"role": "user", "text": "still there?"}]
    await import_file(store, file_of(tmp_path, LEGACY), USER)
    assert len(await manager.get_message_list(USER, "thread_2")) == 1


async def test_a_file_that_has_gone_on_extends_what_is_there(tmp_path: Path) -> None:
    store = InMemoryStore()
    await import_file(store, file_of(tmp_path, GOLDEN), USER)
    longer = json.loads(GOLDEN)
    first, second = longer
    more = {"role": "user", "text": "more", "timestamp": 1757500000, "response_id": None}
    longer[first]["messages"].append(more)
    longer[first]["last_update"] = 1757500000
    report = await import_file(store, file_of(tmp_path, json.dumps(longer).encode()), USER)
    assert (report.extended, report.unchanged) == ((first,), (second,))
    assert await exported(store, tmp_path) == longer


async def test_a_file_that_tells_another_story_changes_nothing_and_is_reported(tmp_path: Path) -> None:
    store = InMemoryStore()
    await import_file(store, file_of(tmp_path, GOLDEN), USER)
    other = json.loads(GOLDEN)
    first, second = other
    other[first]["messages"][0]["text"] = "something else"
    report = await import_file(store, file_of(tmp_path, json.dumps(other).encode()), USER)
    assert [each.id for each in report.left] == [first]
    assert report.unchanged == (second,)
    assert await exported(store, tmp_path) == json.loads(GOLDEN)


async def test_an_id_of_somebody_elses_is_left_to_him(tmp_path: Path) -> None:
    store = InMemoryStore()
    await import_file(store, file_of(tmp_path, GOLDEN), "bob")
    report = await import_file(store, file_of(tmp_path, GOLDEN), USER)
    assert {each.reason for each in report.left} == {"its id is taken"}
    assert await ConversationManager(store).list_conversations(USER) == {}
    assert len(await ConversationManager(store).list_conversations("bob")) == 2


async def test_a_broken_file_is_copied_and_the_store_stays_usable(tmp_path: Path) -> None:
    store = InMemoryStore()
    path = file_of(tmp_path, GOLDEN[:-40])
    with pytest.raises(InvalidRequest, match=r"a copy is at .*nothing was imported"):
        await import_file(store, path, USER)
    assert copies(tmp_path) == [GOLDEN[:-40]]
    assert await manager_of(store).create_conversation(USER, "goes on")


async def test_a_broken_record_is_left_out_and_kept_in_the_copy(tmp_path: Path) -> None:
    store = InMemoryStore()
    data = b'{"bad": {"data": 1}, ' + GOLDEN.strip()[1:]
    report = await import_file(store, file_of(tmp_path, data), USER)
    assert [each.id for each in report.left] == ["bad"]
    assert len(report.new) == 2
    assert copies(tmp_path) == [data]


async def test_a_file_that_is_not_there_and_one_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        await import_file(InMemoryStore(), tmp_path / "none.json", USER)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        await export_file(InMemoryStore(), tmp_path / "none" / "ada.json", USER)


@pytest.mark.parametrize("name", ["a.txt", ".json", "..json", "ada"])
def test_a_file_whose_name_names_no_user_needs_one(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        user_of(tmp_path / name)
    assert user_of(tmp_path / name, "ada") == "ada"
    with pytest.raises(ConfigurationError):
        user_of(tmp_path / "a.json", "../a")
