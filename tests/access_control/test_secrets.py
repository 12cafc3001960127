import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from access_control.errors import InsecureKeyFileError
from access_control.secrets import KeyStore


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    key = KeyStore(tmp_path / "keys").key("audit")
    assert len(key) == 32
    assert KeyStore(tmp_path / "keys").key("audit") == key


def test_two_names_are_two_keys(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    assert store.key("audit") != store.key("links")


def test_only_the_owner_may_read_the_key(tmp_path: Path) -> None:
    KeyStore(tmp_path / "keys").key("audit")
    assert stat.S_IMODE((tmp_path / "keys" / "audit.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_nothing_but_the_key_is_left_behind(tmp_path: Path) -> None:
    KeyStore(tmp_path).key("audit")
    assert [path.name for path in tmp_path.iterdir()] == ["audit.key"]


def test_all_who_ask_first_at_the_same_time_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: KeyStore(tmp_path / "keys").key("audit"), range(64)))
    assert len(keys) == 1
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["audit.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    KeyStore(tmp_path).key("audit")
    (tmp_path / "audit.key").chmod(mode)
    with pytest.raises(InsecureKeyFileError, match="0600"):
        KeyStore(tmp_path).key("audit")


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_file_that_holds_no_key_is_refused_and_not_replaced(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "audit.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InsecureKeyFileError, match="32 bytes"):
        KeyStore(tmp_path).key("audit")
    assert path.read_bytes() == content


def test_a_link_to_another_file_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"x" * 32)
    elsewhere.chmod(0o600)
    (tmp_path / "audit.key").symlink_to(elsewhere)
    with pytest.raises(InsecureKeyFileError, match="plain file"):
        KeyStore(tmp_path).key("audit")


@pytest.mark.parametrize("name", ["", "../audit", "Audit", "a/b", "a.b"])
def test_a_name_that_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="key's name"):
        KeyStore(tmp_path).key(name)
    assert list(tmp_path.iterdir()) == []
