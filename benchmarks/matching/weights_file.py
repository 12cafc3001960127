"""Write weights and term frequencies as the TOML files that the hub reads."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from patient_index.matching import MatchRecord

Tables = dict[str, dict[str, float]]

_LEAST = 3
_MOST = 2500
_CLASSES_NOTE = "same person, then each alternative in the order given above"


def term_frequencies(records: Iterable[MatchRecord]) -> Tables:
    """Return the shares of names and of their sounds; rare ones are left out."""
    counters = {name: Counter[str]() for name in ("family", "family_sound", "given", "given_sound")}
    for record in records:
        for name in record.names:
            if name.han:
                counters["family"][name.family] += 1
                counters["given"][name.given] += 1
            counters["family_sound"][name.family_sound] += 1
            counters["given_sound"][name.given_sound] += 1
    return {
        table: {
            value: count / counter.total()
            for value, count in counter.most_common(_MOST)
            if count >= _LEAST and value
        }
        for table, counter in counters.items()
    }


def write(folder: Path, data: Mapping[str, Any], tables: Tables, provenance: str) -> None:
    """Write `china.toml` and `names.toml`."""
    name = data["name"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(
        "\n".join(_weights_lines(data, provenance)) + "\n", encoding="utf-8"
    )
    (folder / "names.toml").write_text(
        "\n".join(_table_lines(tables, str(data["version"]), provenance)) + "\n", encoding="utf-8"
    )


def _weights_lines(data: Mapping[str, Any], provenance: str) -> Iterable[str]:
    yield "# What agreement is worth when two records are compared; see docs/matching.md."
    yield f"# Written by: {provenance}"
    yield f'name = "{data["name"]}"'
    yield f'version = "{data["version"]}"'
    yield 'term_frequency = "names.toml"'
    yield ""
    yield "# Bits. At least `link`, and `margin` ahead of the next person: linked unattended."
    yield "# At least `review`: a person decides."
    yield "[thresholds]"
    yield from (f"{key} = {value}" for key, value in data["thresholds"].items())
    yield ""
    yield "# Who the other could be if not the same person, and the odds beforehand, in bits."
    yield "[alternatives]"
    yield from (f"{key} = {value}" for key, value in data["alternatives"].items())
    for limit, content in data["limits"].items():
        yield ""
        yield "# These fields say one thing between them: people move, and neighbours share much."
        yield f"[limits.{limit}]"
        yield f"fields = [{', '.join(f'{chr(34)}{one}{chr(34)}' for one in content['fields'])}]"
        yield f"lowest = {content['lowest']}"
        yield f"highest = {content['highest']}"
    yield ""
    yield f"# Share of pairs on each level: {_CLASSES_NOTE}."
    for field, levels in data["fields"].items():
        yield ""
        yield f"[fields.{field}]"
        for level, shares in levels.items():
            yield f"{level} = [{', '.join(f'{share:.3g}' for share in shares)}]"


def _table_lines(tables: Tables, version: str, provenance: str) -> Iterable[str]:
    yield "# How common names are, per million: a shared rare name says more than a shared common"
    yield "# one. Values that are not listed count as the rarest."
    yield f"# Written by: {provenance}"
    yield f'version = "{version}"'
    for table, shares in tables.items():
        yield f'{table} = """'
        line = ""
        for value, share in shares.items():
            word = f"{value} {share * 1e6:.0f} "
            if len(line) + len(word) > 96:
                yield line.rstrip()
                line = ""
            line += word
        yield line.rstrip()
        yield '"""'
