"""Text of strangers made harmless for a log line, a record, a column and a screen (CWE-117)."""

import unicodedata


def inert(text: str, longest: int) -> str:
    """Return `text` with everything spelled out that could end a line, hide text or break XML.

    That is every control, format, surrogate and unassigned character and every separator but the
    space. Backslashes are doubled, so that nobody can write an escape that was never there. The
    result has at most `longest` characters and can be stored and printed everywhere.
    """
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text[:longest]
    shown = "".join(
        character
        if character == " " or unicodedata.category(character)[0] not in "CZ"
        else f"\\u{ord(character):04x}"
        for character in text[:longest].replace("\\", "\\\\")
    )
    return shown[:longest]
