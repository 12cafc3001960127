from pathlib import Path

import pytest

from hub_kernel.errors import ConfigurationError
from hub_kernel.settings_files import load_settings


def _file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_later_files_then_environment_then_set_win(tmp_path: Path) -> None:
    first = _file(tmp_path, "a.toml", "[router]\nport = 1\nae_title = 'FIRST'\nidle_timeout_s = 5")
    second = _file(tmp_path, "b.toml", "[router]\nport = 2\nae_title = 'SECOND'")
    settings = load_settings(
        [first, second], {"EIRHUB_ROUTER__PORT": "3", "PATH": "/bin"}, ["router.ae_title=THIRD"]
    )
    assert (settings.router.port, settings.router.ae_title) == (3, "THIRD")
    assert settings.router.idle_timeout_s == 5


def test_every_default_is_on_loopback() -> None:
    settings = load_settings()
    assert settings.router.bind == settings.web.bind == "127.0.0.1"
    assert settings.router.accept_unknown_ae is False
    assert settings.access.machine_authentication == "token"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[router]\nprot = 1", ["router.prot", "unknown key", "port", "ae_title"]),
        ("[rooter]\nport = 1", ["rooter", "unknown key", "router", "web"]),
        ("[router]\nport = 'many'", ["router.port", "integer", "'many'"]),
        ("[router]\nport = 70000", ["router.port", "65535", "70000"]),
        ("[router]\nae_title = 'MUCH_TOO_LONG_AE_TITLE'", ["router.ae_title", "16"]),
        ("[archive]\nbackend = 'tape'", ["archive.backend", "'filesystem'", "'orthanc'", "'tape'"]),
        ("[s3]\nendpoint = 'store:9000'", ["s3.endpoint", "https://", "store:9000"]),
        ("[orthanc]\nurl = 'pacs:8042'", ["orthanc.url", "http://", "pacs:8042"]),
    ],
)
def test_a_bad_file_is_refused_with_key_place_and_what_is_allowed(
    tmp_path: Path, text: str, says: list[str]
) -> None:
    path = _file(tmp_path, "site.toml", text)
    with pytest.raises(ConfigurationError) as refusal:
        load_settings([path])
    for part in [*says, str(path)]:
        assert part in str(refusal.value)


def test_a_bad_environment_variable_is_named() -> None:
    with pytest.raises(ConfigurationError, match="environment variable EIRHUB_WEB__THREADS"):
        load_settings(environment={"EIRHUB_WEB__THREADS": "none"})


@pytest.mark.parametrize("override", ["router.port", "port=1", "a.b.c=1", "=1"])
def test_a_set_option_that_is_no_assignment_is_refused(override: str) -> None:
    with pytest.raises(ConfigurationError, match=r"section\.key=value"):
        load_settings(overrides=[override])


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.toml: cannot be read"):
        load_settings([tmp_path / "missing.toml"])
    with pytest.raises(ConfigurationError, match=r"bad\.toml: is not TOML"):
        load_settings([_file(tmp_path, "bad.toml", "= nonsense")])


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = _file(tmp_path, "two.toml", "[web]\nport = 'x'\n[study]\nquiet_period_s = 0")
    with pytest.raises(ConfigurationError) as refusal:
        load_settings([path])
    assert len(str(refusal.value).splitlines()) == 2
