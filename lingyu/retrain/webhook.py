"""Tell another system how a run went: a JSON post, signed, sent again where it may pass; it never fails the run.

Signed as https://www.standardwebhooks.com has it, so that the libraries of that convention can check it: LINGYU_WEBHOOK_SECRET is `whsec_`
and a key in base64.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any

from lingyu.stage import StageError

SECRET = "LINGYU_WEBHOOK_SECRET"
WAITS = (1.0, 4.0, 16.0)  # seconds before each further try
TIMEOUT = 10.0


def secret() -> bytes | None:
    """The key that LINGYU_WEBHOOK_SECRET holds; None without one. Raises StageError for one that is no base64."""
    given = os.environ.get(SECRET, "").strip()
    if not given:
        return None
    try:
        return base64.b64decode(given.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise StageError(f"{SECRET} should be whsec_ and a key in base64: `echo whsec_$(openssl rand -base64 32)`.") from None


def headers(body: bytes, id: str, now: int, key: bytes | None) -> dict[str, str]:
    common = {"Content-Type": "application/json", "User-Agent": "lingyu", "webhook-id": id, "webhook-timestamp": str(now)}
    if key is None:
        return common
    digest = hmac.new(key, f"{id}.{now}.".encode() + body, hashlib.sha256).digest()
    return {**common, "webhook-signature": f"v1,{base64.b64encode(digest).decode()}"}


def post(
    url: str, event: Mapping[str, Any], id: str, wait: Callable[[float], object] = time.sleep, tries: int = len(WAITS) + 1
) -> str | None:
    """Post the event; None once it is taken, else why it is not. The id is the same at each try, so that a receiver knows it again."""
    body = json.dumps(event, ensure_ascii=False).encode()
    fault = ""
    for number in range(tries):
        try:
            request = urllib.request.Request(url, body, headers(body, id, int(time.time()), secret()), method="POST")
            with OPENER.open(request, timeout=TIMEOUT):
                return None
        except urllib.error.HTTPError as error:
            error.close()
            fault = f"it answers {error.code} {error.reason}"
            if error.code < 500 and error.code not in (408, 425, 429):
                break
        except (OSError, HTTPException, ValueError, StageError) as error:
            fault = str(error) or type(error).__name__
            if isinstance(error, (ValueError, StageError)):
                break
        if number < tries - 1:
            wait(WAITS[number])
    return fault


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A post that is sent elsewhere would arrive as a GET without its body."""

    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(NoRedirect)
