"""A folder of another account is refused in one sentence, before anything in it is touched."""

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from hub_runtime.cli import main
from hub_runtime.data_folder import refuse_foreign_folder


@pytest.mark.parametrize("closed", [".", "secrets", "eirhub.sqlite"])
def test_a_folder_of_another_account_is_refused_with_whose_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "eirhub.sqlite").touch()
    # Root may do everything, so the answer for another account is given here.
    monkeypatch.setattr(os, "access", lambda path, _mode: path != tmp_path / closed)
    done = CliRunner().invoke(main, ["site", "list", "--data", str(tmp_path)])
    assert done.exit_code == 1
    assert re.search(r"^eirhub: .*is not for the account .* sudo -u \S+ eirhub", done.output)
    assert not list((tmp_path / "secrets").iterdir())


def test_a_folder_that_is_not_there_yet_is_nobodys(tmp_path: Path) -> None:
    refuse_foreign_folder(tmp_path / "new")
    refuse_foreign_folder(tmp_path)
