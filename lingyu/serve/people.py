"""Who asks: the key of a request, the groups it belongs to, and whether it may change the knowledge base.

LINGYU_ADMIN_KEYS: keys, as in LINGYU_API_KEYS, that see everything, upload and delete. LINGYU_KEYS_FILE: a YAML file of keys and their
groups, read again when it changes: `sha256:…: [legal, board]`. A document that names groups is there for keys of one of them only.
"""

import hmac
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import yaml

from lingyu.serve.protocol import Refused

KEYS = "LINGYU_API_KEYS"
OPEN = "LINGYU_OPEN"
ADMINS = "LINGYU_ADMIN_KEYS"
KEYS_FILE = "LINGYU_KEYS_FILE"


@dataclass(frozen=True)
class Reader:
    """who: for the audit log, never the key. groups: None where all documents are seen."""

    who: str
    groups: frozenset[str] | None = frozenset()
    admin: bool = False


EVERYBODY = Reader("everybody")
THIS_MACHINE = Reader("this machine", None, True)


def listed(variable: str) -> list[str]:
    """Read per request, so keys can be set later."""
    return [key.strip() for key in os.environ.get(variable, "").split(",") if key.strip()]


def digest(key: str) -> str:
    return key.removeprefix("sha256:").lower() if key.startswith("sha256:") else sha256(key.encode()).hexdigest()


def more_keys() -> list[str]:
    """The keys beside those of LINGYU_API_KEYS, as sha256:…"""
    return [f"sha256:{one}" for one in (*map(digest, listed(ADMINS)), *groups_of_keys())]


_read: dict[str, tuple[int, dict[str, frozenset[str]]]] = {}


def groups_of_keys() -> dict[str, frozenset[str]]:
    """The groups by the hash of a key. Raises Refused where the file cannot be read: nobody is let in by a slip in it."""
    name = os.environ.get(KEYS_FILE, "").strip()
    if not name:
        return {}
    try:
        changed = Path(name).stat().st_mtime_ns
        if name not in _read or _read[name][0] != changed:
            said = yaml.safe_load(Path(name).read_text(encoding="utf-8")) or {}
            found = {
                digest(str(key)): frozenset([groups] if isinstance(groups, str) else map(str, groups or ())) for key, groups in said.items()
            }
            _read[name] = changed, found
        return _read[name][1]
    except (OSError, yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError):
        en, zh = f"The file of keys ({KEYS_FILE}) cannot be read.", f"密钥文件（{KEYS_FILE}）无法读取。"
        raise Refused(503, "keys_file", en, zh) from None


def reader_of(authorization: str) -> Reader:
    """Of a request whose key has been checked."""
    if not (listed(KEYS) or more_keys()):
        return EVERYBODY if os.environ.get(OPEN) == "1" else THIS_MACHINE
    given = sha256(authorization.partition(" ")[2].strip().encode()).hexdigest()
    admin = any(hmac.compare_digest(given, digest(key)) for key in listed(ADMINS))
    return Reader(f"key {given[:8]}", None if admin else groups_of_keys().get(given, frozenset()), admin)


def check_admin(reader: Reader) -> None:
    if not reader.admin:
        raise Refused(
            403,
            "not_admin",
            f"Only a key of {ADMINS} may change the knowledge base.",
            f"只有 {ADMINS} 中的密钥可以更改知识库。",
        )
