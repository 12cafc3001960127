"""Everything the registry and repository refuse, with the words a sender can act on.

The table holds the error codes of ITI TF-3 4.2.4.1, Table 4.2.4.1-2, that this hub answers with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from hub_kernel.errors import HubError

SEVERITY_ERROR = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error"
_LONGEST_ECHO = 200


class ErrorCode(StrEnum):
    """Error codes of ITI TF-3 Table 4.2.4.1-2 and of the metadata update supplements."""

    DOCUMENT_UNIQUE_ID = "XDSDocumentUniqueIdError"
    MISSING_DOCUMENT = "XDSMissingDocument"
    MISSING_DOCUMENT_METADATA = "XDSMissingDocumentMetadata"
    MISSING_HOME_COMMUNITY = "XDSMissingHomeCommunityId"
    NON_IDENTICAL_HASH = "XDSNonIdenticalHash"
    NON_IDENTICAL_SIZE = "XDSNonIdenticalSize"
    PATIENT_ID_DOES_NOT_MATCH = "XDSPatientIdDoesNotMatch"
    DEPRECATED_DOCUMENT = "XDSRegistryDeprecatedDocumentError"
    DUPLICATE_UNIQUE_ID = "XDSDuplicateUniqueIdInRegistry"
    REGISTRY_DUPLICATE_IN_MESSAGE = "XDSRegistryDuplicateUniqueIdInMessage"
    REPOSITORY_DUPLICATE_IN_MESSAGE = "XDSRepositoryDuplicateUniqueIdInMessage"
    REGISTRY_BUSY = "XDSRegistryBusy"
    REGISTRY_ERROR = "XDSRegistryError"
    REGISTRY_METADATA = "XDSRegistryMetadataError"
    REGISTRY_NOT_AVAILABLE = "XDSRegistryNotAvailable"
    REGISTRY_OUT_OF_RESOURCES = "XDSRegistryOutOfResources"
    REPOSITORY_BUSY = "XDSRepositoryBusy"
    REPOSITORY_ERROR = "XDSRepositoryError"
    REPOSITORY_METADATA = "XDSRepositoryMetadataError"
    REPOSITORY_OUT_OF_RESOURCES = "XDSRepositoryOutOfResources"
    RESULT_NOT_SINGLE_PATIENT = "XDSResultNotSinglePatient"
    STORED_QUERY_MISSING_PARAM = "XDSStoredQueryMissingParam"
    STORED_QUERY_PARAM_NUMBER = "XDSStoredQueryParamNumber"
    TOO_MANY_RESULTS = "XDSTooManyResults"
    UNAVAILABLE_COMMUNITY = "XDSUnavailableCommunity"
    UNKNOWN_COMMUNITY = "XDSUnknownCommunity"
    UNKNOWN_PATIENT_ID = "XDSUnknownPatientId"
    UNKNOWN_REPOSITORY = "XDSUnknownRepositoryId"
    UNKNOWN_STORED_QUERY = "XDSUnknownStoredQuery"
    UNRESOLVED_REFERENCE = "UnresolvedReferenceException"
    REFERENCES_EXIST = "ReferencesExistException"
    UNREFERENCED = "XDSUnreferencedObjectException"
    METADATA_UPDATE = "XDSMetadataUpdateError"
    METADATA_UPDATE_OPERATION = "XDSMetadataUpdateOperationError"
    METADATA_VERSION = "XDSMetadataVersionError"
    METADATA_IDENTIFIER = "XDSMetadataIdentifierError"
    METADATA_ANNOTATION = "XDSMetadataAnnotationError"
    PATIENT_RECONCILIATION = "XDSPatientIDReconciliationError"
    UNMODIFIABLE_METADATA = "UnmodifiableMetadataError"
    LOCAL_POLICY = "LocalPolicyRestrictionError"
    IMAGING_REQUEST = "XDSIRequestError"


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
    ErrorCode.MISSING_DOCUMENT: ErrorText(
        "a document entry comes without its document",
        "文档条目缺少对应的文档内容",
    ),
    ErrorCode.MISSING_DOCUMENT_METADATA: ErrorText(
        "a document comes without its document entry",
        "文档内容缺少对应的文档条目",
    ),
    ErrorCode.MISSING_HOME_COMMUNITY: ErrorText(
        "a homeCommunityId is needed here",
        "此处必须给出社区标识 homeCommunityId",
    ),
    ErrorCode.REGISTRY_DUPLICATE_IN_MESSAGE: ErrorText(
        "this uniqueId is used more than once in the submission",
        "同一唯一标识在本次提交中多次使用",
    ),
    ErrorCode.REPOSITORY_DUPLICATE_IN_MESSAGE: ErrorText(
        "this uniqueId is used more than once in the submission",
        "同一唯一标识在本次提交中多次使用",
    ),
    ErrorCode.REGISTRY_BUSY: ErrorText(
        "the registry is busy; send the same again later",
        "登记库繁忙；请稍后原样重发",
    ),
    ErrorCode.REGISTRY_NOT_AVAILABLE: ErrorText(
        "the registry cannot be reached; send the same again later",
        "登记库无法访问；请稍后原样重发",
    ),
    ErrorCode.REGISTRY_OUT_OF_RESOURCES: ErrorText(
        "the registry has no room left; the hub's operators have been told",
        "登记库资源不足；已通知平台运维人员",
    ),
    ErrorCode.REPOSITORY_BUSY: ErrorText(
        "the repository is busy; send the same again later",
        "存储库繁忙；请稍后原样重发",
    ),
    ErrorCode.REPOSITORY_METADATA: ErrorText(
        "a metadata value contradicts the document, or breaks the rule named",
        "元数据与文档内容不符，或不符合所列规则",
    ),
    ErrorCode.REPOSITORY_OUT_OF_RESOURCES: ErrorText(
        "the repository has no room left; the hub's operators have been told",
        "存储库空间不足；已通知平台运维人员",
    ),
    ErrorCode.UNAVAILABLE_COMMUNITY: ErrorText(
        "a community that had to be asked did not answer",
        "需要访问的社区没有应答",
    ),
    ErrorCode.UNKNOWN_PATIENT_ID: ErrorText(
        "this patientId is not known to the registry; register the patient first",
        "登记库不认识该患者标识 patientId；请先登记患者",
    ),
    ErrorCode.REFERENCES_EXIST: ErrorText(
        "another object still refers to this one",
        "仍有其他对象引用该对象",
    ),
    ErrorCode.METADATA_UPDATE: ErrorText(
        "this metadata update cannot be carried out",
        "无法执行该元数据更新",
    ),
    ErrorCode.METADATA_UPDATE_OPERATION: ErrorText(
        "no metadata update operation has these parts",
        "所给内容不构成任何元数据更新操作",
    ),
    ErrorCode.METADATA_VERSION: ErrorText(
        "this version is not the current one; read it again and update that",
        "该版本不是当前版本；请重新读取后再更新",
    ),
    ErrorCode.METADATA_IDENTIFIER: ErrorText(
        "an update keeps the uniqueId of what it updates",
        "更新不得改变对象的唯一标识",
    ),
    ErrorCode.UNREFERENCED: ErrorText(
        "this would leave an object that no submission holds, or a submission that holds none",
        "此操作会留下不属于任何提交集的对象，或不含任何对象的提交集",
    ),
    ErrorCode.METADATA_ANNOTATION: ErrorText(
        "this annotation of an update cannot be applied",
        "更新的附加说明无法执行",
    ),
    ErrorCode.PATIENT_RECONCILIATION: ErrorText(
        "the update would leave objects of different patients together",
        "该更新会使不同患者的对象混在一起",
    ),
    ErrorCode.UNMODIFIABLE_METADATA: ErrorText(
        "this attribute must not be changed by an update",
        "该属性不允许通过更新修改",
    ),
    ErrorCode.IMAGING_REQUEST: ErrorText(
        "an instance is named by its study, series and SOP Instance UIDs, all three of them",
        "每个实例须同时给出检查、序列和 SOP 实例标识",
    ),
    ErrorCode.LOCAL_POLICY: ErrorText(
        "the hub's policy does not allow this",
        "平台策略不允许该操作",
    ),
}


class XdsRegistryError(HubError):
    """Root of what the registry and the repository refuse."""


class XdsRefusalError(XdsRegistryError):
    """A request was understood and refused with one error code of Table 4.2.4.1-2.

    `place` says where (an XPath, a parameter, a slot, an identifier), `allowed` what would be
    accepted, `came` what was there instead and `rule` the rule in words, where the code's own words
    are not enough. The message holds no patient data; `place` and `came` may repeat what the sender
    sent, and leave this process in the answer alone.
    """

    def __init__(
        self,
        code: ErrorCode,
        place: str = "",
        allowed: str = "",
        *,
        came: str = "",
        rule: ErrorText | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.place = place
        self.allowed = allowed
        self.came = came[:_LONGEST_ECHO]
        self.rule = rule

    @property
    def code_context(self) -> str:
        """The rule, the place, what came and what is allowed, in English and in Chinese."""
        text = self.rule or ERROR_TEXTS[self.code]
        parts = [
            f"{text.en} / {text.zh}",
            self.place,
            self.came and f"came / 收到: {self.came}",
            self.allowed and f"allowed / 允许: {self.allowed}",
        ]
        return " | ".join(part for part in parts if part)


class XdsRefusalsError(XdsRefusalError):
    """A request was refused for several reasons at once; nothing of it was carried out.

    As a single refusal it is the first of them.
    """

    def __init__(self, refusals: Sequence[XdsRefusalError]) -> None:
        first = refusals[0]
        super().__init__(first.code, first.place, first.allowed, came=first.came, rule=first.rule)
        self.refusals = tuple(refusals)


class MetadataValueError(XdsRefusalError):
    """A metadata value breaks a rule of ITI TF-3 4.2."""

    def __init__(self, place: str, allowed: str) -> None:
        super().__init__(ErrorCode.REGISTRY_METADATA, place, allowed)


class MetadataRefusalError(XdsRefusalError):
    """A refusal that knows which attribute of which object it is about.

    `object_id` is the id as it was sent, `attribute` the field of the model, or empty where the
    whole object is meant: senders of other forms than ebRIM can be told their own place.
    """

    def about(self, object_id: str, attribute: str = "") -> Self:
        """Name the object and the attribute; returns itself."""
        self.object_id, self.attribute = object_id, attribute
        return self

    object_id: str = ""
    attribute: str = ""


class AffinityDomainError(XdsRegistryError):
    """The affinity domain file is unreadable or incomplete; the start is refused."""


class PatientNotYetLinkedError(XdsRegistryError):
    """The study's patient has no global ID yet; registration is tried again later."""


class StudyNotReadyError(XdsRegistryError):
    """The archive does not know the study, or knows no instance of it; tried again later."""


class ReportsChangedError(XdsRegistryError):
    """Which reports of a study stand changed while they were being registered; tried again."""


class DocumentCorruptError(XdsRegistryError):
    """Stored document bytes are missing or no longer have the hash they were stored with."""
