"""The official Python client against the gateway, as a program would use it, without a person.

    python client.py http://127.0.0.1:8080/mcp [user]

Prints one line of JSON a step, and exits non-zero at the first that fails.
"""

import asyncio
import json
import sys
import urllib.parse

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

from browser import log_in

REDIRECT_URI = "http://127.0.0.1:53683/callback"


def step(name: str, **details) -> None:
    print(json.dumps({"step": name, **details}), flush=True)


class Held:
    """Token storage in memory."""

    tokens = None
    client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


async def watch(response: httpx2.Response) -> None:
    """Tells the steps inside the client library by the requests that it makes."""
    path, told = response.request.url.path, {"status": response.status_code}
    if response.status_code == 401:
        step("refused", **told, challenge=response.headers.get("www-authenticate"))
    elif "oauth-protected-resource" in path:
        step("resource metadata", **told)
    elif "oauth-authorization-server" in path:
        step("server metadata", **told)
    elif path.endswith("/register"):
        step("registered", **told)
    elif path.endswith("/token"):
        grant = urllib.parse.parse_qs(response.request.content.decode())["grant_type"][0]
        step("refreshed" if grant == "refresh_token" else "token", **told)


async def echo(client: Client, message: str) -> None:
    result = await client.call_tool("echo", {"message": message})
    step("tool call", answer=result.content[0].text)
    assert message in result.content[0].text, "the echo does not hold the message"


async def main(server: str, user: str) -> None:
    held = Held()
    sent: dict[str, str] = {}

    async def open_browser(url: str) -> None:
        sent.update(await asyncio.to_thread(log_in, url, REDIRECT_URI, user))
        step("consent and login", user=user, iss=sent.get("iss"))

    async def take_callback() -> AuthorizationCodeResult:
        return AuthorizationCodeResult(code=sent["code"], state=sent.get("state"), iss=sent.get("iss"))

    provider = OAuthClientProvider(
        server_url=server,
        client_metadata=OAuthClientMetadata(
            client_name="Python client",
            redirect_uris=[REDIRECT_URI],
            grant_types=["authorization_code", "refresh_token"],
            response_types=["code"],
            token_endpoint_auth_method="none",
        ),
        storage=held,
        redirect_handler=open_browser,
        callback_handler=take_callback,
    )
    hooks = {"response": [watch]}
    async with httpx2.AsyncClient(auth=provider, event_hooks=hooks, timeout=30, trust_env=False) as web:
        async with Client(streamable_http_client(server, http_client=web)) as client:
            tools = (await client.list_tools()).tools
            step("connected", tools=len(tools))
            await echo(client, "hello from Python")
            # A token past its time makes the library refresh before its next request.
            before = held.tokens
            provider.context.token_expiry_time = 1.0
            await echo(client, "hello again")
            assert held.tokens.refresh_token != before.refresh_token, "the refresh token was not rotated"
    step("done", access_token=held.tokens.access_token, first_access_token=before.access_token)


asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "bob"))
