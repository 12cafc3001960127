"""Which tests of the NIST kit are run together, in which order, and what cannot pass, and why.

Tests of one group share patients and what the driver remembers: who loads comes before who asks.
Every group has patients of its own, because many plans count everything that a patient has.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

_MOVED = (
    "wants former versions under the former patient ID; 16101 to 16103 of the same kit, and "
    "ITI-64, want all documents under the new one alone"
)
_SENDS_NOTHING = "the plan sends nothing: it is for the toolkit's own memory"
_TWICE = "the plan wants twice what is once in the documents that it registers and asks for"
_BY_HAND = "the update in between is sent by hand, from the administrator that is tested"


def _tests(names: str) -> tuple[str, ...]:
    return tuple(names.split())


@dataclass(frozen=True)
class Group:
    """Tests of one run of the driver, in their order; `excused` says why steps cannot pass.

    With `other_is_known` the driver's other patient is one that the hub knows.
    """

    name: str
    tests: tuple[str, ...]
    excused: Mapping[str, str] = field(default_factory=dict)
    other_is_known: bool = True


REGISTRATION = Group(
    "registration",
    _tests(
        "15817 11990 11991 11992 11993 11995 11996 11997 11998a 12000 12000.1a 12001 12022 12084 "
        "12323 12327 12370 12379 16101 16101b 16102 16102b 16102c 16103 16103c 12334 15804 15818 "
        "15819 15821 15823 15825 15826 15827 15828"
    ),
    dict.fromkeys(
        (
            "16101b/verify_move/initial_XAD-PID",
            "16101b/verify_created_docs/validate",
            "16102b/verify_merge/initial_XAD-PID",
            "16102c/verify_move/DE_for_Initial_XAD-PID",
            "16102c/verify_move/FD_for_Initial_XAD-PID",
            "16103c/verify_merge/verify_doc",
        ),
        _MOVED,
    ),
    other_is_known=False,
)
MANY_PATIENTS = Group("many patients", ("12361", "12364"))
QUERIES = Group("queries", _tests("12346 11897 11901 11903 11906 11907 15803"))
TWO_PATIENTS = Group(
    "two patients",
    ("12346", "12374", "12368"),
    {"12374/reset_patient_id/reset_patient_id": _SENDS_NOTHING},
)
UPDATES = Group(
    "updates",
    _tests(
        "15800 15800b 15800d 15800e 15801 15802 15802b 12319 20000d 20000e 20000f 20001 20002b "
        "20003 20007 20008 21000 21001 21002 21003 21004"
    ),
    dict.fromkeys(
        ("15801/author/validate", "15801/eventCode/validate", "15801/hcftc/validate"), _TWICE
    ),
)
REMOVALS = Group("removals", ("30000", "30003", "30005", "30006", "30007"))
RESTRICTED = Group(
    "restricted updates",
    _tests("40000 40000c 40001 40001b 40007 40030b 40030c 40037"),
    dict.fromkeys(
        ("40001/author/validate", "40001/eventCode/validate", "40001/hcftc/validate"), _TWICE
    ),
)
OTHERS = Group(
    "others",
    ("15812", "XdsDocAdminTest-1111"),
    {
        "XdsDocAdminTest-1111/MetadataUpdate/validate": _BY_HAND,
        "XdsDocAdminTest-1111/Query/verify_confidentialityCode": _BY_HAND,
    },
)
REPOSITORY = Group(
    "repository",
    _tests(
        "11966 11981 11983 11986 12021 12038 12083 12360 12369 12373 12344 12345 15807 15816 50001 "
        "50002 50003 ReposAcceptanceTest-1111 ReposAcceptanceTest-1112 "
        "ReposAcceptanceTest-1113"
    ),
    dict.fromkeys(
        (
            "12344/new_patient_id/new_patient_id",
            "12344/reset_patient_id/reset_patient_id",
            "12345/reset_patient_id/reset_patient_id",
        ),
        _SENDS_NOTHING,
    ),
)
RESPONDING = Group(
    "responding gateway",
    _tests("12318 12093 12306 12308 12309 12310 12311 12313 15815 15831"),
)
PUBLIC_REGISTRY = Group(
    "registry that is also a gateway",
    ("12344", "12342"),
    {name: why for name, why in REPOSITORY.excused.items() if name.startswith("12344/")},
)
# Who asks about everybody comes before other patients have documents with the same codes.
GROUPS = (
    MANY_PATIENTS,
    REGISTRATION,
    QUERIES,
    TWO_PATIENTS,
    UPDATES,
    REMOVALS,
    RESTRICTED,
    OTHERS,
    REPOSITORY,
    RESPONDING,
    PUBLIC_REGISTRY,
)

_INSTRUCTIONS = "instructions, without a step"
_NO_IMAGES = "asks for images that the kit does not ship"
_NO_CONSUMER = "asks a document consumer to act; the hub is none"
_COMPARES = "compares with a submission to the toolkit's own repository, or its simulator"
_NO_WADO = "the driver sends no WADO request"
_TWO_COMMUNITIES = "needs two further communities"
_RECEIVER = "submits to the toolkit's own simulator"
_ASYNCHRONOUS = "the asynchronous exchange is not offered"
_OLD_FHIR = "FHIR STU3 and MHD 2, which an R4 endpoint has to refuse"
_UNSENT = "its bodies are sent as they lie there, not by the driver"
_MISSING = "needs what is not in the kit"
# By the beginning of a test's name; the longest that fits counts.
NOT_RUN: Mapping[str, str] = {
    "11710": "a public registry of the toolkit's makers, which is no more",
    "11721": _INSTRUCTIONS,
    "11990eval_valid": _INSTRUCTIONS,
    "12028": "TLS with a client certificate, which the driver does not show",
    "12037": _INSTRUCTIONS,
    "12088": _INSTRUCTIONS,
    "12089": _INSTRUCTIONS,
    "12300": _MISSING,
    "12320": "a restricted update through a gateway (XCRMU) is not offered",
    "12335": _ASYNCHRONOUS,
    "12336": _ASYNCHRONOUS,
    "12375": "a submission without a patient (XDR), which a registry has to refuse",
    "15500": "XCPD (ITI-55) is not offered",
    "15808": _TWO_COMMUNITIES,
    "15809": _TWO_COMMUNITIES,
    "15810": _TWO_COMMUNITIES,
    "15813": _MISSING,
    "Pnr": _UNSENT,
    "RecPIF": _INSTRUCTIONS,
    "RgManualPif": _INSTRUCTIONS,
    "XdsDocSrcSubmissionTest": _RECEIVER,
    "XdsIsr-Readme": _INSTRUCTIONS,
    "XdsIsrSubmissionTest": _RECEIVER,
    "idc_": _NO_CONSUMER,
    "idc_2018-4830": _INSTRUCTIONS,
    "idc_4830": _INSTRUCTIONS,
    "ids": _NO_IMAGES,
    "ids-1001": _COMPARES,
    "ids_2018-4800": _INSTRUCTIONS,
    "ids_2018-4801": _COMPARES,
    "ids_2018-4802": _NO_WADO,
    "ids_4800": _INSTRUCTIONS,
    "ids_4802": _COMPARES,
    "ids_4806": _NO_WADO,
    "ids_4807": _NO_WADO,
    "ids_4808": _NO_WADO,
    "ids_4809": _NO_WADO,
    "iig_": _TWO_COMMUNITIES,
    "iig_5399": _INSTRUCTIONS,
    "pdb_": _OLD_FHIR,
    "rig_": _NO_IMAGES,
    "rsnaedge": _MISSING,
    "supporting_fhir_patients": "loads the toolkit's own FHIR server",
}


def planned(there: Collection[str]) -> Iterator[Group]:
    """Yield the groups of all tests in `there`; those that nobody planned for come last."""
    known = {test for group in GROUPS for test in group.tests}
    for group in GROUPS:
        tests = tuple(test for test in group.tests if test in there)
        if tests:
            yield replace(group, tests=tests)
    rest = sorted(test for test in there if test not in known and not why_not_run(test))
    if rest:
        yield Group("unplanned", tuple(rest), other_is_known=False)


def chosen(tests: Iterable[str]) -> Group:
    """Return the tests that somebody named, in that order, as one group."""
    excused = {step: why for group in GROUPS for step, why in group.excused.items()}
    return Group("chosen", tuple(tests), excused, other_is_known=False)


def why_not_run(test: str) -> str:
    """Say why a test is not run when nobody names it, or nothing."""
    fitting = (name for name in NOT_RUN if test.startswith(name))
    longest = max(fitting, key=len, default="")
    return NOT_RUN.get(longest, "")
