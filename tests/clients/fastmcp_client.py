"""fastmcp's client with its own OAuth helper and a token store on disk.

    python fastmcp_client.py http://127.0.0.1:8080/mcp <user> <store>

Prints one line of JSON a step, and exits non-zero at the first that fails. The store is a folder. Without tokens in it, the
client logs in; with some, it takes them for past their time, and so must refresh, and may open no browser.
"""

import asyncio
import pathlib
import sys
import threading
import urllib.parse
import urllib.request
import webbrowser

import httpx2
from fastmcp import Client
from fastmcp.client.auth import OAuth
from fastmcp.client.transports import StreamableHttpTransport
from key_value.aio.stores.filetree import (
    FileTreeStore,
    FileTreeV1CollectionSanitizationStrategy,
    FileTreeV1KeySanitizationStrategy,
)

from browser import log_in
from python_sdk import step, watch


def opened(user: str, url: str) -> bool:
    """Stands in for the user's browser, which also visits the callback server of the helper."""
    redirect_uri = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["redirect_uri"][0]

    def visit() -> None:
        sent = log_in(url, redirect_uri, user)
        step("consent and login", user=user, iss=sent.get("iss"))
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        direct.open(f"{redirect_uri}?{urllib.parse.urlencode(sent)}", timeout=30).read()

    threading.Thread(target=visit, daemon=True).start()
    return True


def watched(**options) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(**{**options, "event_hooks": {"response": [watch]}, "trust_env": False})


async def main(server: str, user: str, folder: str) -> None:
    path = pathlib.Path(folder)
    store = FileTreeStore(
        data_directory=path,
        key_sanitization_strategy=FileTreeV1KeySanitizationStrategy(path),
        collection_sanitization_strategy=FileTreeV1CollectionSanitizationStrategy(path),
    )
    auth = OAuth(server, client_name="fastmcp", token_storage=store)
    before = await auth.token_storage_adapter.get_tokens()
    if before is not None:
        # The helper keeps the time in a collection of its own.
        kept = {"key": f"{server}/token_expiry", "collection": "mcp-oauth-token-expiry"}
        assert await auth.token_storage_adapter.get_token_expiry() is not None, "nothing says how long the tokens live"
        await store.put(**kept, value={"expires_at": 1.0})
        assert await auth.token_storage_adapter.get_token_expiry() == 1.0, "it keeps the time elsewhere"
        webbrowser.open = None
    else:
        webbrowser.open = lambda url, *_: opened(user, url)
    async with Client(StreamableHttpTransport(server, auth=auth, httpx_client_factory=watched)) as client:
        step("connected", tools=len(await client.list_tools()))
        result = await client.call_tool("echo", {"message": "hello from fastmcp"})
        step("tool call", answer=result.content[0].text)
        assert "hello from fastmcp" in result.content[0].text, "the echo does not hold the message"
    after = await auth.token_storage_adapter.get_tokens()
    assert before is None or after.refresh_token != before.refresh_token, "the refresh token was not rotated"
    step("done", access_token=after.access_token)


asyncio.run(main(*sys.argv[1:]))
