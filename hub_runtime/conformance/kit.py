"""A copy of a published kit in which is filled in what its instructions ask the tester for.

Plans leave the patient, the repository and the community to the configuration of the toolkit they
are from; some use patients of feeds that are not in the kit, or lie where the driver does not look.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hub_kernel.errors import ConfigurationError
from hub_runtime.conformance.driver import completed

PATIENT_DOMAIN = "1.3.6.1.4.1.21367.2005.13.20.1000"
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_REQUEST = re.compile(r"<lcm:SubmitObjectsRequest.*</lcm:SubmitObjectsRequest>", re.DOTALL)
_USE = r"<Use(?:Report|Id)\b[^>]*(?:useAs|symbol)=\"%s\"[^>]*/>"
_A_DOCUMENT = (
    '<UseId testdir="../../12021/submit" id="Document01" symbol="DOCUID" step="submit"'
    ' section="AssignedUids"/><MetadataFile>'
)


@dataclass(frozen=True)
class Names:
    """Whom and what the tests speak of: patients as CX, and the hub as others know it.

    What is empty stays as the tests have it.
    """

    patient: str
    second: str = ""
    third: str = ""
    repository: str = ""
    home: str = ""


@dataclass(frozen=True)
class Prepared:
    """The completed driver, and the folder of completed tests."""

    program: Path
    tests: Path


# Where a plan names a patient or a community in a way of its own: section, symbol, who it is.
_TOLD: tuple[tuple[str, str, Callable[[Names], str]], ...] = (
    ("11997/submit", "$altpatientid$", lambda names: names.second),
    ("12361/single_doc", "$patient_id2$", lambda names: names.second),
    ("12361/multi_doc", "$patient_id1$", lambda names: names.third),
    ("12364/one_pid", "$patient_id$", lambda names: names.second),
    ("12364/multi_pid", "$patient_id1$", lambda names: names.second),
    ("12364/multi_pid", "$patient_id2$", lambda names: names.third),
    ("21001/original", "$patientidDE$", lambda names: names.patient),
    ("21002/original", "$patientidDE$", lambda names: names.patient),
    ("21002/update", "$patientidDENew$", lambda names: names.second),
    ("21003/update", "$patientid2$", lambda names: names.second),
    ("40001b/patientId", "$patientid1$", lambda names: names.patient),
    ("40001b/patientId", "$patientid2$", lambda names: names.second),
    ("12318/init", "$patientid", lambda names: names.patient),
    ("12093/objectref", "$home$", lambda names: names.home),
    ("12306/finddocs", "$home$", lambda names: names.home),
    ("12308/retrieve_one", "$home$", lambda names: names.home),
    ("12308/retrieve_two", "$home$", lambda names: names.home),
    ("12309/finddocs", "$home$", lambda names: names.home),
    ("12310/finddocs", "$home$", lambda names: names.home),
    ("12311/getdocs", "$home$", lambda names: names.home),
    ("12313/retrieve_two", "$home$", lambda names: names.home),
)
# What a file says, and what the driver understands: file, from, to.
_SAID_OTHERWISE = (
    (
        "1234[45]/rplc/testplan.xml",
        ' step="submit_doc_for_rplc"',
        ' testdir="../submit_doc_for_rplc" step="submit_doc_for_rplc"',
    ),
    ("12342/*/testplan.xml", "../../testdata/12344", "../12344/submit_doc"),
    (
        "12342/uuid/testplan.xml",
        "<Metadata>query1.xml</Metadata>",
        "<MetadataFile>../query1.xml</MetadataFile>",
    ),
    (
        "12374/*/testplan.xml",
        "<RegisterTransaction>",
        "<RegisterTransaction><AltPatientId/>",
    ),
    ("12038/retrieve/testplan.xml", "<MetadataFile>", _A_DOCUMENT),
    ("12083/retrieve/testplan.xml", "<MetadataFile>", _A_DOCUMENT),
)


def prepare(kit: Path, root: Path, tests: Iterable[str], names: Names) -> Prepared:
    """Copy the driver and `tests` of the kit to `root` and fill in what they lack.

    Raises:
        ConfigurationError: it is no kit, or has no such test.
    """
    there = kit / "nist" / "tests"
    source = kit / "tools" / "nist2soap.py"
    if not source.is_file() or not there.is_dir():
        raise ConfigurationError(f"{kit}: tools/nist2soap.py and nist/tests are not both there")
    copy = root / "nist" / "tests"
    for test in dict.fromkeys(tests):
        if not (there / test).is_dir():
            raise ConfigurationError(f"{there}: there is no test {test}")
        shutil.copytree(there / test, copy / test, copy_function=shutil.copyfile)
    for folder in (path for path in copy.rglob("*") if path.is_dir()):
        folder.chmod(0o755)  # a kit that nobody may change stays so; its copy need not
    program = root / "nist2soap.py"
    program.write_text(completed(source.read_text("utf-8")), "utf-8")
    _complete(copy, names)
    return Prepared(program, copy)


def tell(section: Path, symbol: str, value: str) -> None:
    """Give `symbol` its value in one section of a copied test, whatever feed its plan names."""
    plan = section / "testplan.xml"
    plan.write_text(re.sub(_USE % re.escape(symbol), "", plan.read_text("utf-8")), "utf-8")
    for path in section.glob("*.xml"):
        if path != plan:
            _replace(path, {symbol: value})


def _complete(tests: Path, names: Names) -> None:
    for pattern, before, after in _SAID_OTHERWISE:
        for path in tests.glob(pattern):
            path.write_text(path.read_text("utf-8").replace(before, after), "utf-8")
    if (tests / "15816").is_dir():
        (tests / "15816" / "index.idx").write_text("Register_Stable\nPnR\nRetrieve\n", "utf-8")
    for path in tests.glob("ReposAcceptanceTest-*/*/*.xml"):
        found = _REQUEST.search(path.read_text("utf-8"))
        if found:  # the driver puts the request around it
            path.write_text(found[0], "utf-8")
    for test in ("12038", "12083"):
        for path in tests.glob(f"{test}/retrieve/query.xml"):
            _replace(path, {"REPID": names.repository})
    _fill_in(tests, names)
    for section, symbol, value_of in _TOLD:
        if value_of(names) and (tests / section).is_dir():
            tell(tests / section, symbol, value_of(names))


def _fill_in(tests: Path, names: Names) -> None:
    """Fill in the symbols that neither plan nor driver resolves."""
    values = dict.fromkeys(("$patientid$", "$patient_id$"), names.patient)
    values |= dict.fromkeys(("$repuid$", "$repositoryuid$"), names.repository)
    values["$configHome$"] = names.home
    for path in (one for one in tests.rglob("*.xml") if one.name != "testplan.xml"):
        plans = (path.parent / "testplan.xml", path.parent.parent / "testplan.xml")
        used = "".join(_COMMENT.sub("", one.read_text("utf-8")) for one in plans if one.exists())
        lacking = {name: one for name, one in values.items() if f'"{name}"' not in used}
        _replace(path, {name: one for name, one in lacking.items() if one})


def _replace(path: Path, values: Mapping[str, str]) -> None:
    text = path.read_text("utf-8", errors="replace")
    for symbol, value in values.items():
        text = text.replace(symbol, value.replace("&", "&amp;"))
    path.write_text(text, "utf-8")
