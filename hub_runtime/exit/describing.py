"""Say in words what an export holds, so that nobody needs the hub to read it."""

import json
from typing import Any

from sqlalchemy import Column, Table

from hub_kernel.database import Base
from hub_runtime import schema

README = """# 本文件夹是什么 / What this folder is

本文件夹是 EIR Hub 的完整导出，不依赖本系统即可读取。`eirhub import` 可将其还原为一个新的中心。

A full export of an EIR Hub, readable without it; `eirhub import` makes a new hub of it.

| 路径 / Path | 内容 / Content |
|---|---|
| `dicom/机构/日期/检查/序列/实例.dcm` | 每个实例原样一个文件 / each instance, a PS3.10 file |
| `index.csv` | 每个实例一行：路径、患者、检查、SHA-256（UTF-8） / one line an instance |
| `objects/` | 文档、生成的版本图像、暂存数据 / documents, rendered versions, parked bytes |
| `rows/*.ndjson` | 数据库各表，每行一个 JSON / every table, one JSON object a line |
| `rows/audit_record.ndjson` | 审计记录，`mac` 为 HMAC 链 / the audit trail, chained by `mac` |
| `schema.json` | 各表各列的说明 / what each table and column is |
| `files.ndjson` | 每个文件的长度与 SHA-256 / length and SHA-256 of every file |
| `protected` | 密钥与设置，可能已加密 / keys and settings, perhaps encrypted |
| `manifest.json` | 以上各项的摘要 / digests of all of this |

`index.csv` 中以 `=`、`+`、`-`、`@` 开头的文字前加有 `'`，以免被表格软件当作公式。
Texts in `index.csv` that begin with `=`, `+`, `-` or `@` have a `'` before them: no spreadsheet
runs them.

时间均为 UTC（ISO 8601）；二进制为十六进制。Times are UTC (ISO 8601); bytes are hexadecimal.
"""


def schema_description() -> str:
    """Return every table with its purpose, columns, keys and references, as JSON."""
    words = {mapper.local_table: mapper.class_.__doc__ or "" for mapper in Base.registry.mappers}
    tables = {
        table.name: {
            "about": " ".join(str(words.get(table, "")).split()),
            "columns": {column.name: _column(column) for column in table.columns},
            "primary_key": [column.name for column in table.primary_key.columns],
        }
        for table in schema.METADATA.sorted_tables
    }
    return json.dumps({"revision": schema.head(), "tables": tables}, ensure_ascii=False, indent=1)


def _column(column: "Column[Any]") -> dict[str, object]:
    told: dict[str, object] = {"type": str(column.type), "nullable": bool(column.nullable)}
    references = [_target(key.column) for key in column.foreign_keys]
    return told | ({"references": references} if references else {})


def _target(column: "Column[Any]") -> str:
    assert isinstance(column.table, Table)  # noqa: S101 - every model's is one
    return f"{column.table.name}.{column.name}"
