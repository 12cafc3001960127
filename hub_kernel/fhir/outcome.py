"""What is refused and why, as FHIR says it: OperationOutcome (FHIR R4, operationoutcome.html)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from hub_kernel.errors import HubError

Resource = dict[str, Any]
"""One FHIR resource, or one element of it, as its JSON form has it."""

RULES_SYSTEM = "urn:ietf:rfc:3986"
_RULE_PREFIX = "urn:eirhub:fhir:"
_MOST_ISSUES = 20
_LONGEST_PLACE = 200
_LONGEST_VALUE = 120
_LONGEST_ALLOWED = 600


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong, in words a sender can act on.

    `code` is of the value set issue-type, `rule` a stable word of the hub's own. `where` is a
    FHIRPath of the element, or `http.<parameter>` for a parameter of the request. `came` repeats
    what was sent only where that says nothing about a person; `allowed` says what would be
    accepted. `diagnostics` is a wording that IHE prescribes; else it is the English sentence.
    `codes` are further words for the rule, such as an error code of a profile.
    """

    code: str
    rule: str
    en: str
    zh: str
    where: str = ""
    allowed: str = ""
    came: str = ""
    severity: str = "error"
    diagnostics: str = ""
    codes: tuple[str, ...] = ()

    def at(self, where: str, *, came: str = "") -> "Issue":
        """Return the same issue at that place, with what came there."""
        return replace(self, where=where, came=came or self.came)


class FhirRefusedError(HubError):
    """The request is refused with an HTTP status and at least one issue."""

    def __init__(
        self, status: int, *issues: Issue, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(", ".join(sorted({issue.rule for issue in issues})))
        self.status = status
        self.issues = issues
        self.headers = headers


def operation_outcome(issues: Iterable[Issue]) -> Resource:
    """Return the issues as an OperationOutcome, the first twenty of them."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [_issue(issue) for issue in list(issues)[:_MOST_ISSUES]],
    }


def shown(text: str, longest: int = _LONGEST_VALUE) -> str:
    """Return a value of the sender's as it may be repeated: short, on one line, printable."""
    cut = text if len(text) <= longest else text[:longest] + "…"
    return "".join(char if char.isprintable() else "�" for char in cut)


def _issue(issue: Issue) -> Resource:
    came, allowed = shown(issue.came), shown(issue.allowed, _LONGEST_ALLOWED)
    english = _sentence(issue.en, ("came", came), ("allowed", allowed))
    chinese = _sentence(issue.zh, ("收到", came), ("允许", allowed))
    said: Resource = {
        "severity": issue.severity,
        "code": issue.code,
        "details": {
            "coding": [
                {"system": RULES_SYSTEM, "code": _RULE_PREFIX + issue.rule},
                *({"code": code} for code in issue.codes),
            ],
            "text": f"{chinese} / {english}",
        },
        "diagnostics": issue.diagnostics or english,
    }
    if issue.where:
        said["expression"] = [shown(issue.where[:_LONGEST_PLACE])]
    return said


def _sentence(text: str, *facts: tuple[str, str]) -> str:
    return "; ".join([text, *(f"{word}: {value}" for word, value in facts if value)])
