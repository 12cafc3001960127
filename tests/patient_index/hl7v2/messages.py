"""Messages as Chinese hospital systems send them."""

WANG = "王^小东^^^^^L"


def adt(
    pid: str,
    *more: str,
    event: str = "A04",
    control_id: str = "1",
    facility: str = "EAST",
    version: str = "2.4",
    charset: str = "UNICODE UTF-8",
    **header: str,
) -> str:
    """An ADT whose PID begins at PID-3; `header` replaces application, type or processing ID."""
    kind = header.get("type", f"ADT^{event}")
    msh = (
        f"MSH|^~\\&|{header.get('application', 'HIS')}|{facility}|EIRHUB|REGION|"
        f"{header.get('sent', '20261121080000')}||{kind}|{control_id}|"
        f"{header.get('processing_id', 'P')}|{version}|||||CHN|{charset}"
    )
    return "\r".join((msh, "EVN||20261121080000", f"PID|1||{pid}", *more, "PV1||O", ""))


def merge(survivor: str, subsumed: str, control_id: str = "m1", facility: str = "EAST") -> str:
    return adt(survivor, f"MRG|{subsumed}", event="A40", control_id=control_id, facility=facility)


def query(event: str, *segments: str, control_id: str = "q1", charset: str = "") -> str:
    msh = (
        f"MSH|^~\\&|HIS|EAST|EIRHUB|REGION|20261121080000||QBP^{event}^QBP_Q21|{control_id}|P|2.5"
        f"|||||CHN|{charset}"
    )
    return "\r".join((msh, *segments, ""))


def pix(identifier: str, domains: str = "", control_id: str = "q1") -> str:
    qpd = f"QPD|IHE PIX Query|tag-{control_id}|{identifier}|{domains}"
    return query("Q23", qpd, "RCP|I", control_id=control_id)


def pdq(
    parameters: str, rcp: str = "RCP|I|10^RD", *more: str, domains: str = "", charset: str = ""
) -> str:
    qpd = f"QPD|IHE PDQ Query|tag|{parameters}|||||{domains}"
    return query("Q22", qpd, rcp, *more, charset=charset)
