"""The rules file: everything in it is understood, or refused with its place and what is allowed."""

from pathlib import Path

import pytest

from dicom_router.routing.model import Priority, TransferChoice
from dicom_router.routing.rules_file import load_rules
from hub_kernel.errors import ConfigurationError

EXAMPLE = Path(__file__).parents[3] / "config" / "routing.example.toml"
NAMED = ("stroke-centre", "reading-centre", "night-service", "dose-register", "second-archive")


def refused(folder: Path, text: str, *destinations: str) -> list[str]:
    file = folder / "routing.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refusal:
        load_rules(file, destinations)
    return str(refusal.value).replace(f"{file}: ", "").splitlines()


def test_the_example_is_understood() -> None:
    rules = {rule.name: rule for rule in load_rules(EXAMPLE, NAMED)}
    assert list(rules) == ["stroke", "reading", "night", "no-reports", "second-copy"]
    assert rules["stroke"].send[0].priority is Priority.EMERGENCY
    assert rules["stroke"].when.emergency is True
    assert rules["reading"].send[0].transfer is TransferChoice.HTJ2K_LOSSLESS
    assert str(rules["night"].when.during) == "mon,tue,wed,thu,fri 18:00-07:00"
    assert rules["night"].when.tags["InstitutionName"] == ("*卫生院", "*卫生服务中心")
    assert rules["no-reports"].stop
    assert str(rules["second-copy"].send[0].during) == "22:00-06:00"


def test_a_single_text_stands_for_a_list_of_one(tmp_path: Path) -> None:
    file = tmp_path / "routing.toml"
    file.write_text('[[rule]]\nname = "a"\nwhen.modality = "CT"\nsend = [{ to = "x" }]')
    assert load_rules(file, ["x"])[0].when.modality == ("CT",)


def test_an_empty_file_has_no_rules(tmp_path: Path) -> None:
    (tmp_path / "routing.toml").write_text("")
    assert load_rules(tmp_path / "routing.toml", ()) == ()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('when.modalty = "CT"', "when.modalty: unknown key; allowed here: site, modality"),
        ('whom = "CT"', "whom: unknown key; allowed here: name, when, send, stop"),
        ("when.modality = 3", "when.modality: must be a list, got 3"),
        ("when.modality = []", "when.modality: must name at least one, got []"),
        ('when.modality = [""]', "when.modality.0: must not be empty, got ''"),
        ('when.emergency = "perhaps"', "when.emergency: must be true or false, got 'perhaps'"),
        ('when.hours = "8-9"', "when: '8-9' are no hours; write HH:MM-HH:MM, as 20:00-06:00"),
        ('when.weekdays = ["mo"]', "when: 'mo' is no weekday; allowed: mon, tue, wed"),
        ('when.tags = { Foo = "x" }', "when.tags.Foo: no DICOM keyword; write one of PS3.6"),
        (
            'when.sop_class = "CTImageStorag"',
            "when.sop_class: 'CTImageStorag' is no keyword and no UID of a SOP class; perhaps "
            "CTImageStorage",
        ),
        ('stop = "no way"', "stop: must be true or false, got 'no way'"),
    ],
)
def test_a_wrong_condition_is_named_with_what_is_allowed(
    tmp_path: Path, body: str, message: str
) -> None:
    text = f'[[rule]]\nname = "a"\nsend = [{{ to = "x" }}]\n{body}'
    (line,) = refused(tmp_path, text, "x")
    assert line.startswith(f"rule 1 (a): {message}")


@pytest.mark.parametrize(
    ("send", "message"),
    [
        ("[]", "send: must name at least one destination"),
        ('[{ to = "y" }]', "send.0.to: 'y' is no destination; allowed: x"),
        ('[{ to = "x" }, { to = "x" }]', "send.1.to: 'x' stands in this rule already"),
        ('[{ to = "x", prio = 1 }]', "send.0.prio: unknown key; allowed here: to, transfer_syntax"),
        (
            '[{ to = "x", transfer_syntax = "jpeg" }]',
            "send.0.transfer_syntax: 'jpeg' is not allowed; allowed: 'as-stored', 'htj2k-lossless'",
        ),
        (
            '[{ to = "x", priority = "asap" }]',
            "send.0.priority: 'asap' is not allowed; allowed: 'emergency', 'high', 'routine' or "
            "'low'",
        ),
        ('[{ to = "x", hours = "noon" }]', "send.0: 'noon' are no hours"),
        ("[{}]", "send.0.to: is missing"),
    ],
)
def test_a_wrong_delivery_is_named_with_what_is_allowed(
    tmp_path: Path, send: str, message: str
) -> None:
    (line,) = refused(tmp_path, f'[[rule]]\nname = "a"\nsend = {send}', "x")
    assert line.startswith(f"rule 1 (a): {message}")


def test_every_mistake_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    text = """
    [[rule]]
    name = "a"
    when.site = []
    send = [{ to = "x" }]
    [[rule]]
    name = "b"
    send = [{ to = "y" }]
    [[rule]]
    name = "b"
    send = [{ to = "x" }]
    """
    lines = refused(tmp_path, text, "x")
    assert [line.split(":")[0] for line in lines] == ["rule 1 (a)", "rule 2 (b)", "rule 3 (b)"]
    assert "another rule is called so" in lines[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[rule", "is not TOML"),
        ("[rules]", "rules: unknown key; allowed here: [[rule]] tables alone"),
        ("[rule]\nname = 'a'", "rule: write [[rule]], with two brackets"),
        ("rule = [1]", "rule 1: rule: must be a table, got 1"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(tmp_path, text, "x")[0]


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none.toml: cannot be read"):
        load_rules(tmp_path / "none.toml", ())
