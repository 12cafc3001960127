"""Forwarding as settings describe it: what is wrong is refused at the start, by its name."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import DestinationSettings, HubSettings, RouterSettings, Settings
from hub_kernel.settings_destinations import RateSettings, WebDestinationSettings
from hub_runtime.bootstrap import build_hub
from hub_runtime.forwarding import stow_service

PACS = DestinationSettings(name="pacs", ae_title="PACS", host="127.0.0.1")


def hub_with(folder: Path, **router: object) -> Settings:
    return Settings(hub=HubSettings(data_dir=folder), router=RouterSettings(**router))  # type: ignore[arg-type]


def test_rules_that_name_a_stranger_stop_the_start(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "a"\nsend = [{ to = "nowhere" }]')
    with pytest.raises(ConfigurationError, match="'nowhere' is no destination; allowed: pacs"):
        build_hub(hub_with(tmp_path / "data", rules=rules, destinations=(PACS,)))


def test_one_name_for_two_destinations_stops_the_start(tmp_path: Path) -> None:
    web = WebDestinationSettings(name="pacs", url="https://pacs.example/dicom-web")
    with pytest.raises(ConfigurationError, match="a name stands twice"):
        build_hub(hub_with(tmp_path / "data", destinations=(PACS,), web_destinations=(web,)))


def test_a_secret_goes_over_https_only(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with pytest.raises(ValidationError, match="over https only"):
        WebDestinationSettings(name="w", url="http://10.0.0.1/dicom-web", token_file=token)
    assert WebDestinationSettings(name="w", url="http://127.0.0.1/dicom-web", token_file=token)


def test_a_token_is_read_from_its_file_and_never_shown(tmp_path: Path) -> None:
    token = tmp_path / "token"
    web = WebDestinationSettings(name="w", url="https://w.example/dicom-web", token_file=token)
    with pytest.raises(ConfigurationError, match="token cannot be read"):
        stow_service(web)
    token.write_text("very-secret\n")
    service = stow_service(web)
    assert service.headers == {"Authorization": "Bearer very-secret"}
    assert "very-secret" not in repr(service)
    assert service.tls is not None


@pytest.mark.parametrize("hours", ["8-18", "08:00", "25:00-26:00"])
def test_hours_of_a_rate_cap_are_checked(hours: str) -> None:
    with pytest.raises(ValidationError):
        RateSettings(kb_s=100, hours=hours)
