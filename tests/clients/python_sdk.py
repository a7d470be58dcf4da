"""The official Python client as a program would use it, without a person: what the scripts that drive it share.

Every response that it reads passes `watch`, which is how the steps inside the client library become visible.
"""

import asyncio
import contextlib
import json
import pathlib
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
    """Prints one line of JSON."""
    print(json.dumps({"step": name, **details}), flush=True)


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


class Held:
    """Token storage in memory, and in a file where there is one."""

    tokens = None
    client = None
    expires_at = None

    def __init__(self, file: pathlib.Path | None = None):
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


class PythonClient:
    """A client that keeps everything in `held`; the browser is driven at once, instead of opened."""

    def __init__(self, server: str, user: str, held: Held, document: str | None = None, may_log_in: bool = True):
        self._server, self._user, self._may_log_in = server, user, may_log_in
        self._sent: dict[str, str] = {}
        self.provider = OAuthClientProvider(
            server_url=server,
            client_metadata=OAuthClientMetadata(
                client_name="Python client",
                redirect_uris=[REDIRECT_URI],
                grant_types=["authorization_code", "refresh_token"],
                response_types=["code"],
                token_endpoint_auth_method="none",
            ),
            storage=held,
            redirect_handler=self._open_browser,
            callback_handler=self._take_callback,
            client_metadata_url=document,
        )
        # The library does not keep how long a token lives; a program that does tells it, as fastmcp
        # does.
        self.provider.context.token_expiry_time = held.expires_at

    @contextlib.asynccontextmanager
    async def connected(self):
        """Connects, and disconnects at the end."""
        hooks = {"response": [watch]}
        async with httpx2.AsyncClient(auth=self.provider, event_hooks=hooks, timeout=30, trust_env=False) as web:
            async with Client(streamable_http_client(self._server, http_client=web)) as client:
                tools = (await client.list_tools()).tools
                step("connected", tools=len(tools))
                self._client = client
                yield

    async def echo(self, message: str) -> None:
        """Calls the echo tool."""
        result = await self._client.call_tool("echo", {"message": message})
        step("tool call", answer=result.content[0].text)
        assert message in result.content[0].text, "the echo does not hold the message"

    async def _open_browser(self, url: str) -> None:
        assert self._may_log_in, "a browser for a client that has tokens"
        self._sent = await asyncio.to_thread(log_in, url, REDIRECT_URI, self._user)
        step("consent and login", user=self._user, iss=self._sent.get("iss"))

    async def _take_callback(self) -> AuthorizationCodeResult:
        sent = self._sent
        return AuthorizationCodeResult(code=sent["code"], state=sent.get("state"), iss=sent.get("iss"))
