"""An identity provider for the filter's calls: it answers at once, and every login has a new user.

The nonce that it is asked with is the code that it gives, so it has nothing to remember.
"""

import base64
import json
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from host import Message


class Provider:
    """The provider, with an RSA key as most have."""

    def __init__(self, key: Path) -> None:
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        if not isinstance(loaded, rsa.RSAPrivateKey):
            raise TypeError(f"{key} is no RSA key")
        self._key = loaded
        self._logins = 0

    def answer(self, cluster: str, request: Message, now: int) -> Message:
        """Answers a call of the filter."""
        (path,) = request.values(":path")
        if cluster != CLUSTER:
            raise ValueError(f"the filter asks {cluster}")
        pages: dict[str, Callable[[], dict[str, Any]]] = {
            DISCOVERY: self._metadata,
            "/keys": self._keys,
            "/token": lambda: self._tokens(request.body, now),
        }
        return Message([(":status", "200"), ("content-type", "application/json")], json.dumps(pages[path]()).encode())

    def _metadata(self) -> dict[str, Any]:
        endpoints = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return {"issuer": ISSUER, **{name: f"{ISSUER}/{path}" for name, path in endpoints.items()}}

    def _keys(self) -> dict[str, Any]:
        numbers = self._key.public_key().public_numbers()
        modulus, exponent = number_text(numbers.n), number_text(numbers.e)
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KID, "n": modulus, "e": exponent}]}

    def _tokens(self, form: bytes, now: int) -> dict[str, Any]:
        (nonce,) = urllib.parse.parse_qs(form.decode())["code"]
        self._logins += 1
        times = {"iat": now, "exp": now + 3600}
        claims = {"iss": ISSUER, "aud": CLIENT, "sub": f"user-{self._logins:04}", "nonce": nonce, **times}
        token = self._signed({"alg": "RS256", "kid": KID, "typ": "JWT"}, claims)
        # The access token is the same text, so that it has the length of those that are JWTs.
        refresh = f"refresh-{self._logins:04}"
        return {"access_token": token, "id_token": token, "refresh_token": refresh, "token_type": "Bearer",
                "expires_in": 24 * 3600}

    def _signed(self, header: dict[str, str], claims: dict[str, Any]) -> str:
        signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
        return f"{signed}.{base64url(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def base64url(data: bytes) -> str:
    """The encoding of JOSE."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number_text(number: int) -> str:
    """A number of a JWK."""
    return base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


ISSUER = "https://idp.example"
CLUSTER = "idp"
CLIENT = "portcullis"
KID = "provider"
DISCOVERY = "/.well-known/openid-configuration"
