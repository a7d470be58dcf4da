// The official TypeScript client against the gateway, as a program would use it, without a person.
//
//   node client.mjs http://127.0.0.1:8080/mcp [user]
//
// Prints one line of JSON a step, and exits non-zero at the first that fails. Every request that it makes passes `watch`,
// which is how the steps inside the client library become visible.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";

import { logIn } from "./browser.mjs";

const [server, user = "alice"] = process.argv.slice(2);
const redirectUri = "http://127.0.0.1:53682/callback";
const held = {};

function step(name, details = {}) {
  process.stdout.write(`${JSON.stringify({ step: name, ...details })}\n`);
}

async function watch(input, init = {}) {
  const response = await fetch(input, init);
  const { pathname } = new URL(input);
  const told = { status: response.status };
  if (response.status === 401) step("refused", { ...told, challenge: response.headers.get("www-authenticate") });
  else if (pathname.includes("oauth-protected-resource")) step("resource metadata", told);
  else if (pathname.includes("oauth-authorization-server")) step("server metadata", told);
  else if (pathname.endsWith("/register")) step("registered", told);
  else if (pathname.endsWith("/token")) {
    step(new URLSearchParams(String(init.body)).get("grant_type") === "refresh_token" ? "refreshed" : "token", told);
  }
  return response;
}

/** Keeps everything in memory; the browser is driven at once, instead of opened. */
const provider = {
  redirectUrl: redirectUri,
  clientMetadata: {
    client_name: "TypeScript client",
    redirect_uris: [redirectUri],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
  state: () => "state-of-the-typescript-client",
  clientInformation: () => held.client,
  saveClientInformation: (client) => (held.client = client),
  tokens: () => held.tokens,
  saveTokens: (tokens) => (held.tokens = tokens),
  saveCodeVerifier: (verifier) => (held.verifier = verifier),
  codeVerifier: () => held.verifier,
  async redirectToAuthorization(url) {
    held.callback = await logIn(url, redirectUri, user);
    step("consent and login", { user, iss: held.callback.searchParams.get("iss") });
  },
};

function transport() {
  return new StreamableHTTPClientTransport(new URL(server), { authProvider: provider, fetch: watch });
}

async function echo(client, message) {
  const result = await client.callTool({ name: "echo", arguments: { message } });
  step("tool call", { answer: result.content[0].text });
  if (!result.content[0].text.includes(message)) throw new Error("the echo does not hold the message");
}

const client = new Client({ name: "typescript-client", version: "1" });
const first = transport();
try {
  await client.connect(first);
  throw new Error("connected without a token");
} catch (error) {
  if (!(error instanceof UnauthorizedError)) throw error;
}
if (held.callback.searchParams.get("state") !== provider.state()) throw new Error("the state did not come back");
await first.finishAuth(held.callback.searchParams.get("code"));
const second = transport();
await client.connect(second);
const { tools } = await client.listTools();
step("connected", { tools: tools.length, session: second.sessionId !== undefined });
await echo(client, "hello from TypeScript");

// A token that the gateway no longer takes makes the library refresh by itself and repeat the call.
const before = held.tokens;
held.tokens = { ...before, access_token: `${before.access_token.slice(0, -8)}AAAAAAAA` };
await echo(client, "hello again");
if (held.tokens.refresh_token === before.refresh_token) throw new Error("the refresh token was not rotated");
await client.close();
step("done", { access_token: held.tokens.access_token, first_access_token: before.access_token });
