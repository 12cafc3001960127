import pytest

from eir_versions import reasons
from eir_versions.recipes import Exclusion, load_recipes
from eir_versions.selection import ImageInstance, SeriesFacts, Stack, refusal

SC = "1.2.840.10008.5.1.4.1.1.7"
CT = "1.2.840.10008.5.1.4.1.1.2"


def image(name: str, frames: int = 1) -> ImageInstance:
    return ImageInstance(name, frames, "0" * 64, CT)


def around(stack: Stack, position: float, attempts: int = 3) -> list[tuple[str, int]]:
    return [
        (item.instance.sop_instance_uid, item.frame_number)
        for item in stack.around(position, attempts)
    ]


def test_the_middle_slice_comes_first_then_its_neighbours() -> None:
    stack = Stack([image(str(number)) for number in range(9)])
    assert around(stack, 0.5) == [("4", 1), ("5", 1), ("3", 1)]
    assert around(stack, 0.0) == [("0", 1), ("1", 1), ("2", 1)]
    assert around(stack, 0.99) == [("8", 1), ("7", 1), ("6", 1)]


def test_frames_and_instances_are_one_stack() -> None:
    stack = Stack([image("a", 2), image("b", 5), image("c")])
    assert len(stack) == 8
    assert around(stack, 0.5, 1) == [("b", 3)]
    assert [
        (item.instance.sop_instance_uid, item.frame_number)
        for item in (stack.at(index) for index in range(8))
    ] == [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3), ("b", 4), ("b", 5), ("c", 1)]


def test_a_claim_of_two_billion_frames_costs_nothing() -> None:
    stack = Stack([image("liar", 2**31), image("honest")])
    assert around(stack, 0.5, 1) == [("liar", 2**30 + 1)]


def test_a_single_slice_is_tried_once() -> None:
    assert around(Stack([image("only")]), 0.5) == [("only", 1)]


@pytest.fixture(scope="module")
def rule() -> Exclusion:
    exclusion = load_recipes().get("public").exclusion
    assert exclusion is not None
    return exclusion


CHEST, HEAD = ("CHEST", "肺部", "胸部平扫"), ("HEAD", "", "")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (SeriesFacts("CT", CHEST, CT, 1.0, ""), None),
        (SeriesFacts("CT", HEAD, CT, 5.0, ""), None),
        (SeriesFacts("CT", HEAD, CT, 1.25, ""), reasons.THIN_SLICE_HEAD),
        (SeriesFacts("CT", ("", "", "头颅CT平扫"), CT, 0.6, ""), reasons.THIN_SLICE_HEAD),
        (SeriesFacts("CT", ("", "brain axial", ""), CT, None, ""), reasons.THIN_SLICE_HEAD),
        (SeriesFacts("MR", HEAD, CT, None, "NO"), reasons.THIN_SLICE_HEAD),
        (SeriesFacts("CT", ("", "", "", "HeadSeq"), CT, 1.0, ""), reasons.THIN_SLICE_HEAD),
        (SeriesFacts("CR", ("SKULL", "", ""), CT, None, ""), None),
        (SeriesFacts("CR", CHEST, CT, None, "YES"), reasons.BURNED_IN_TEXT),
        (SeriesFacts("US", ("ABDOMEN", "", ""), CT, None, ""), reasons.BURNED_IN_TEXT),
        (SeriesFacts("US", ("ABDOMEN", "", ""), CT, None, "NO"), None),
        (SeriesFacts("CT", CHEST, SC, None, ""), reasons.BURNED_IN_TEXT),
        (SeriesFacts("CT", CHEST, SC, None, "NO"), None),
    ],
)
def test_what_the_public_may_not_see(
    rule: Exclusion, facts: SeriesFacts, expected: str | None
) -> None:
    assert refusal(rule, facts) == expected
