r"""The official Python client whose user's login at the identity provider ends: it must log in again by itself.

    python client_again.py http://127.0.0.1:8080/mcp http://127.0.0.1:9000/_control/ '{"revokeRefreshTokens":true}' \
        <seconds> [user]

Does what `client_again.mjs` does with the TypeScript one.
"""

import asyncio
import sys
import urllib.request

from python_sdk import Held, PythonClient, step


async def main(server: str, control: str, end: str, seconds: str, user: str = "bob") -> None:
    client = PythonClient(server, user, Held())
    async with client.connected():
        await client.echo("hello from Python")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(control, end.encode())
        await asyncio.sleep(float(seconds) + 0.1)
        await client.echo("hello again")
    step("done")


asyncio.run(main(*sys.argv[1:]))
