"""What the driver cannot judge of an answer with images, judged as its test plan says."""

import io
from collections.abc import Callable, Iterator, Mapping

import requests
from lxml import etree
from pydicom import dcmread

from tests.conformance.nist_images import Case, parsed
from tests.xds_registry import wire
from tests.xds_registry.imaging_wire import RAD69, RAD75


def judged(case: Case, url: str) -> dict[str, list[str]]:
    """Send the request of a case; return what is wrong by step, and nothing where all is right."""
    action = RAD75 if case.is_gateway else RAD69
    response = requests.post(
        url,
        wire.envelope(parsed(case.request), action),
        headers={"Content-Type": "application/soap+xml"},
        timeout=60,
    )
    answer, parts = wire.unpack(response)
    found: dict[str, list[str]] = {}
    for plan in case.plans:
        for step in parsed(plan).iter("TestStep"):
            asserts = [one.get("process") for one in step.iter("Assert")]
            standard = step.find("Standard/ResponseBody/*")
            if standard is not None and set(asserts) & JUDGES.keys():
                wrong = [w for one in asserts for w in JUDGES[one](answer, parts, standard)]
                found[f"{case.name}/{step.get('id')}"] = wrong
    return found


def _same_images(
    answer: etree._Element, parts: Mapping[str, bytes], standard: etree._Element
) -> Iterator[str]:
    """Status and documents; an empty repository in the standard stands for any."""
    if wire.status(answer) != wire.status(standard):
        yield f"status {wire.status(answer)}"
    if _documents(answer) != _documents(standard):
        yield f"documents {sorted(_documents(answer) - _documents(standard))}"
    for part in parts.values():
        uid = dcmread(io.BytesIO(part), stop_before_pixels=True).SOPInstanceUID
        if uid not in {document for document, _, _ in _documents(answer)}:
            yield f"the bytes of {uid}"


def _documents(payload: etree._Element) -> set[tuple[str, str, str]]:
    """The (document, community, media type) of every DocumentResponse."""
    names = ("DocumentUniqueId", "HomeCommunityId", "mimeType")
    return {
        tuple((one.findtext(f"{{{wire.XDSB}}}{name}") or "").strip() for name in names)
        for one in payload.iter(f"{{{wire.XDSB}}}DocumentResponse")
    }


def _same_homes(
    answer: etree._Element, _parts: Mapping[str, bytes], standard: etree._Element
) -> Iterator[str]:
    ours, theirs = ({home for _, home, _ in _documents(one)} for one in (answer, standard))
    if ours != theirs:
        yield f"communities {ours}"


def _errors(
    answer: etree._Element, _parts: Mapping[str, bytes], standard: etree._Element
) -> Iterator[str]:
    """There are errors, with the codes the standard names where it names any."""
    if not wire.errors(answer):
        yield "no error"
    named = set(wire.errors(standard)) - {TOOLKITS_OWN}
    if named and set(wire.errors(answer)) != named:
        yield f"errors {wire.errors(answer)}"


# A word of the toolkit's for XDSUnknownRepositoryId, in no table of the profiles.
TOOLKITS_OWN = "XDSIUnknownIdsUid"
Judge = Callable[[etree._Element, Mapping[str, bytes], etree._Element], Iterator[str]]
JUDGES: Mapping[str, Judge] = {
    "sameRetImgs": _same_images,
    "matchHomeCommunityIds": _same_homes,
    "registryErrorListNotEmpty": _errors,
}
