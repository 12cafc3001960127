"""Why a message is refused: one row for each reason, in Chinese and English (HL7 v2.5 2.15.5).

Each row knows its acknowledgement code (table 0008) and its error code (table 0357). A refusal adds
the place, what came and what is allowed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from hub_kernel.errors import HubError

Acknowledgement = Literal["AA", "AE", "AR"]

ERROR_CODES: Mapping[int, str] = {
    100: "Segment sequence error",
    101: "Required field missing",
    102: "Data type error",
    103: "Table value not found",
    200: "Unsupported message type",
    201: "Unsupported event code",
    202: "Unsupported processing id",
    203: "Unsupported version id",
    204: "Unknown key identifier",
    205: "Duplicate key identifier",
    206: "Application record locked",
    207: "Application internal error",
}
"""HL7 table 0357."""


@dataclass(frozen=True)
class Location:
    """A place in a message (data type ERL): 1-based, 0 where it is not narrowed down further."""

    segment: str
    field: int = 0
    component: int = 0
    sequence: int = 1
    repetition: int = 1
    subcomponent: int = 0

    def part(self, component: int) -> "Location":
        """Return the place of one component here."""
        return replace(self, component=component)

    def __str__(self) -> str:
        """Return the place as people write it: "PID-3.4", "PID[2]-3[1].4"."""
        sequence = f"[{self.sequence}]" if self.sequence > 1 else ""
        repetition = f"[{self.repetition}]" if self.repetition > 1 else ""
        text = f"{self.segment}{sequence}"
        if self.field:
            text += f"-{self.field}{repetition}"
        if self.component:
            text += f".{self.component}"
        if self.subcomponent:
            text += f".{self.subcomponent}"
        return text


@dataclass(frozen=True)
class Rule:
    """One reason to refuse: how it is acknowledged, its code, and its words in two languages."""

    acknowledgement: Acknowledgement
    code: int
    english: str
    chinese: str


RULES: Mapping[str, Rule] = {
    "not-hl7": Rule("AR", 100, "this is not an HL7 v2 message", "不是 HL7 v2 消息"),
    "too-long": Rule("AR", 207, "the message is too long", "消息过长"),
    "unterminated": Rule("AR", 207, "the message did not end in time", "消息未在规定时间内结束"),
    "busy": Rule("AE", 207, "too much at once; send again later", "当前过于繁忙，请稍后重发"),
    "frame-in-frame": Rule(
        "AR", 207, "a second start block inside a message", "消息内又出现起始符（VT）"
    ),
    "encoding-characters": Rule(
        "AR", 102, "MSH-1 and MSH-2 must be different characters", "MSH-1 与 MSH-2 的分隔符不合规"
    ),
    "line-feed": Rule("AR", 102, "a line feed inside a segment", "段内含有换行符"),
    "segment-name": Rule("AR", 100, "a line that is no segment", "存在无法识别的段"),
    "too-intricate": Rule("AR", 207, "too many fields or repetitions", "字段或重复过多"),
    "several-headers": Rule("AR", 100, "more than one MSH segment", "消息头 MSH 多于一个"),
    "segment-missing": Rule("AE", 100, "a required segment is missing", "缺少必需的段"),
    "field-missing": Rule("AE", 101, "a required field is empty", "必填字段为空"),
    "header-field-missing": Rule("AR", 101, "a required field is empty", "必填字段为空"),
    "message-type": Rule("AR", 200, "this message type is not supported", "不支持该消息类型"),
    "event": Rule("AR", 201, "this trigger event is not supported", "不支持该触发事件"),
    "processing-id": Rule("AR", 202, "this processing ID is not supported", "不支持该处理标识"),
    "version": Rule("AR", 203, "this HL7 version is not supported", "不支持该 HL7 版本"),
    "character-set": Rule("AR", 103, "the character set is not known", "字符集未知"),
    "unreadable": Rule(
        "AR", 102, "the text cannot be read in its character set", "按所声明的字符集无法读出文本"
    ),
    "sender": Rule("AR", 207, "this sender is not admitted", "该发送方未登记"),
    "peer": Rule(
        "AR", 207, "this sender is not admitted from here", "该发送方不允许从此地址或证书接入"
    ),
    "unknown-authority": Rule(
        "AR", 204, "the assigning authority is not known", "标识发放机构未登记"
    ),
    "authority-missing": Rule(
        "AR", 101, "the assigning authority is missing", "缺少标识发放机构（CX.4）"
    ),
    "contradictory-authority": Rule(
        "AR",
        204,
        "namespace and OID name different authorities",
        "命名空间与 OID 指向不同的发放机构",
    ),
    "foreign-authority": Rule(
        "AR", 204, "this sender may not assign in this domain", "该发送方无权发放此域的标识"
    ),
    "domain-missing": Rule("AE", 101, "the domain is missing", "缺少标识域（CX.4）"),
    "unknown-domain": Rule("AE", 204, "the domain is not known", "标识域未登记"),
    "unknown-identifier": Rule(
        "AE", 204, "no patient is known by this identifier", "没有使用该标识的患者"
    ),
    "merged-identifier": Rule(
        "AE",
        204,
        "its issuer has merged this identifier into another",
        "该标识已被发放机构并入另一标识",
    ),
    "invalid-identifier": Rule("AE", 102, "the identifier cannot be used", "标识不可用"),
    "invalid-value": Rule("AE", 102, "the value breaks its data type", "取值不符合数据类型"),
    "merge-ignored": Rule("AE", 205, "the merge was not carried out", "合并未执行"),
    "merged-before": Rule("AA", 205, "this merge was carried out before", "该合并此前已执行"),
    "not-linked": Rule(
        "AE",
        204,
        "the identifier is not linked to that patient ID",
        "该标识未关联到所述的区域患者标识",
    ),
    "moved-before": Rule("AA", 205, "nothing had to be moved", "无需移动，链接此前已是如此"),
    "query-parameter": Rule("AE", 103, "the query parameter is not supported", "不支持该查询参数"),
    "query-empty": Rule("AE", 101, "the query names nothing to look for", "查询未给出任何条件"),
    "query-value": Rule(
        "AE", 102, "a value without a letter or digit finds nobody", "条件值中没有任何文字或数字"
    ),
    "query-too-wide": Rule(
        "AE", 207, "too many persons fit: ask more narrowly", "符合条件者过多，请缩小范围"
    ),
    "query-mode": Rule("AE", 103, "only immediate answers are given", "仅支持立即应答"),
    "continuation": Rule(
        "AE", 204, "the continuation pointer is not from this query", "续页指针与本查询不符"
    ),
    "internal": Rule(
        "AE", 207, "the hub failed; send the message again later", "平台内部错误，请稍后重发"
    ),
}
"""Every reason to refuse a message, by the word under which refused messages are kept."""

_LONGEST_SHOWN = 64


class RefusedMessageError(HubError):
    """A message is refused. Its text names rule and place only; what came is patient data.

    `concerning` are the persons it was about, for the audit record and never for the sender.
    """

    def __init__(
        self,
        rule: str,
        at: Location,
        *,
        came: str = "",
        allowed: str = "",
        concerning: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"{rule} at {at}")
        self.rule_name = rule
        self.rule = RULES[rule]
        self.at = at
        self.came = came
        self.allowed = allowed
        self.concerning = concerning

    @property
    def english(self) -> str:
        """The refusal for a person who reads English."""
        came = f"; came: {_shown(self.came)}" if self.came else ""
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        return f"{self.at}: {self.rule.english}{came}{allowed}"

    @property
    def chinese(self) -> str:
        """The same for a person who reads Chinese."""
        came = f"；收到：{_shown(self.came)}" if self.came else ""
        allowed = f"；允许：{self.allowed}" if self.allowed else ""
        return f"{self.at}：{self.rule.chinese}{came}{allowed}"


def _shown(text: str) -> str:
    """What came, short and without characters that could break or reorder a line."""
    kept = "".join(char for char in text if char.isprintable())
    return kept if len(kept) <= _LONGEST_SHOWN else f"{kept[:_LONGEST_SHOWN]}…"
