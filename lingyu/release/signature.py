"""Signs a release and checks signatures, by OpenSSF model-signing with an elliptic-curve key pair, offline.

What is signed is every file of the release, card and manifest among them. `model_signing verify key` checks the same file.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lingyu.stage import StageError

SIGNATURE = "model.sig"
PASSWORD = "LINGYU_SIGNING_PASSWORD"
MISSING = "signatures need model-signing: uv pip install -r pyproject.toml --extra signing. 签名需要安装 model-signing。"
NEW_KEY = (
    "openssl ecparam -name prime256v1 -genkey -noout -out private.pem && openssl ec -in private.pem -pubout -out public.pem makes a pair"
)


def signer_of(private: Path) -> str:
    """The SHA-256 of the public key that belongs to a private one. Raises StageError where it cannot sign."""
    return fingerprint(private_key(private).public_key())


def sign(folder: Path, private: Path) -> None:
    """Write the signature of all files of the folder beside them."""
    library()
    private_key(private)
    from model_signing import signing

    config = signing.Config().use_elliptic_key_signer(private_key=private, password=password())
    config.set_hashing_config(hashing(folder)).sign(folder, folder / SIGNATURE)


def faults(folder: Path, public: Path) -> Iterator[str]:
    """What is wrong with the signature of a release."""
    if not (folder / SIGNATURE).is_file():
        yield f"{SIGNATURE}: missing, so the release is not signed, though a key was given"
        return
    library()
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    key, said = public_key(public), signed_by(folder)
    if said != fingerprint(key):
        yield f"{SIGNATURE}: made with another key ({said[:12] or 'not named'}…) than {public} ({fingerprint(key)[:12]}…)"
        return
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=public)
        config.set_hashing_config(hashing(folder)).verify(folder, folder / SIGNATURE)
    except InvalidSignature:
        yield f"{SIGNATURE}: not a signature of this key, or changed since"
    except (ValueError, KeyError, TypeError) as error:
        yield f"{SIGNATURE}: does not fit the files: {error}"


def signed_by(folder: Path) -> str:
    """The fingerprint of the key that a signature says it was made with; "" where it cannot be read."""
    try:
        told = json.loads((folder / SIGNATURE).read_text(encoding="utf-8"))
        return str(told["verificationMaterial"]["publicKey"]["hint"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def hashing(folder: Path) -> Any:
    """What is signed: all files but the signature, and those that a hub or its client may add."""
    from model_signing import hashing

    hidden = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    return hashing.Config().set_ignored_paths(paths=[SIGNATURE, *hidden]).set_allow_symlinks(True)


def library() -> None:
    try:
        import model_signing  # noqa: F401  (only whether it is there)
    except ImportError as error:
        raise StageError(f"{MISSING} ({error})") from error


def private_key(path: Path) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return read_key(path, lambda content: load_pem_private_key(content, password()), "private")


def public_key(path: Path) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    return read_key(path, load_pem_public_key, "public")


def read_key(path: Path, read: Any, kind: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = read(path.read_bytes())
    except OSError as error:
        raise StageError(f"the {kind} key {path} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError) as error:
        reason = f"is encrypted: set {PASSWORD}" if "password" in str(error).lower() or "encrypted" in str(error).lower() else "is none"
        raise StageError(f"{path} should be a {kind} key in PEM form, and {reason}. {NEW_KEY}.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise StageError(f"{path} is no elliptic-curve key of {', '.join(CURVES)}. {NEW_KEY}.")
    return key


CURVES = ("secp256r1", "secp384r1", "secp521r1")


def password() -> Any:
    value = os.environ.get(PASSWORD, "")
    return value.encode() if value else None


def fingerprint(public: Any) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
