import pytest

from patient_index.matching.addresses import MatchAddress, read_address
from patient_index.model import Address


@pytest.mark.parametrize(
    "text",
    [
        "上海市松江区泗泾镇文荣路12弄3号501室",
        "松江区文荣路12弄3号501室",
        "文荣路１２弄３号５０１室",
        "文榮路12弄3號501室",
        "泗泾镇文荣路12弄3号楼501",
    ],
)
def test_the_ways_to_write_one_address_agree_on_street_and_house(text: str) -> None:
    address = read_address(Address(text=text))
    assert (address.street, address.house) == ("文荣路", ("12", "3", "501"))


def test_a_chinese_address_is_taken_apart() -> None:
    assert read_address(Address(text="浙江省杭州市上城区望江街道婺江路三弄二号")) == MatchAddress(
        province="浙江省", city="上城区", street="婺江路", house=("3", "2"), other="望江街道"
    )


def test_an_address_in_parts_keeps_them() -> None:
    address = Address("12a Smith Street, Villa 3", "Ryde", "NSW", "2112")
    assert read_address(address) == MatchAddress(
        "nsw", "ryde", "smithstreet", ("12a",), "villa3", "2112"
    )


@pytest.mark.parametrize("text", ["", "不详", "上海市", "12", "\n,;", "区区区区市市县"])
def test_rubbish_is_no_error(text: str) -> None:
    assert read_address(Address(text=text)).house in {(), ("12",)}
