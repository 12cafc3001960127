"""A merge, its undoing and a relink, followed through every reader of a hub; nothing is rewritten.

Two studies of one woman, sent by two townships under two numbers, and one of a stranger. The links
are changed by `eirhub identity` in processes of their own, as a registrar would, beside the hub.
"""

import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from access_control.consent import EVERYONE, ConsentKind
from dicom_router.node import DicomNode, NodeParts
from hub_kernel.settings import RouterSettings
from tests.flows.link_readers import Flow, Seen, answers_of_peer
from tests.viewer_api.region import new_hub, site


@pytest.fixture
def flow(tmp_path: Path) -> Iterator[Flow]:
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hub = new_hub(tmp_path / "hub")
        hub.database.create_all()
        yield Flow(hub, tmp_path / "hub")
        hub.close()


@pytest.fixture
def port(flow: Flow) -> Iterator[int]:
    hub = flow.hub
    parts = NodeParts(
        directory=hub.access.sites,
        archive=hub.archive,
        index=hub.index,
        audit=hub.access.audit,
        consents=hub.access.consents,
        usage=hub.usage,
        database=hub.database,
        metrics=hub.base.metrics,
        decoders=hub.pool,
    )
    node = DicomNode(RouterSettings(port=0), parts)
    yield node.start()
    node.stop()


def test_every_reader_follows_a_merge_its_undoing_and_a_relink(flow: Flow, port: int) -> None:
    assert site("sijing", 1).assigning_authority == flow.number(flow.first).issuer
    one, two = flow.persons
    apart, stored, files = flow.seen(port), flow.stored(), flow.files()
    before_merge = flow.hub.base.clock.now().isoformat()
    _require_apart(flow, apart)

    merge = flow.identity("merge", one, two)
    assert (merge["ignored"], merge["global_id"]) == (None, one)
    together = flow.seen(port)
    _require_together(flow, together, survivor=one, gone=two)
    assert together.kos == apart.kos
    # The examination is somebody else's now: what was shared of it is closed for good.
    assert (apart.link[0], together.link[0]) == (200, 404)
    closed = replace(apart, link=together.link)
    was = flow.identity("show", flow.written(flow.second), "--as-of", before_merge)
    assert was["global_id"] == two
    assert flow.as_of(before_merge) == {one: {"S001"}}, "the survivor's past is its own"
    merged = flow.hub.base.clock.now().isoformat()
    assert flow.as_of(merged) == {one: {"S001", "J900"}}
    assert flow.stored() == stored

    undone = flow.identity("take-back", str(merge["decision_id"]))
    assert flow.seen(port) == closed
    assert flow.as_of(merged) == {one: {"S001", "J900"}, two: set()}, "it was so, then"
    assert flow.as_of(before_merge) == {one: {"S001"}, two: {"J900"}}
    assert flow.stored() == stored

    flow.identity("link", flow.written(flow.first), two)
    _require_together(flow, flow.seen(port), survivor=two, gone=one)
    assert flow.stored() == stored

    lines = flow.identity("history", flow.written(flow.first))
    assert [line["action"] for line in lines] == ["REGISTER", "LINK"]
    flow.identity("take-back", str(lines[-1]["decision_id"]))
    assert flow.seen(port) == closed
    assert flow.stored() == stored

    # Taking back the undoing is the merge again: everything at the end is as after the first step.
    flow.identity("take-back", str(undone["decision_id"]))
    assert flow.seen(port) == together
    assert flow.stored() == stored
    now = flow.files()
    assert files.items() <= now.items()
    # Five changes of links made three versions each of the study they concern, and each version its
    # description. No picture is among the new files: those of the version before were taken over.
    described = [flow.described(path) for path in now.keys() - files.keys()]
    assert len(described) == 5 * 3
    assert len({one["version_id"] for one in described}) == len(described)
    assert flow.hub.access.audit.verify(lambda _done, _total: None).ok


def _require_apart(flow: Flow, seen: Seen) -> None:
    one, two = flow.persons
    first, second = flow.first.study, flow.second.study
    assert seen.timeline == {one: {first}, two: {second}} == seen.archive
    assert {found[:2] for found in seen.registry[one]} == {(first, one)}
    assert {found[:2] for found in seen.registry[two]} == {(second, two)}
    assert seen.manifests == {second}
    assert seen.qido == {second}
    assert seen.pix == {first: {one}, second: {two}}
    _require_untouched(flow, seen)


def _require_together(flow: Flow, seen: Seen, *, survivor: str, gone: str) -> None:
    both = {flow.first.study, flow.second.study}
    assert seen.timeline == {survivor: both, gone: frozenset()} == seen.archive
    assert {found[:2] for found in seen.registry[survivor]} == {(one, survivor) for one in both}
    assert seen.registry[gone] == frozenset()
    assert seen.manifests == both
    # The person is known at the doctor's site now, so the whole record is open there.
    assert seen.qido == both
    numbers = {shown.study: flow.number(shown).value for shown in (flow.first, flow.second)}
    assert seen.pix == {study: {survivor, *numbers.values()} - {numbers[study]} for study in both}
    _require_untouched(flow, seen)


def _require_untouched(flow: Flow, seen: Seen) -> None:
    """What the sites sent stays as they sent it, and a stranger is nobody's record."""
    sent = {one.study: flow.number(one) for one in (flow.first, flow.second)}
    assert seen.c_find == {study: number.value for study, number in sent.items()}
    for study, _, source in frozenset().union(*seen.registry.values()):
        assert source == sent[study].cx
    assert flow.stranger.study not in seen.qido
    status, shown = seen.link
    # A link is to one examination of one person.
    assert status == 404 or ("jiuting" in shown and "sijing" not in shown)


def test_a_refusal_follows_its_person_through_a_merge_and_its_undoing(
    flow: Flow, port: int
) -> None:
    """C-FIND and QIDO tell by the link of today whose pictures these are; sharing ends for good."""
    one, two = flow.persons
    stored = flow.stored()
    flow.hub.access.consents.record(
        one, ConsentKind.REFUSE, EVERYONE, by="registrar", reason="came to the desk"
    )
    assert _reached(flow, port) == ({flow.second.study}, {flow.second.study}, 200)

    merge = flow.identity("merge", one, two)
    closed = _reached(flow, port)
    assert closed[:2] == (set(), set())
    assert closed[2] != 200

    flow.identity("take-back", str(merge["decision_id"]))
    assert _reached(flow, port) == ({flow.second.study}, {flow.second.study}, 404)
    assert flow.stored() == stored


def _reached(flow: Flow, port: int) -> tuple[set[str], set[str], int]:
    """What the sites find by C-FIND, a doctor of the second by QIDO, and the link's status."""
    found = {one.study for one in (flow.first, flow.second) if answers_of_peer(port, one)}
    qido = flow.get("/dicom-web/studies", flow.doctor).json or ()
    return found, {study["0020000D"]["Value"][0] for study in qido}, flow.shared_exam()[0]
