"""The official Python client against the gateway: logs in, calls a tool, refreshes.

    python client.py http://127.0.0.1:8080/mcp [user [store [document]]]

Prints one line of JSON a step, and exits non-zero at the first that fails. With a store, a file, it keeps its tokens there;
when it finds some, it makes one call with them and opens no browser. With the URL of a document that describes it, it does
not register.
"""

import asyncio
import pathlib
import sys

from python_sdk import Held, PythonClient, step


async def main(server: str, user: str = "bob", store: str | None = None, document: str | None = None) -> None:
    held = Held(pathlib.Path(store) if store else None)
    returns = held.tokens is not None
    client = PythonClient(server, user, held, document, may_log_in=not returns)
    async with client.connected():
        if returns:
            await client.echo("hello from another process")
            return
        await client.echo("hello from Python")
        # A token past its time makes the library refresh before its next request.
        before = held.tokens
        client.provider.context.token_expiry_time = 1.0
        await client.echo("hello again")
        assert held.tokens.refresh_token != before.refresh_token, "the refresh token was not rotated"
    step("done", access_token=held.tokens.access_token, first_access_token=before.access_token)


asyncio.run(main(*sys.argv[1:]))
