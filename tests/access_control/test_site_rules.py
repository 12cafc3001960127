from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from access_control.errors import InvalidSiteError
from access_control.model import Site
from access_control.site_rules import checked_site, load_site_file
from hub_kernel.errors import InvalidValueError
from hub_kernel.identifiers import AssigningAuthority

SIJING = """
[[site]]
site_id = "sijing"
name = "泗泾社区卫生服务中心"
ae_titles = ["SIJING_CT"]
networks = ["10.21.0.0/16"]
assigning_authority = { namespace = "SIJING", oid = "1.2.156.1.21" }
"""
FULL = (
    SIJING
    + """
name_en = "Sijing"
institution = "泗泾社区卫生服务中心"
level = "community"
claimed_charset = "ISO_IR 100"
used_charset = "GB18030"
query_scope = "region"
"""
)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write_file(text: str) -> Path:
        path = tmp_path / "sites.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def test_a_file_gives_its_sites_in_order(write: Callable[[str], Path]) -> None:
    second = SIJING.replace("sijing", "jiuting").replace("SIJING", "JIUTING")
    sites = load_site_file(write(FULL + second))
    assert [site.site_id for site in sites] == ["sijing", "jiuting"]
    assert sites[0] == Site(
        site_id="sijing",
        name="泗泾社区卫生服务中心",
        name_en="Sijing",
        institution="泗泾社区卫生服务中心",
        level="community",
        ae_titles=("SIJING_CT",),
        networks=("10.21.0.0/16",),
        assigning_authority=AssigningAuthority("SIJING", "1.2.156.1.21"),
        claimed_charset="ISO_IR 100",
        used_charset="GB18030",
        query_scope="region",
    )


def test_what_may_be_left_out_gets_its_narrowest_meaning(write: Callable[[str], Path]) -> None:
    (site,) = load_site_file(write(SIJING))
    assert (site.query_scope, site.claimed_charset, site.level) == ("site", "", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must hold [[site]] tables"),
        ("site = 3", "must hold [[site]] tables"),
        ("site = [3]", "must be a [[site]] table"),
        ("[[site]]\n[[place]]\n", "other keys: place"),
        ("[[site]", "not a readable TOML file"),
        ("[[site]]\n", "site 1: site_id is missing"),
        (SIJING + "ae_title = 'X'", "unknown key 'ae_title'; allowed: site_id, name"),
        (SIJING + "level = 3", "level must be a text"),
        (SIJING.replace('["SIJING_CT"]', '"SIJING_CT"'), "ae_titles must be a list of texts"),
        (SIJING.replace('["SIJING_CT"]', "[1]"), "ae_titles must be a list of texts"),
        (SIJING.replace("oid =", "id ="), "assigning_authority: unknown key 'id'"),
        (SIJING.replace('"1.2.156.1.21"', '"1..2"'), "OID must be dotted numbers"),
        (SIJING.replace("10.21.0.0/16", "10.21.3.4/16"), "bits behind the prefix must be zero"),
        (SIJING + "query_scope = 'world'", 'query_scope: must be "site" or "region"'),
        (FULL + SIJING.replace("SIJING_CT", ""), "site 2: site sijing: ae_titles"),
    ],
)
def test_a_broken_file_is_refused_with_the_place_and_the_rule(
    write: Callable[[str], Path], text: str, told: str
) -> None:
    with pytest.raises(InvalidSiteError) as refusal:
        load_site_file(write(text))
    assert told in str(refusal.value)
    assert str(refusal.value).startswith("sites.toml")


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.toml", binary):
        with pytest.raises(InvalidSiteError, match="not a readable TOML file"):
            load_site_file(path)


@pytest.mark.parametrize("title", ["A", "SIJING_CT", "A B", "1234567890123456", "a-b.c/d(e)~"])
def test_an_ae_title_of_the_default_repertoire_is_kept(
    make_site: Callable[..., Site], title: str
) -> None:
    assert checked_site(make_site(ae_titles=(title,))).ae_titles == (title,)


def test_padding_of_an_ae_title_does_not_count(make_site: Callable[..., Site]) -> None:
    assert checked_site(make_site(ae_titles=(" CT1     ",))).ae_titles == ("CT1",)


@pytest.mark.parametrize(
    "title",
    ["", "   ", "12345678901234567", "A\\B", "A\nB", "A\r", "A\x00", "\x1b[0m", "泗泾", "A\x7f"],
)
def test_what_is_no_ae_title_is_refused_and_not_repeated_raw(
    make_site: Callable[..., Site], title: str
) -> None:
    with pytest.raises(InvalidSiteError) as refusal:
        checked_site(make_site(ae_titles=(title,)))
    message = str(refusal.value)
    assert "1 to 16 ASCII characters" in message
    assert message.isprintable()
    assert message.isascii()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3/32"),
        ("fd00:12::/64", "fd00:12::/64"),
        (" 10.0.0.0/8 ", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_networks_are_kept_in_one_form(
    make_site: Callable[..., Site], given: str, kept: str
) -> None:
    assert checked_site(make_site(networks=(given,))).networks == (kept,)


@pytest.mark.parametrize("network", ["", "10.0.0.0/33", "10.0.0.1/8", "hospital.example", "1 2"])
def test_what_is_no_network_is_refused(make_site: Callable[..., Site], network: str) -> None:
    with pytest.raises(InvalidSiteError, match="is not a network"):
        checked_site(make_site(networks=(network,)))


@pytest.mark.parametrize(
    "changes",
    [
        {"site_id": ""},
        {"site_id": "../etc"},
        {"site_id": "-x"},
        {"site_id": "a" * 65},
        {"site_id": "泗泾"},
        {"name": " "},
        {"name": "泗泾\n"},
        {"name": "泗泾\u202e"},
        {"name": "x" * 201},
        {"institution": "a\x00"},
        {"ae_titles": ()},
        {"ae_titles": ("CT", "CT ")},
        {"networks": ()},
        {"networks": ("10.0.0.0/8", "10.0.0.0/8")},
        {"claimed_charset": "../../etc/passwd"},
        {"query_scope": ""},
        {"assigning_authority": AssigningAuthority("TWO WORDS", "1.2")},
    ],
    ids=str,
)
def test_a_site_that_breaks_a_rule_is_refused(
    make_site: Callable[..., Site], changes: dict[str, Any]
) -> None:
    with pytest.raises(InvalidSiteError):
        checked_site(make_site(**changes))


def test_a_bad_site_is_a_bad_value_for_the_edges() -> None:
    assert issubclass(InvalidSiteError, InvalidValueError)


def test_the_example_file_can_be_read_as_it_is() -> None:
    example = Path(__file__).parents[2] / "config" / "site.example.toml"
    sites = load_site_file(example)
    assert len({site.assigning_authority for site in sites}) == len(sites) >= 1
