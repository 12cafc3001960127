"""What the types of search parameters mean for metadata (FHIR R4 search.html, MHD 2:3.66, 2:3.67).

Each function makes the test of one parameter: alternatives of a term are OR.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from hub_kernel.fhir.intervals import Interval, interval_of, interval_test
from hub_kernel.fhir.search_values import Term, bad_value, split_token, unescaped
from xds_registry.mhd.codes import OID_PREFIX, oid_of, scheme_of, unique_id_of
from xds_registry.mhd.times import date_time
from xds_registry.model import Author, Code, ReferenceId

T = TypeVar("T")
Test = Callable[[T], bool]
Make = Callable[[Term, datetime], Test[T]]
"""Makes the test of a term; the time is now, for approximate dates."""

_CXI_PARTS = re.compile(
    r"(?P<value>[^^]*)\^\^\^(?:[^&^]*&(?P<oid>[^&^]*)&[^^]*)?\^?(?P<type>[^^]*)"
)


class By(Generic[T]):
    """Makes parameters over one kind of object."""

    def codes(self, codes_of: Callable[[T], Iterable[Code]]) -> Make[T]:
        """A token over codes: `system|code`, `|code`, `system|`, `code`."""

        def make(term: Term, _now: datetime) -> Test[T]:
            wanted = [split_token(value) for value in term.values]
            schemes = [(system and scheme_of(system), code) for system, code in wanted]
            return lambda item: any(
                _is_code(one, scheme, code) for one in codes_of(item) for scheme, code in schemes
            )

        return make

    def words(self, words_of: Callable[[T], Iterable[str]]) -> Make[T]:
        """A token over words without a system, such as a status."""

        def make(term: Term, _now: datetime) -> Test[T]:
            wanted = {split_token(value)[1] for value in term.values}
            return lambda item: any(word in wanted for word in words_of(item))

        return make

    def dates(self, dtm_of: Callable[[T], str]) -> Make[T]:
        """A date over a DTM; an object without that time is not found."""

        def make(term: Term, now: datetime) -> Test[T]:
            tests = _date_tests(term, now, overlaps=False)

            def test(item: T) -> bool:
                told = interval_of(date_time(dtm_of(item)))
                return told is not None and any(one(told) for one in tests)

            return test

        return make

    def periods(self, ends_of: Callable[[T], tuple[str, str]]) -> Make[T]:
        """A date over a time of service; one that is not known is never left out (ITI-18)."""

        def make(term: Term, now: datetime) -> Test[T]:
            tests = _date_tests(term, now, overlaps=True)

            def test(item: T) -> bool:
                told = _period(*ends_of(item))
                return told is None or any(one(told) for one in tests)

            return test

        return make

    def authors(self, authors_of: Callable[[T], Iterable[Author]], part: int) -> Make[T]:
        """A string over one part of an author's name (XCN.2 family, XCN.3 given)."""

        def make(term: Term, _now: datetime) -> Test[T]:
            meant = string_test(term)
            return lambda item: any(
                meant(name) for author in authors_of(item) for name in _names(author, part)
            )

        return make

    def identifiers(
        self, uuid_of: Callable[[T], str], unique_of: Callable[[T], str], *, lists: bool = False
    ) -> Make[T]:
        """A token over entryUUID and uniqueId."""
        read = oid_of if lists else unique_id_of

        def make(term: Term, _now: datetime) -> Test[T]:
            wanted = wanted_identifiers(term.values)
            uuids = {value.lower() for _, value in wanted}
            unique = {read({"system": system or "", "value": value}) for system, value in wanted}
            return lambda item: uuid_of(item) in uuids or unique_of(item) in unique

        return make

    def references(
        self, references_of: Callable[[T], Sequence[ReferenceId]], kind: str = ""
    ) -> Make[T]:
        """A token over referenceIdList, of one type or of any."""

        def make(term: Term, _now: datetime) -> Test[T]:
            wanted = wanted_identifiers(term.values)
            return lambda item: any(
                is_reference(one.cxi, system, value, kind)
                for one in references_of(item)
                for system, value in wanted
            )

        return make


def wanted_identifiers(values: Sequence[str]) -> list[tuple[str | None, str]]:
    """Return system and value of each token; a value without system may be a URN."""
    return [split_token(value.removeprefix("Patient?identifier=")) for value in values]


def is_reference(cxi: str, system: str | None, value: str, kind: str = "") -> bool:
    """Say whether a CXi has that value, that issuer, and that type, as far as they are said."""
    found = _CXI_PARTS.match(cxi)
    if found is None or (kind and found["type"] != kind):
        return False
    issuers = {None, "urn:dicom:uid", "urn:ietf:rfc:3986", OID_PREFIX + (found["oid"] or "")}
    if not found["oid"]:
        issuers.add("")
    return found["value"] == value.removeprefix(OID_PREFIX) and system in issuers


def string_test(term: Term) -> Test[str]:
    """Return the test of a string: from its beginning, `:exact`, or `:contains`."""
    values = [unescaped(value) for value in term.values]
    if term.modifier == "exact":
        return lambda text: text in values
    folded = [fold(value) for value in values]
    if term.modifier == "contains":
        return lambda text: any(value in fold(text) for value in folded)
    return lambda text: any(fold(text).startswith(value) for value in folded)


def fold(text: str) -> str:
    """Return text without case and without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).strip()


def _date_tests(term: Term, now: datetime, *, overlaps: bool) -> list[Test[Interval]]:
    tests = []
    for value in term.values:
        test = interval_test(value.replace(" ", "+"), now, overlaps=overlaps)
        if test is None:
            raise bad_value(
                term.name, "eq ne gt lt ge le sa eb ap; YYYY[-MM[-DD[Thh:mm:ss+zz:zz]]]"
            )
        tests.append(test)
    return tests


def _period(start: str, end: str) -> Interval | None:
    first = interval_of(date_time(start)) or interval_of(date_time(end))
    last = interval_of(date_time(end)) or first
    return Interval(first.start, last.end) if first and last else None


def _is_code(code: Code, scheme: str | None, wanted: str) -> bool:
    """An empty scheme asks for codes without one; an empty code for all of a scheme."""
    return (scheme is None or code.scheme == scheme) and (not wanted or code.code == wanted)


def _names(author: Author, part: int) -> Iterable[str]:
    parts = author.person.split("^")
    given = (parts[part], " ".join(filter(None, parts[part : part + 2]))) if part == 2 else ()
    return filter(None, given or parts[part : part + 1]) if len(parts) > part else ()
