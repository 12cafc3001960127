"""The values of search parameters: alternatives, escapes, tokens (FHIR R4 search.html#escaping)."""

import re

_ESCAPED = re.compile(r"\\([\\,|$])")


def split_values(text: str) -> tuple[str, ...]:
    r"""Return the alternatives of a value: split at commas that are not escaped (`\,`)."""
    parts: list[str] = [""]
    for piece in re.findall(r"\\.|[^\\,]+|,|\\", text, re.DOTALL):
        if piece == ",":
            parts.append("")
        else:
            parts[-1] += piece
    return tuple(part for part in parts if part.strip())


def unescaped(text: str) -> str:
    r"""Return a value without its escapes (`\,` `\|` `\$` `\\`)."""
    return _ESCAPED.sub(r"\1", text).strip()


def split_token(text: str) -> tuple[str | None, str]:
    """Return (system, value) of a token; system is None without a bar (search.html#token)."""
    found = re.match(r"((?:\\.|[^\\|])*)\|(.*)", text, re.DOTALL)
    if not found:
        return None, unescaped(text)
    return unescaped(found.group(1)), unescaped(found.group(2))
