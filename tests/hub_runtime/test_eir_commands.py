"""`eirhub eir explain` and `eirhub eir reports` as they are typed: what they say, how they end."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from tests.eir_versions.builders import part10
from tests.eir_versions.documents import pdf_report, report
from tests.support.serving_hub import eirhub
from tests.viewer_api.region import new_hub, origin_of, sample, settle

STUDY = "2.25.6400101"
CANARY = "QXZEIRCOMMAND"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub that is not running, with a CT, a signed and an unsigned report and a signed PDF."""
    folder = tmp_path_factory.mktemp("eir")
    hub = new_hub(folder)
    origin = origin_of(hub.access.sites.get("sijing"))
    made = {"PatientID": "EC1", "PatientName": f"{CANARY}^Named", "AccessionNumber": "EC-1"}
    image = sample(
        "CT_small.dcm",
        StudyInstanceUID=STUDY,
        SeriesInstanceUID=f"{STUDY}.1",
        SOPInstanceUID=f"{STUDY}.1.1",
        **made,
    )
    documents = [
        report(1, f"{CANARY} says"),
        report(2, "draft", verified=False),
        pdf_report(3),
    ]
    for one in documents:
        one.StudyInstanceUID, one.SeriesInstanceUID = STUDY, f"{STUDY}.9"
        one.SOPInstanceUID = f"{STUDY}.9.{one.InstanceNumber}"
        one.PatientID, one.PatientName = made["PatientID"], made["PatientName"]
    hub.archive.store_file(part10(image), origin)
    for one in documents:
        hub.archive.store_file(part10(one), origin)
    settle(hub, studies=1)
    hub.close()
    return folder


def is_one_of(path: Path, digests: set[str]) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() in digests


def told(answer: "subprocess.CompletedProcess[str]") -> object:
    assert answer.stderr == ""
    return json.loads(answer.stdout)


def test_explain_says_inputs_recipe_steps_and_digests_and_proves_them(data: Path) -> None:
    words = eirhub("eir", "explain", STUDY, data=data)
    assert (words.returncode, words.stderr) == (0, "")
    found = eirhub("eir", "explain", STUDY, "--json", data=data)
    assert found.returncode == 0
    explained = json.loads(found.stdout)
    assert explained["study_instance_uid"] == STUDY
    assert [one["recipe"] for one in explained["versions"]] == ["clinical", "diagnostic", "public"]
    for one in explained["versions"]:
        assert one["proved"] is True
        assert one["findings"] == []
        assert f"{STUDY}.1.1" in {source["sop_instance_uid"] for source in one["sources"]}
        for said in (one["version_id"], one["inputs_sha256"], one["recipe_sha256"]):
            assert said in words.stdout
        for picture in one["pictures"]:
            assert picture["sha256"] == picture["again_sha256"]
            assert picture["sha256"] in words.stdout
            assert picture["steps"]
            assert all(step in words.stdout for step in picture["steps"])
    assert words.stdout.count("proved: made again to the same bytes") == 3
    assert CANARY not in words.stdout + found.stdout, "nobody is named"


def test_explain_of_one_recipe_tells_of_that_alone(data: Path) -> None:
    found = eirhub("eir", "explain", STUDY, "--recipe", "public", "--json", data=data)
    assert [one["recipe"] for one in json.loads(found.stdout)["versions"]] == ["public"]
    wrong = eirhub("eir", "explain", STUDY, "--recipe", "secret", data=data)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "clinical, diagnostic, public" in wrong.stderr


def test_reports_are_listed_with_their_standing_and_nobodys_name(data: Path) -> None:
    rows = told(eirhub("eir", "reports", STUDY, "--json", data=data))
    assert isinstance(rows, list)
    assert sorted(row["standing"] for row in rows) == ["current", "current", "preliminary"]
    assert {row["kind"] for row in rows} == {"sr", "pdf"}
    words = eirhub("eir", "reports", STUDY, data=data)
    assert words.returncode == 0
    assert len(words.stdout.splitlines()) == len(rows)
    assert all(row["report_id"] in words.stdout and row["sha256"] in words.stdout for row in rows)
    assert CANARY not in words.stdout
    assert told(eirhub("eir", "reports", "--waiting", "--json", data=data)) == []


@pytest.mark.parametrize("command", ["explain", "reports"])
@pytest.mark.parametrize("study", ["2.25.6400999", "../' OR 1=1"])
def test_an_unknown_study_is_an_error_in_words(data: Path, command: str, study: str) -> None:
    answer = eirhub("eir", command, study, "--json", data=data)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "no such study" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_reports_want_a_study_or_the_waiting_ones_and_not_both(data: Path) -> None:
    for arguments in ((), (STUDY, "--waiting")):
        answer = eirhub("eir", "reports", *arguments, data=data)
        assert answer.returncode == 1
        assert "--waiting" in answer.stderr
    assert eirhub("eir", "explain", data=data).returncode == 2


def test_a_picture_changed_behind_the_hubs_back_is_told_and_ends_with_1(data: Path) -> None:
    # The last test: what it spoils stays so.
    found = eirhub("eir", "explain", STUDY, "--recipe", "clinical", "--json", data=data)
    digests = {one["sha256"] for one in json.loads(found.stdout)["versions"][0]["pictures"]}
    spoilt = 0
    for path in (data / "archive").rglob("*"):
        if path.is_file() and is_one_of(path, digests):
            path.chmod(0o600)
            path.write_bytes(path.read_bytes()[:-1] + b"\0")
            spoilt += 1
    assert spoilt
    answer = eirhub("eir", "explain", STUDY, "--recipe", "clinical", data=data)
    assert answer.returncode == 1
    assert "DIFFERS" in answer.stdout
    assert "NOT PROVED" in answer.stdout
    told_again = eirhub("eir", "explain", STUDY, "--recipe", "clinical", "--json", data=data)
    assert told_again.returncode == 1
    assert json.loads(told_again.stdout)["versions"][0]["proved"] is False
