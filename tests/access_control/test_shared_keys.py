"""Machines of one hub hold the same keys, or do not start."""

import shutil
from pathlib import Path

import pytest

from access_control.secrets import KeyStore
from access_control.shared_keys import KEY_NAMES, require_same_keys
from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError


def test_a_second_machine_with_the_same_keys_joins(tmp_path: Path, database: Database) -> None:
    require_same_keys(database, KeyStore(tmp_path / "first"))
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    require_same_keys(database, KeyStore(tmp_path / "second"))
    require_same_keys(database, KeyStore(tmp_path / "first"))


@pytest.mark.parametrize("name", KEY_NAMES)
def test_a_machine_with_a_key_of_its_own_is_refused(
    tmp_path: Path, database: Database, name: str
) -> None:
    require_same_keys(database, KeyStore(tmp_path / "first"))
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    (tmp_path / "second" / f"{name}.key").unlink()
    with pytest.raises(ConfigurationError, match=rf"{name}\.key here is not this hub's"):
        require_same_keys(database, KeyStore(tmp_path / "second"))


def test_the_database_holds_no_key(tmp_path: Path, database: Database) -> None:
    require_same_keys(database, KeyStore(tmp_path / "first"))
    database.dispose()
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("hub.sqlite*"))
    for name in KEY_NAMES:
        key = (tmp_path / "first" / f"{name}.key").read_bytes()
        assert key not in stored
        assert key.hex().encode() not in stored
