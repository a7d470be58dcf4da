"""Measures each path in wasmtime's fuel, which is wasm instructions, and in host calls, each of
which costs as much as thousands of instructions: a guard against a module that became slower.

    python paths.py portcullis_filter.wasm

Prints each figure with its ceiling, and exits with 1 if one is above it, or so far below that the
ceiling guards nothing.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from foreign import varint
from host import BAD_ARGUMENT, NOT_FOUND, PARSE_FAILURE, UNKNOWN, Host, Stream, Trapped
from login import GATEWAY, Login, answered, request
from provider import CLIENT, CLUSTER, ISSUER, Provider, base64url

# Lower a ceiling to some 5 % above the printed figure when its path gets cheaper.
CEILINGS = {
    "configure": 17_600_000,
    "pass": 4_200,
    "metadata": 34_000,
    "refused: no token": 43_500,
    "refused: malformed": 60_400,
    "refused: unknown key": 67_100,
    "register": 113_900,
    "authorize": 378_000,
    "consent": 424_000,
    "callback": 806_000,
    "token": 541_000,
    "login": 2_150_000,
    "cold": 203_000,
    "fast": 8_920,
    "refresh": 394_000,
    "host calls, pass": 2,
    "host calls, cold": 8,
    "host calls, fast": 6,
    "pages after configure": 20,
    "pages after the run": 21,
    "bytes of the module": 1_575_000,
}


def main(module: Path) -> int:
    """Measures, prints, and gives the exit status."""
    figures = measured(module)
    faults = []
    for what, ceiling in CEILINGS.items():
        figure = figures[what]
        print(f"{what:<26}{figure:>12,}   ceiling {ceiling:>12,}")
        if figure > ceiling:
            faults.append(f"{what}: {figure:,}, and {ceiling:,} are allowed")
        elif figure <= ceiling // 2:
            faults.append(f"{what}: {figure:,}; lower the ceiling of {ceiling:,}, or is it not done?")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def measured(module: Path) -> dict[str, int]:
    """Every figure, by name."""
    host = started(module)
    figures = {"configure": host.fuel, "pages after configure": host.pages}
    laps = [lap(host) for _ in range(FEW + MORE)][FEW:]
    figures |= {path: sum(each[path] for each in laps) // MORE for path in laps[0]}
    figures["login"] = sum(figures[step] for step in ("authorize", "consent", "callback", "token"))
    if host.counters["portcullis.path.fast"] != FEW + MORE or host.counters["portcullis.path.pass"] != FEW + MORE:
        raise RuntimeError(f"another path was taken: {host.counters}")
    refuse(module)
    return figures | {"pages after the run": host.pages, "bytes of the module": module.stat().st_size}


def lap(host: Host) -> dict[str, int]:
    """Takes every path once, with a login of a new user; returns the figures of each. Raises if one
    does not end as it must."""
    login, taken = Login(host), {}

    def take(path: str, passage: Callable[[], T]) -> T:
        fuel, calls = host.fuel, host.host_calls
        result = passage()
        taken[path] = host.fuel - fuel
        taken[f"host calls, {path}"] = host.host_calls - calls
        return result

    sent_on(take("pass", lambda: host.send(request("GET", "/elsewhere?a=1"))))
    answered(take("metadata", lambda: host.send(request("GET", "/.well-known/oauth-protected-resource/mcp"))), "200")
    # After the first request this asks for the provider's documents.
    host.tick()
    take("register", login.register)
    take("authorize", login.authorize)
    take("consent", login.consent)
    take("callback", login.call_back)
    take("token", login.redeem)
    unknown = base64url(b'{"alg":"ES256","kid":"another","typ":"at+jwt"}')
    malformed = login.access_token.split(".", 1)[1]
    answered(take("refused: no token", lambda: call(host)), "401")
    answered(take("refused: malformed", lambda: call(host, malformed)), "401")
    answered(take("refused: unknown key", lambda: call(host, f"{unknown}.e30.{base64url(bytes(64))}")), "401")
    sent_on(take("cold", lambda: call(host, login.access_token)), login.access_token)
    sent_on(take("fast", lambda: call(host, login.access_token)), login.access_token)
    take("refresh", login.refresh)
    host.now += 1
    host.tick()
    return taken


def refuse(module: Path) -> None:
    """Whatever host call fails, no request goes on with a client's token: on a status that the SDK
    lists for a call the filter answers, and on any other it traps before the request goes on."""
    host, token = logged_in(module)
    # The token is verified after these for the first time.
    for wanted, refusal, status in (
        ("proxy_call_foreign_function", BAD_ARGUMENT, "401"),
        ("proxy_get_shared_data", NOT_FOUND, "503"),
        ("proxy_get_header_map_pairs", UNKNOWN, "400"),
        ("proxy_get_header_map_pairs", BAD_ARGUMENT, "400"),
    ):
        host.refused = {wanted: refusal}
        answered(call(host, token), status)
        host.refused = {}
    sent_on(call(host, token), token)
    # Headers that the filter does not read could hold anything.
    crowded = host.send(request("GET", "/mcp", [("x-many", str(number)) for number in range(1001)]))
    answered(crowded, "431")
    if entry("reason", "too_many_headers") not in crowded.filter_state["portcullis"]:
        raise RuntimeError(f"another reason: {crowded.filter_state}")
    for wanted in ("proxy_call_foreign_function", "proxy_get_shared_data", "proxy_replace_header_map_value",
                   "proxy_set_property", "proxy_get_current_time_nanoseconds"):
        for refusal in (PARSE_FAILURE, UNKNOWN):
            host, token = logged_in(module)
            host.refused = {wanted: refusal}
            trap(host, lambda: call(host, token))
    # Also in the callback of a call, for which a request waits.
    for wanted in ("proxy_get_buffer_bytes", "proxy_send_local_response"):
        host = started(module)
        login = Login(host)
        for step in (login.register, login.authorize, login.consent):
            step()
        host.refused = {wanted: PARSE_FAILURE}
        trap(host, login.call_back)


def started(module: Path) -> Host:
    """A host with the filter, configured."""
    provider = Provider(KEYS / "rsa2048.pkcs8.pem")
    host = Host(module, json.dumps(CONFIGURATION).encode(), ENVIRONMENT, provider.answer, NOW)
    host.start()
    return host


def logged_in(module: Path) -> tuple[Host, str]:
    """A host with the filter, and an access token that it has not seen yet."""
    host = started(module)
    login = Login(host)
    for step in (login.register, login.authorize, login.consent, login.call_back, login.redeem):
        step()
    return host, login.access_token


def trap(host: Host, passage: Callable[[], object]) -> None:
    """Raises unless the filter traps while its request is held: Envoy answers it with 503, or it
    waits for a timeout."""
    try:
        passage()
    except Trapped:
        if len(host.streams) != 1 or any(stream.forwarded for stream in host.streams.values()):
            raise RuntimeError(f"sent on in spite of a trap: {host.streams}") from None
    else:
        raise RuntimeError(f"no trap in spite of {host.refused}")


def call(host: Host, token: str = "") -> Stream:
    """A call to the protected resource."""
    return host.send(request("GET", "/mcp?a=1", [("authorization", f"Bearer {token}")] if token else []))


def entry(name: str, value: str) -> bytes:
    """A field of the audit trail, as it is encoded (`google.protobuf.Struct`)."""
    text = b"\x1a" + varint(len(value)) + value.encode()
    return b"\x0a" + varint(len(name)) + name.encode() + b"\x12" + varint(len(text)) + text


def sent_on(stream: Stream, token: str = "") -> None:
    """Raises unless the request went on, and without this token."""
    if not stream.forwarded or f"Bearer {token}" in stream.request.values("authorization"):
        raise RuntimeError(f"not sent on, or with the client's token: {stream}")


T = TypeVar("T")
FEW, MORE = 4, 16
NOW = 1_800_000_000
KEYS = Path(__file__).parents[2] / "crates/protocol/testdata/keys"
ENVIRONMENT = {
    "SIGNING_KEY": (KEYS / "p256.pkcs8.pem").read_text(),
    "SECRET": "a-secret-of-32-bytes-at-the-least",
    "CLIENT_SECRET": "the-client-secret",
}
CONFIGURATION = {
    "issuer": GATEWAY,
    "signingKeys": [{"env": "SIGNING_KEY"}],
    "secrets": [{"env": "SECRET"}],
    "scopesSupported": ["openid"],
    "upstreamProviders": [{
        "name": "idp",
        "type": "oidc",
        "oidcConfig": {
            "issuerUrl": ISSUER,
            "cluster": CLUSTER,
            "clientId": CLIENT,
            "clientSecret": {"env": "CLIENT_SECRET"},
        },
    }],
    "resources": [{
        "resource": f"{GATEWAY}/mcp",
        "match": {"prefix": "/mcp"},
        "scopes": ["openid"],
        "inject": {"type": "upstreamInject", "providerName": "idp"},
    }],
    "default": "pass",
}

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
