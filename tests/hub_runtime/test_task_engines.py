"""Which engine the settings choose, and what they are told where that cannot be."""

import sys
from pathlib import Path

import pytest

from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import HubSettings, Settings, TasksSettings
from hub_runtime.bootstrap import build_hub
from hub_runtime.celery_engine import CeleryTaskEngine
from hub_runtime.jobs import task_engine

BROKER = "redis://127.0.0.1:1/0"


def chosen(folder: Path, **tasks: str) -> object:
    hub = build_hub(Settings(hub=HubSettings(data_dir=folder), tasks=TasksSettings(**tasks)))
    try:
        return task_engine(hub)
    finally:
        hub.close()


def test_celery_is_chosen_by_its_name_and_connects_to_nothing_yet(tmp_path: Path) -> None:
    assert isinstance(chosen(tmp_path, engine="celery", broker_url=BROKER), CeleryTaskEngine)


@pytest.mark.parametrize("url", ["", "http://broker", "broker:5672"])
def test_celery_without_a_broker_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"tasks\.broker_url"):
        chosen(tmp_path, engine="celery", broker_url=url)


def test_celery_that_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "celery", None)
    for module in ("hub_runtime.celery_engine", "hub_runtime.celery_lane"):
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ConfigurationError, match=r"pip install .*eirhub\[celery\]"):
        chosen(tmp_path, engine="celery", broker_url=BROKER)
