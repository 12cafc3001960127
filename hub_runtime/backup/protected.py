"""What a backup must not show to everybody: keys, certificates and settings, as one closed file.

Readable by the owner alone, and with a passphrase encrypted: scrypt (RFC 7914) makes the key,
AES-256-GCM keeps the bytes secret and whole. Without these keys shared links, pseudonyms and the
audit chain of a restored hub mean nothing.
"""

import io
import json
import os
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import BaseModel

from hub_kernel.settings import Settings
from hub_runtime.backup.model import BackupError, DamagedBackupError

CONFIGURATION = "configuration"
SECRETS = "secrets"
_MAGIC = b"EIRHUB1\n"
_SALT_BYTES, _NONCE_BYTES = 16, 12
_COST = 2**15


def pack(settings: Settings, passphrase: str = "") -> bytes:
    """Return keys, certificates and settings of a hub, and the files that its settings name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, f"{CONFIGURATION}/hub.toml", _changed_settings(settings).encode())
        folder = settings.hub.data_dir / SECRETS
        for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
            # Drafts begin with a dot: a key is whole once it has its name.
            if path.is_file() and not path.name.startswith("."):
                _add(tar, f"{SECRETS}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        for path in sorted(_named_files(settings)):
            inside = path.absolute().as_posix().lstrip("/")
            _add(tar, f"{CONFIGURATION}/files/{inside}", path.read_bytes())
    return _closed(buffer.getvalue(), passphrase) if passphrase else buffer.getvalue()


def unpack(data: bytes, passphrase: str = "") -> dict[PurePosixPath, bytes]:
    """Return the files in what `pack` gave, by their paths.

    Raises:
        BackupError: it wants a passphrase, or another one.
        DamagedBackupError: it is not what `pack` gives.
    """
    if data.startswith(_MAGIC):
        data = _opened(data, passphrase)
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r") as tar:
            found = {PurePosixPath(member.name): tar.extractfile(member) for member in tar}
            return {path: file.read() for path, file in found.items() if file and _inside(path)}
    except tarfile.TarError as error:
        raise DamagedBackupError("the protected part cannot be unpacked") from error


def write(files: dict[PurePosixPath, bytes], folder: Path) -> None:
    """Write unpacked files below `folder`, for its owner alone, durably."""
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o600
    tar.addfile(member, io.BytesIO(data))


def _inside(path: PurePosixPath) -> bool:
    return path.parts[0] in {CONFIGURATION, SECRETS} and ".." not in path.parts


def _closed(data: bytes, passphrase: str) -> bytes:
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    sealed = AESGCM(_key(passphrase, salt)).encrypt(nonce, data, _MAGIC)
    return _MAGIC + salt + nonce + sealed


def _opened(data: bytes, passphrase: str) -> bytes:
    if not passphrase:
        raise BackupError("this backup is encrypted: give its --passphrase-file")
    salt, rest = data[len(_MAGIC) :][:_SALT_BYTES], data[len(_MAGIC) + _SALT_BYTES :]
    try:
        key = _key(passphrase, salt)
        return AESGCM(key).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _MAGIC)
    except (InvalidTag, ValueError) as error:
        raise BackupError("this is not the passphrase of the backup") from error


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_COST, r=8, p=1).derive(passphrase.encode())


def _changed_settings(settings: Settings) -> str:
    """Return the settings that are not the defaults, as a file for `--config`."""
    lines: list[str] = []
    for section, values in settings.model_dump(mode="json", exclude_defaults=True).items():
        values.pop("data_dir", None)
        known = {key: value for key, value in values.items() if value is not None}
        if known:
            lines += [f"[{section}]", *(f"{key} = {_toml(known[key])}" for key in known), ""]
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items() if v is not None)
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _named_files(value: Any) -> Iterator[Path]:
    """Yield the files that settings name: certificates, keys, rules, code lists."""
    if isinstance(value, Path) and value.is_file():
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _named_files(getattr(value, name))
    elif isinstance(value, tuple):
        for one in value:
            yield from _named_files(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _named_files(one)
