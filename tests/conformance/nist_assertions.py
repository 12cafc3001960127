"""The kit's driver and plans with what they lack: symbols in assertions, patients of other feeds.

Plans write `<UseReport … useAs="orig_uuid"/>` and compare with "orig_uuid"; the driver compares
that very word. Some plans use patients of feeds that are not in the kit. The rest of both is used
as it is.
"""

import re
import shutil
from pathlib import Path

_BEFORE = "bad=[]; n=0\n"
_AFTER = """bad=[]; n=0
                known={u.get('useAs'):(mem.get(where(t,sec,u)) or {}).get('rep',{}).get(u.get('reportName')) for u in tx.iter('UseReport')}
                def said(text):
                    for k,w in known.items(): text=text.replace(k,w or k)
                    return text.strip()
"""  # noqa: E501 (as the driver is written)
_WORD = "mem[(t,sec,'_last')].xpath((x.text or '').strip())"
_VALUE = "mem[(t,sec,'_last')].xpath(said(x.text or ''))"


def kit_with_assertions(kit: Path, root: Path) -> Path:
    """Return a folder whose `tools/nist2soap.py` is the kit's driver with that addition."""
    source = (kit / "tools" / "nist2soap.py").read_text("utf-8")
    assert source.count(_BEFORE) == source.count(_WORD) == 1, "the kit's driver has changed"
    folder = root / "kit"
    shutil.copytree(kit / "tools", folder / "tools", copy_function=shutil.copyfile)
    (folder / "tools").chmod(0o755)
    program = folder / "tools" / "nist2soap.py"
    program.unlink()
    program.write_text(source.replace(_BEFORE, _AFTER).replace(_WORD, _VALUE), "utf-8")
    return folder


def tell(section: Path, symbol: str, value: str) -> None:
    """Give `symbol` its value in one section of a copied test, whatever feed its plan names."""
    plan = section / "testplan.xml"
    use = rf"<Use(?:Report|Id)\b[^>]*(?:useAs|symbol)=\"{re.escape(symbol)}\"[^>]*/>"
    plan.write_text(re.sub(use, "", plan.read_text("utf-8")), "utf-8")
    for path in section.glob("*.xml"):
        if path != plan:
            text = path.read_text("utf-8").replace(symbol, value.replace("&", "&amp;"))
            path.write_text(text, "utf-8")


def for_another_patient(test: Path) -> None:
    """Have everything that a copied test registers belong to the driver's other patient."""
    for plan in test.rglob("testplan.xml"):
        text = plan.read_text("utf-8")
        plan.write_text(
            text.replace("<RegisterTransaction>", "<RegisterTransaction><AltPatientId/>"), "utf-8"
        )
