"""FastMCP in front of an MCP server, with its OAuth proxy and without.

    fastmcp_server.py '{"port":…,"back_end":"http://…/mcp","provider":"http://…","client_id":…,"client_secret":…,"mode":…}'

`mode`: "injected" logs clients in through the OAuth proxy and gives the backend the upstream token of the client's login;
"own_tool" does the same in front of a tool of its own, without a backend; "open" passes calls on and asks for nothing.
"""

import json
import sys

from cryptography.fernet import Fernet
from fastmcp import FastMCP
from fastmcp.client.auth import BearerAuth
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.server.auth import OAuthProxy
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.server.dependencies import get_access_token
from fastmcp.server.providers.proxy import FastMCPProxy, ProxyClient
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.wrappers.encryption import FernetEncryptionWrapper

OPTIONS = json.loads(sys.argv[1])


def oauth_proxy() -> OAuthProxy:
    """The proxy as documented for a provider that issues JWTs; records stay in memory, encrypted as they are by default."""
    provider = OPTIONS["provider"]
    return OAuthProxy(
        upstream_authorization_endpoint=f"{provider}/auth",
        upstream_token_endpoint=f"{provider}/token",
        upstream_client_id=OPTIONS["client_id"],
        upstream_client_secret=OPTIONS["client_secret"],
        token_verifier=JWTVerifier(
            jwks_uri=f"{provider}/jwks", issuer=provider, audience="urn:testbed:backend", required_scopes=["openid"]
        ),
        base_url=f"http://127.0.0.1:{OPTIONS['port']}",
        redirect_path="/oauth/callback",
        jwt_signing_key="for the measurements only, and for nothing else",
        client_storage=FernetEncryptionWrapper(key_value=MemoryStore(), fernet=Fernet(Fernet.generate_key())),
        forward_resource=False,
        require_authorization_consent="external",
    )


def back_end_client() -> ProxyClient:
    """A client for one call: the proxy makes a new one for each, as it does by itself."""
    token = get_access_token()
    auth = BearerAuth(token.token) if token else None
    return ProxyClient(StreamableHttpTransport(OPTIONS["back_end"], auth=auth))


def server() -> FastMCP:
    if OPTIONS["mode"] == "open":
        return FastMCPProxy(client_factory=back_end_client, name="proxy")
    if OPTIONS["mode"] == "injected":
        return FastMCPProxy(client_factory=back_end_client, name="proxy", auth=oauth_proxy())
    own = FastMCP("own", auth=oauth_proxy())

    @own.tool
    def echo(text: str) -> str:
        """Answers with its text."""
        return text

    return own


server().run(
    transport="http",
    host="127.0.0.1",
    port=OPTIONS["port"],
    stateless_http=True,
    json_response=True,
    show_banner=False,
    log_level="ERROR",
)
