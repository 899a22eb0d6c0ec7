"""Tokens of users, as their clients would send them."""

import base64
import hashlib
import hmac
import json

SECRET = "a secret that is long enough for an HMAC of SHA-256"


def user_id(number: int) -> str:
    """The id of a user of todos.sql."""
    return f"00000000-0000-0000-0000-{number:012d}"


def sign(claims: dict[str, object], secret: str = SECRET) -> str:
    """A JSON Web Token by HS256."""
    head = _part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    message = f"{head}.{_part(json.dumps(claims).encode())}"
    return f"{message}.{_part(hmac.digest(secret.encode(), message.encode(), hashlib.sha256))}"


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
