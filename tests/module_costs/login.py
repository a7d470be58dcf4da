"""What a client and its user's browser send for one login, step by step."""

import base64
import hashlib
import json
import re
import urllib.parse

from host import Headers, Host, Message, Stream
from provider import ISSUER

Form = dict[str, str]


class Login:
    """A new user with a new browser and a new client. Each step needs the one before, and raises
    what is wrong."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._cookies: dict[str, str] = {}
        self._client = ""
        self._form: Form = {}
        self._asked: Form = {}
        self._code = ""
        self.access_token = ""
        self.refresh_token = ""

    def register(self) -> None:
        """The client registers (RFC 7591)."""
        metadata = json.dumps({"redirect_uris": [REDIRECT], "client_name": "Client"}).encode()
        stream = self._host.send(request("POST", "/oauth/register", [("content-type", "application/json")], metadata))
        self._client = json.loads(answered(stream, "201").body)["client_id"]

    def authorize(self) -> None:
        """The browser opens the authorization URL and gets the consent page."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
        query = {"client_id": self._client, "redirect_uri": REDIRECT, "response_type": "code", "state": "client-state",
                 "code_challenge": challenge, "code_challenge_method": "S256", "scope": "openid",
                 "resource": f"{GATEWAY}/mcp"}
        page = self._browse("GET", f"/oauth/authorize?{urllib.parse.urlencode(query)}", "200").body.decode()
        self._form = dict(re.findall('name="(transaction|csrf)" value="([^"]+)"', page))

    def consent(self) -> None:
        """The user agrees, and is sent to the provider."""
        same = [("origin", GATEWAY), ("sec-fetch-site", "same-origin")]
        answer = self._browse("POST", "/oauth/consent", "303", same, {**self._form, "decision": "approve"})
        self._asked = query_of(answer)

    def call_back(self) -> None:
        """The provider redirects the browser back; its code is the nonce. The filter calls the
        provider before it answers."""
        back = {"state": self._asked["state"], "code": self._asked["nonce"], "iss": ISSUER}
        self._code = query_of(self._browse("GET", f"/oauth/callback?{urllib.parse.urlencode(back)}", "303"))["code"]

    def redeem(self) -> None:
        """The client redeems its code."""
        self._take_tokens({"grant_type": "authorization_code", "code": self._code, "redirect_uri": REDIRECT,
                           "code_verifier": VERIFIER})

    def refresh(self) -> None:
        """The client refreshes its tokens."""
        self._take_tokens({"grant_type": "refresh_token", "refresh_token": self.refresh_token})

    def _take_tokens(self, form: Form) -> None:
        body = urllib.parse.urlencode({**form, "client_id": self._client}).encode()
        stream = self._host.send(request("POST", "/oauth/token", FORM_TYPE, body))
        tokens = json.loads(answered(stream, "200").body)
        self.access_token, self.refresh_token = tokens["access_token"], tokens["refresh_token"]

    def _browse(self, method: str, target: str, status: str, headers: Headers | None = None,
                form: Form | None = None) -> Message:
        jar = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = [*(headers or []), *([("cookie", jar)] if jar else []), *(FORM_TYPE if form else [])]
        body = urllib.parse.urlencode(form).encode() if form else b""
        answer = answered(self._host.send(request(method, target, headers, body)), status)
        for cookie in answer.values("set-cookie"):
            name, value = cookie.split(";")[0].split("=", 1)
            self._cookies[name] = value
        return answer


def request(method: str, target: str, headers: Headers | None = None, body: bytes = b"") -> Message:
    """A request with the headers that Envoy has for any."""
    length = [("content-length", str(len(body)))] if body else []
    return Message([(":method", method), (":path", target), (":authority", "gw.example"), (":scheme", "https"),
                    ("user-agent", "portcullis-fuel"), ("accept", "*/*"), ("x-forwarded-proto", "https"),
                    ("x-request-id", "5f0c9b3e-8a75-4d0b-9d7b-1f6f0f7a2c11"), *(headers or []), *length], body)


def answered(stream: Stream, status: str) -> Message:
    """The answer to a request that the filter answers, with this status."""
    if stream.forwarded or stream.answer is None or stream.answer.values(":status") != [status]:
        raise RuntimeError(f"not answered with {status}: {stream}")
    return stream.answer


def query_of(answer: Message) -> Form:
    """The parameters of the address that an answer redirects to."""
    (location,) = answer.values("location")
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location).query))


GATEWAY = "https://gw.example"
REDIRECT = "https://client.example/callback"
VERIFIER = "a-verifier-of-forty-three-characters-or-more"
FORM_TYPE = [("content-type", "application/x-www-form-urlencoded")]
