"""Problems told as `application/problem+json` (RFC 9457): what happened and what to do, twice.

The name is the last part of `type`. A client acts on the name, a person reads the words.
"""

from dataclasses import dataclass

from edge_gateway.errors import (
    BadRequestError,
    ChecksumMismatchError,
    DigestMismatchError,
    InstanceTooLargeError,
    OffsetMismatchError,
    QuotaExceededError,
    RefusedBeforeError,
    SopClassRefusedError,
    TooManyUploadsError,
    UploadBusyError,
    UploadGoneError,
)
from hub_kernel.errors import InvalidUidError
from image_archive.errors import (
    ArchiveBusyError,
    ArchiveFullError,
    ArchiveUnavailableError,
    ConflictingInstanceError,
    ConflictingStudyError,
    ContradictingPatientError,
    IdentityMismatchError,
    UnreadableInstanceError,
)

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:eirhub:problem:"


@dataclass(frozen=True)
class Problem:
    """One thing that can go wrong. `final` says that the same bytes will never be taken."""

    name: str
    status: int
    title: str
    advice: str
    title_zh: str
    advice_zh: str
    final: bool = False

    def body(self, detail: str = "") -> dict[str, object]:
        """Return the JSON members of RFC 9457, the Chinese words beside the English."""
        return {
            "type": f"{_TYPE}{self.name}",
            "title": self.title,
            "status": self.status,
            "detail": f"{self.advice} ({detail})" if detail else self.advice,
            "title_zh": self.title_zh,
            "detail_zh": self.advice_zh,
            "final": self.final,
        }


def problem_name(type_uri: object) -> str:
    """Return the name in a problem's `type`, empty for a type of somebody else."""
    text = str(type_uri)
    return text.removeprefix(_TYPE) if text.startswith(_TYPE) else ""


NOT_SIGNED_IN = Problem(
    "not-signed-in",
    401,
    "The hub does not know this gateway",
    "Make a token with eirhub token create --role edge --site SITE and name it in edge.token_file.",
    "中心不认识此前置机",
    "请在中心用 eirhub token create --role edge --site 站点 生成令牌，并写入 edge.token_file。",
)
NOT_FOUND = Problem(
    "not-found",
    404,
    "Not found, or not for this gateway",
    "A gateway may speak for its own site only: check edge.site_id and the token's site.",
    "没有找到，或不属于此前置机",
    "前置机只能代表本站点：请检查 edge.site_id 与令牌所属站点。",
)
NOT_ALLOWED = Problem(
    "method-not-allowed",
    405,
    "Not supported here",
    "This address does not take that kind of request.",
    "不支持此操作",
    "此地址不接受这种请求。",
)
BAD_REQUEST = Problem(
    "bad-request",
    400,
    "The request cannot be understood",
    "Gateway and hub may be of different versions; update the older one.",
    "请求无法识别",
    "前置机与中心的版本可能不一致，请升级较旧的一方。",
)
OFFSET = Problem(
    "offset-mismatch",
    409,
    "The chunk does not begin where the hub's bytes end",
    "Ask for the offset and go on from there.",
    "分片起点与中心已存字节不符",
    "请查询偏移量后从该处继续。",
)
CHECKSUM = Problem(
    "checksum-mismatch",
    460,
    "The chunk was changed on its way",
    "Nothing of it was kept; send it again.",
    "分片在传输中被改变",
    "该分片未保存，请重发。",
)
DIGEST = Problem(
    "digest-mismatch",
    422,
    "The dataset is not the one that was offered",
    "What had come was thrown away; begin again.",
    "数据集与声明不符",
    "已收部分已丢弃，请重新上传。",
)
GONE = Problem(
    "upload-gone",
    410,
    "There is no such unfinished upload",
    "It was finished or removed; offer the instance again.",
    "没有此未完成的上传",
    "它已完成或已被清除，请重新提交该图像。",
)
BUSY = Problem(
    "upload-busy",
    423,
    "Another request works on this upload",
    "Wait a moment and ask again.",
    "此上传正在处理中",
    "请稍候再查询。",
)
TOO_MANY = Problem(
    "too-many-uploads",
    507,
    "The site's room for unfinished uploads is taken",
    "Finish or wait; unfinished uploads are removed after uploads.keep_hours.",
    "本站点未完成上传已达上限",
    "请先完成已有上传或稍后再试；超时未完成的上传会自动清除。",
)
TOO_LARGE = Problem(
    "instance-too-large",
    413,
    "The instance is larger than the hub takes",
    "Ask the regional centre to raise router.max_instance_bytes, or split the instance.",
    "该图像超过中心允许的大小",
    "请联系区域中心调高上限，或拆分该图像。",
    final=True,
)
SOP_CLASS = Problem(
    "sop-class-refused",
    422,
    "The site may not send this kind of object",
    "Ask the regional centre to allow its SOP class for the site.",
    "本站点不允许发送此类对象",
    "请联系区域中心为本站点开放该 SOP 类。",
    final=True,
)
QUOTA = Problem(
    "quota-exceeded",
    507,
    "The site has used up a quota",
    "Nothing is lost: the gateway goes on when there is room: tomorrow with a quota of a day, "
    "with one in all when the regional centre raises it.",
    "本站点配额已用完",
    "没有丢失：配额有余量后前置机会自动继续；日配额次日恢复，总配额由区域中心调高。",
)
FULL = Problem(
    "archive-full",
    507,
    "The hub's archive is full",
    "Nothing is lost: the gateway keeps the bytes and tries again. Tell the regional centre.",
    "中心存储已满",
    "没有丢失：前置机保留数据并会重试。请通知区域中心。",
)
ARCHIVE_BUSY = Problem(
    "archive-busy",
    503,
    "The hub is busy",
    "The gateway tries again by itself.",
    "中心繁忙",
    "前置机会自动重试。",
)
ARCHIVE_STOPPED = Problem(
    "archive-stopped",
    503,
    "The hub's archive stopped after a disk error",
    "Tell the regional centre; the gateway keeps the bytes and tries again.",
    "中心存储因磁盘故障停止",
    "请通知区域中心；前置机保留数据并会重试。",
)
OTHER_BYTES = Problem(
    "conflicting-instance",
    409,
    "The hub holds this picture number with other content",
    "Both are kept; the regional centre decides at the conflict desk.",
    "中心已有同一图像编号但内容不同",
    "两份都已保留，由区域中心在冲突处理台决定。",
    final=True,
)
OTHER_PATIENT = Problem(
    "conflicting-study",
    409,
    "The examination number belongs to another patient",
    "Check the patient at the modality, correct it and send again under a new examination.",
    "该检查编号属于另一位患者",
    "请在设备上核对患者，改正后以新的检查重新发送。",
    final=True,
)
OTHER_PERSON = Problem(
    "contradicting-patient",
    409,
    "The patient is somebody else than this patient number says",
    "Check the patient at the modality. The regional centre decides at the conflict desk.",
    "患者信息与该患者编号不符",
    "请在设备上核对患者，由区域中心在冲突处理台决定。",
    final=True,
)
UNREADABLE = Problem(
    "unreadable",
    422,
    "The picture cannot be read",
    "Export it again at the modality; if it comes back here, call the regional centre.",
    "图像无法读取",
    "请在设备上重新导出；若仍出现，请联系区域中心。",
    final=True,
)
MISMATCH = Problem(
    "identity-mismatch",
    422,
    "The dataset is another one than was announced",
    "Send it again from the modality; if it comes back here, call the regional centre.",
    "数据集与声明的编号不一致",
    "请从设备重新发送；若仍出现，请联系区域中心。",
    final=True,
)
BAD_UID = Problem(
    "invalid-uid",
    422,
    "A number of the picture breaks the standard",
    "Ask the modality's service engineer to correct its UIDs.",
    "图像的唯一编号不符合标准",
    "请联系设备厂家工程师更正编号。",
    final=True,
)
SPOOL_DAMAGED = Problem(
    "spool-damaged",
    500,
    "The gateway's own copy is damaged",
    "Send this examination again from the modality: it mends it. Have the gateway's disk checked.",
    "前置机上的副本已损坏",
    "请从设备重新发送该检查即可修复，并请检查前置机磁盘。",
    final=True,
)
FAILED = Problem(
    "failed",
    500,
    "The hub failed",
    "Nothing was stored; the gateway keeps the bytes and tries again.",
    "中心出现故障",
    "未保存；前置机保留数据并会重试。",
)

ALL: dict[str, Problem] = {
    found.name: found for found in list(globals().values()) if isinstance(found, Problem)
}

# The first line whose error fits is the answer.
PROBLEM_OF_ERROR: tuple[tuple[type[Exception], Problem], ...] = (
    (BadRequestError, BAD_REQUEST),
    (OffsetMismatchError, OFFSET),
    (ChecksumMismatchError, CHECKSUM),
    (DigestMismatchError, DIGEST),
    (UploadBusyError, BUSY),
    (UploadGoneError, GONE),
    (TooManyUploadsError, TOO_MANY),
    (InstanceTooLargeError, TOO_LARGE),
    (SopClassRefusedError, SOP_CLASS),
    (QuotaExceededError, QUOTA),
    (ArchiveFullError, FULL),
    (ArchiveBusyError, ARCHIVE_BUSY),
    (ArchiveUnavailableError, ARCHIVE_STOPPED),
    (IdentityMismatchError, MISMATCH),
    (ConflictingInstanceError, OTHER_BYTES),
    (ConflictingStudyError, OTHER_PATIENT),
    (ContradictingPatientError, OTHER_PERSON),
    (UnreadableInstanceError, UNREADABLE),
    (InvalidUidError, BAD_UID),
)
_OF_QUARANTINE = {
    "conflicting_instance": OTHER_BYTES,
    "conflicting_study": OTHER_PATIENT,
    "contradicting_patient": OTHER_PERSON,
    "unreadable": UNREADABLE,
}


def problem_of(error: Exception) -> Problem:
    """Return what `error` is told as; an error of no row is a failure of the hub."""
    if isinstance(error, RefusedBeforeError):
        return _OF_QUARANTINE.get(error.reason, UNREADABLE)
    return next((found for kind, found in PROBLEM_OF_ERROR if isinstance(error, kind)), FAILED)
