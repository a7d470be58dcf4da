"""The official Python client against the gateway, as a program would use it, without a person.

    python client.py http://127.0.0.1:8080/mcp [user [store [document]]]

Prints one line of JSON a step, and exits non-zero at the first that fails. With a store, a file, it keeps its tokens there;
when it finds some, it makes one call with them and opens no browser. With the URL of a document that describes it, it does
not register.
"""

import asyncio
import json
import pathlib
import sys
import time
import urllib.parse

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from browser import log_in

REDIRECT_URI = "http://127.0.0.1:53683/callback"


def step(name: str, **details) -> None:
    print(json.dumps({"step": name, **details}), flush=True)


class Held:
    """Token storage in memory, and in a file where there is one."""

    tokens = None
    client = None
    expires_at = None

    def __init__(self, file: pathlib.Path | None):
        self.file = file
        if file is not None and file.exists():
            kept = json.loads(file.read_text())
            self.tokens = OAuthToken.model_validate(kept["tokens"])
            self.client = OAuthClientInformationFull.model_validate(kept["client"])
            self.expires_at = kept["expires_at"]

    def keep(self):
        if self.file is not None and self.tokens is not None and self.client is not None:
            tokens, client = (held.model_dump(mode="json") for held in (self.tokens, self.client))
            self.file.write_text(json.dumps({"tokens": tokens, "client": client, "expires_at": self.expires_at}))

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens
        self.expires_at = time.time() + tokens.expires_in
        self.keep()

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client
        self.keep()


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
        step("refreshed" if grant == "refresh_token" else "token", path=path, **told)


async def echo(client: Client, message: str) -> None:
    result = await client.call_tool("echo", {"message": message})
    step("tool call", answer=result.content[0].text)
    assert message in result.content[0].text, "the echo does not hold the message"


async def main(server: str, user: str = "bob", store: str | None = None, document: str | None = None) -> None:
    held = Held(pathlib.Path(store) if store else None)
    returns = held.tokens is not None
    sent: dict[str, str] = {}

    async def open_browser(url: str) -> None:
        assert not returns, "a browser for a client that has tokens"
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
        client_metadata_url=document,
    )
    # The library does not keep how long a token lives; a program that does tells it, as fastmcp.
    provider.context.token_expiry_time = held.expires_at
    hooks = {"response": [watch]}
    async with httpx2.AsyncClient(auth=provider, event_hooks=hooks, timeout=30, trust_env=False) as web:
        async with Client(streamable_http_client(server, http_client=web)) as client:
            tools = (await client.list_tools()).tools
            step("connected", tools=len(tools))
            if returns:
                await echo(client, "hello from another process")
                return
            await echo(client, "hello from Python")
            # A token past its time makes the library refresh before its next request.
            before = held.tokens
            provider.context.token_expiry_time = 1.0
            await echo(client, "hello again")
            assert held.tokens.refresh_token != before.refresh_token, "the refresh token was not rotated"
    step("done", access_token=held.tokens.access_token, first_access_token=before.access_token)


asyncio.run(main(*sys.argv[1:]))
