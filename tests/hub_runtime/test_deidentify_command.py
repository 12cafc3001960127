"""`eirhub deidentify` and `eirhub eir burned-in` as they are typed: who may, what is on record."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydicom import dcmread

from access_control.audit import AuditQuery
from access_control.model import Role
from hub_runtime.bootstrap import opened_hub
from hub_runtime.cli import main
from hub_runtime.options import read_settings
from tests.viewer_api.region import new_hub, sample, settle, store

CT, ULTRASOUND = "2.25.5801001", "2.25.5801002"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub with a CT of sijing, an ultrasound that is held, and people."""
    folder = tmp_path_factory.mktemp("hub")
    hub = new_hub(folder)
    accounts = hub.access.accounts
    accounts.add_user("steward", "Long-enough-7-word", {Role.DATA_STEWARD}, None, "Steward")
    accounts.add_user(
        "elsewhere", "Long-enough-7-word", {Role.DATA_STEWARD}, frozenset({"central"}), "Other"
    )
    accounts.add_user("doctor", "Long-enough-7-word", {Role.RADIOLOGIST}, None, "Doctor")
    for name, uid in (("CT_small.dcm", CT), ("examples_ybr_color.dcm", ULTRASOUND)):
        made = {"StudyInstanceUID": uid, "SeriesInstanceUID": f"{uid}.1"}
        store(hub, "sijing", sample(name, PatientID=f"DC{uid[-1]}", SOPInstanceUID=uid, **made))
    settle(hub, studies=2)
    hub.close()
    return folder


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--data", str(data)])


def export(data: Path, folder: Path, study: str, by: str) -> Result:
    return run(
        data, "deidentify", study, "--project", "p1", "--out", str(folder), "--by", by, "--json"
    )


def test_a_steward_exports_and_the_export_is_on_record(data: Path, tmp_path: Path) -> None:
    answer = export(data, tmp_path / "one", CT, "steward")
    assert answer.exit_code == 0, answer.output
    (told,) = json.loads(answer.output[answer.output.index("[") :])
    again = json.loads(
        (output := export(data, tmp_path / "two", CT, "steward").output)[output.index("[") :]
    )[0]
    assert told["content_sha256"] == again["content_sha256"]
    new = dcmread(tmp_path / "one" / told["files"][0]["path"])
    assert new.PatientIdentityRemoved == "YES"
    with opened_hub(read_settings(data=data)) as hub:
        records = hub.access.audit.search(AuditQuery(action="deidentify")).records
    assert any("p1: 1 images" in one.detail and one.resource_id == CT for one in records)


@pytest.mark.parametrize("by", ["elsewhere", "doctor", "nobody"])
def test_nobody_else_exports_anything(data: Path, tmp_path: Path, by: str) -> None:
    answer = export(data, tmp_path / "none", CT, by)
    assert answer.exit_code == 1
    assert not list(tmp_path.rglob("*.dcm"))


def test_a_picture_that_may_carry_text_stays_behind_until_it_is_cleared(
    data: Path, tmp_path: Path
) -> None:
    left = export(data, tmp_path / "held", ULTRASOUND, "steward")
    assert left.exit_code == 1
    assert '"burned_in_text": 1' in left.output
    listed = run(data, "eir", "burned-in", "list", "--json")
    cases = json.loads(listed.output)
    assert {one["study_instance_uid"] for one in cases} == {ULTRASOUND}
    for verdict, code in (("mask", 1), ("keep", 0)):
        words = ("eir", "burned-in", verdict, cases[0]["case_id"], "--by", "wu")
        assert run(data, *words, "--reason", " " if code else "a name").exit_code == code
    doctor = run(data, "doctor")
    assert "burned-in text" in doctor.output
