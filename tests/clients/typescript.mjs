// The official TypeScript client as a program would use it, without a person: what the scripts that
// drive it share.
//
// Every request that it makes passes `watch`, which is how the steps inside the client library
// become visible.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";

import { logIn } from "./browser.mjs";

const redirectUri = "http://127.0.0.1:53682/callback";

/** Prints one line of JSON. */
export function step(name, details = {}) {
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

/** A client that keeps everything in `held`; the browser is driven at once, instead of opened. */
export class TypeScriptClient {
  held = {};
  #server;
  #provider;
  #client;
  #transport;

  constructor(server, user, document) {
    const held = this.held;
    this.#server = server;
    this.#provider = {
      redirectUrl: redirectUri,
      ...(document && { clientMetadataUrl: document }),
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
      invalidateCredentials: (scope) => (scope === "all" || scope === "tokens") && delete held.tokens,
      async redirectToAuthorization(url) {
        held.callback = await logIn(url, redirectUri, user);
        step("consent and login", { user, iss: held.callback.searchParams.get("iss") });
      },
    };
  }

  /** Connects without a token, which makes the library log in, and once more with it. */
  async connect() {
    this.#client = new Client({ name: "typescript-client", version: "1" });
    this.#transport = this.#newTransport();
    await this.#logsIn(() => this.#client.connect(this.#transport));
    this.#transport = this.#newTransport();
    await this.#client.connect(this.#transport);
    const { tools } = await this.#client.listTools();
    step("connected", { tools: tools.length, session: this.#transport.sessionId !== undefined });
  }

  /** Calls the echo tool. */
  async echo(message) {
    const result = await this.#client.callTool({ name: "echo", arguments: { message } });
    step("tool call", { answer: result.content[0].text });
    if (!result.content[0].text.includes(message)) throw new Error("the echo does not hold the message");
  }

  /** Calls the echo tool with a login that is over: the library must open the browser by itself. */
  async echoAfterAnotherLogin(message) {
    await this.#logsIn(() => this.echo(message));
    await this.echo(message);
  }

  async close() {
    await this.#client.close();
  }

  #newTransport() {
    return new StreamableHTTPClientTransport(new URL(this.#server), { authProvider: this.#provider, fetch: watch });
  }

  async #logsIn(action) {
    delete this.held.callback;
    try {
      await action();
    } catch (error) {
      if (!(error instanceof UnauthorizedError)) throw error;
      const { callback } = this.held;
      if (callback.searchParams.get("state") !== this.#provider.state()) throw new Error("the state did not come back");
      return this.#transport.finishAuth(callback.searchParams.get("code"));
    }
    throw new Error("no login was needed");
  }
}
