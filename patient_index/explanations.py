"""Why a link was made, as it is kept in the log: one line per field, as JSON."""

import json
from collections.abc import Iterable
from typing import Any

from patient_index.model import Explanation, FieldNote


def encoded(explanation: Explanation) -> str:
    """Return the explanation as JSON; empty text for one that explains nothing."""
    if explanation == Explanation():
        return ""
    return json.dumps(
        {
            "score": explanation.score,
            "weights": explanation.weights,
            "fields": [_compact(note) for note in explanation.fields],
        },
        ensure_ascii=False,
    )


def decoded(text: str | None) -> Explanation:
    """Return what `encoded` wrote."""
    if not text:
        return Explanation()
    kept: dict[str, Any] = json.loads(text)
    notes = tuple(FieldNote(**note) for note in kept["fields"])
    return Explanation(kept["score"], notes, kept["weights"])


def joined(notes: Iterable[FieldNote], explanation: Explanation) -> Explanation:
    """Return the explanation with these notes before its own."""
    return Explanation(explanation.score, (*notes, *explanation.fields), explanation.weights)


def _compact(note: FieldNote) -> dict[str, object]:
    return {name: value for name, value in vars(note).items() if value or name == "weight"}
