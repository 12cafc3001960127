"""Everything the registry and repository refuse, with the words a sender can act on.

The table holds the error codes of ITI TF-3 4.2.4.1, Table 4.2.4.1-2, that this hub answers with.
"""

from dataclasses import dataclass
from enum import StrEnum

from hub_kernel.errors import HubError

SEVERITY_ERROR = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error"


class ErrorCode(StrEnum):
    """Error codes of ITI TF-3 Table 4.2.4.1-2."""

    DOCUMENT_UNIQUE_ID = "XDSDocumentUniqueIdError"
    NON_IDENTICAL_HASH = "XDSNonIdenticalHash"
    NON_IDENTICAL_SIZE = "XDSNonIdenticalSize"
    PATIENT_ID_DOES_NOT_MATCH = "XDSPatientIdDoesNotMatch"
    DEPRECATED_DOCUMENT = "XDSRegistryDeprecatedDocumentError"
    DUPLICATE_UNIQUE_ID = "XDSDuplicateUniqueIdInRegistry"
    REGISTRY_ERROR = "XDSRegistryError"
    REGISTRY_METADATA = "XDSRegistryMetadataError"
    REPOSITORY_ERROR = "XDSRepositoryError"
    RESULT_NOT_SINGLE_PATIENT = "XDSResultNotSinglePatient"
    STORED_QUERY_MISSING_PARAM = "XDSStoredQueryMissingParam"
    STORED_QUERY_PARAM_NUMBER = "XDSStoredQueryParamNumber"
    TOO_MANY_RESULTS = "XDSTooManyResults"
    UNKNOWN_COMMUNITY = "XDSUnknownCommunity"
    UNKNOWN_REPOSITORY = "XDSUnknownRepositoryId"
    UNKNOWN_STORED_QUERY = "XDSUnknownStoredQuery"
    UNRESOLVED_REFERENCE = "UnresolvedReferenceException"


@dataclass(frozen=True)
class ErrorText:
    """What an error means and what to do, in the two languages of the region."""

    en: str
    zh: str


ERROR_TEXTS: dict[ErrorCode, ErrorText] = {
    ErrorCode.DOCUMENT_UNIQUE_ID: ErrorText(
        "no document with this uniqueId is available to you",
        "没有您可以获取的该唯一标识文档",
    ),
    ErrorCode.NON_IDENTICAL_HASH: ErrorText(
        "this uniqueId is registered with another hash; give new content a new uniqueId",
        "该唯一标识已登记且哈希不同；内容不同请使用新的唯一标识",
    ),
    ErrorCode.NON_IDENTICAL_SIZE: ErrorText(
        "this uniqueId is registered with another size; give new content a new uniqueId",
        "该唯一标识已登记且大小不同；内容不同请使用新的唯一标识",
    ),
    ErrorCode.PATIENT_ID_DOES_NOT_MATCH: ErrorText(
        "the documents that are related here belong to different patients",
        "所关联的文档属于不同患者",
    ),
    ErrorCode.DEPRECATED_DOCUMENT: ErrorText(
        "the target is deprecated; relate to its current successor",
        "目标文档已作废；请关联其当前有效版本",
    ),
    ErrorCode.DUPLICATE_UNIQUE_ID: ErrorText(
        "this submission set uniqueId is already registered",
        "该提交集唯一标识已登记",
    ),
    ErrorCode.REGISTRY_ERROR: ErrorText(
        "the request cannot be carried out as written",
        "无法按所给内容执行该请求",
    ),
    ErrorCode.REGISTRY_METADATA: ErrorText(
        "a metadata value breaks the rule named",
        "元数据的值不符合所列规则",
    ),
    ErrorCode.REPOSITORY_ERROR: ErrorText(
        "the stored document cannot be read unchanged; the hub's operators have been told",
        "存储的文档无法完整读取；已通知平台运维人员",
    ),
    ErrorCode.RESULT_NOT_SINGLE_PATIENT: ErrorText(
        "full metadata of several patients was asked for; ask per patient, or for ObjectRef",
        "请求涉及多名患者的完整元数据；请按患者查询，或使用 ObjectRef",
    ),
    ErrorCode.STORED_QUERY_MISSING_PARAM: ErrorText(
        "this stored query needs a parameter that is missing",
        "该存储查询缺少必需参数",
    ),
    ErrorCode.STORED_QUERY_PARAM_NUMBER: ErrorText(
        "a parameter, or the choice between two, is given more than once",
        "参数或二选一的参数给出了多个值",
    ),
    ErrorCode.TOO_MANY_RESULTS: ErrorText(
        "too many objects match; narrow the query, or ask for ObjectRef",
        "匹配对象过多；请缩小查询范围，或使用 ObjectRef",
    ),
    ErrorCode.UNKNOWN_COMMUNITY: ErrorText(
        "this homeCommunityId is not ours",
        "该社区标识 homeCommunityId 不属于本平台",
    ),
    ErrorCode.UNKNOWN_REPOSITORY: ErrorText(
        "this repositoryUniqueId is not ours",
        "该存储库标识 repositoryUniqueId 不属于本平台",
    ),
    ErrorCode.UNKNOWN_STORED_QUERY: ErrorText(
        "no stored query has this id",
        "没有该标识的存储查询",
    ),
    ErrorCode.UNRESOLVED_REFERENCE: ErrorText(
        "the target of an association is not registered",
        "关联的目标对象未登记",
    ),
}


class XdsRegistryError(HubError):
    """Root of what the registry and the repository refuse."""


class XdsRefusalError(XdsRegistryError):
    """A request was understood and refused with one error code of Table 4.2.4.1-2.

    `place` says where (a parameter, a slot, an identifier), `allowed` what would be accepted. The
    message holds no patient data; `place` may repeat an identifier the sender sent.
    """

    def __init__(self, code: ErrorCode, place: str = "", allowed: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.place = place
        self.allowed = allowed

    @property
    def code_context(self) -> str:
        """The rule, the place and what is allowed, in English and in Chinese."""
        text = ERROR_TEXTS[self.code]
        parts = [f"{text.en} / {text.zh}", self.place, self.allowed and f"allowed: {self.allowed}"]
        return " | ".join(part for part in parts if part)


class MetadataValueError(XdsRefusalError):
    """A metadata value breaks a rule of ITI TF-3 4.2."""

    def __init__(self, place: str, allowed: str) -> None:
        super().__init__(ErrorCode.REGISTRY_METADATA, place, allowed)


class AffinityDomainError(XdsRegistryError):
    """The affinity domain file is unreadable or incomplete; the start is refused."""


class PatientNotYetLinkedError(XdsRegistryError):
    """The study's patient has no global ID yet; registration is tried again later."""


class StudyNotReadyError(XdsRegistryError):
    """The archive does not know the study, or knows no instance of it; tried again later."""


class DocumentCorruptError(XdsRegistryError):
    """Stored document bytes are missing or no longer have the hash they were stored with."""
