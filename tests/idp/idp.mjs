// The identity provider of the testbed: oidc-provider with one client, any account name, and a
// control endpoint.
//
//   node idp.mjs
//   '{"clientId":…,"clientSecret":…,"redirectUri":…,"accessTokenTtl":60,"opaque":false}'
//
// "takes": "client_secret_basic", "client_secret_post" or "private_key_jwt" makes the token
// endpoint take that alone; the package takes the first two of any client. "clientKey": the public
// key of a client that has no secret, as a JWK. "lists": what the discovery document says of it;
// null leaves the member out.
//
// Prints {"port":…} once it listens on a free loopback port, and stops when its standard input
// closes.
//
//   GET  /_control/   {"counts":{…}}: requests by endpoint (discovery, jwks, authorization, token,
//   userinfo) and token requests by grant (authorization_code, refresh_token), and `refreshed`:
//   refreshes that were granted POST /_control/   any of {"accessTokenTtl": seconds, "rotateKeys":
//   true, "resetCounts": true} and {"refreshTokens": false} to issue none from now on,
//   {"revokeRefreshTokens": true} to end all there are, and {"<endpoint>": behaviour | null}, with
//   the behaviours of behave.mjs

import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { Readable } from "node:stream";

import { Provider } from "oidc-provider";

import { behave, modes, send, take } from "./behave.mjs";
import { Memory } from "./memory.mjs";

const options = JSON.parse(process.argv[2]);
const endpoints = {
  "/.well-known/openid-configuration": "discovery",
  "/.well-known/oauth-authorization-server": "discovery",
  "/jwks": "jwks",
  "/auth": "authorization",
  "/token": "token",
  "/me": "userinfo",
};
const cookieKey = randomBytes(32).toString("hex");
const behaviours = {};
let counts = {};
let provider;
let answer;

const server = createServer((request, response) => {
  handle(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent) send(response, 500, "text/plain", String(error));
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => {
  useNewKeys();
  console.log(JSON.stringify({ port: server.address().port }));
});
process.stdin.on("end", () => process.exit(0)).resume();

async function handle(request, response) {
  const { pathname } = new URL(request.url, "http://idp");
  if (pathname === "/_control/") return control(request, response);
  if (pathname.startsWith("/interaction/")) return interact(request, response);
  const endpoint = endpoints[pathname];
  if (endpoint === undefined) return answer(request, response);
  count(endpoint);
  if (endpoint === "token") {
    request = await countGrant(request);
    if (!takes(request)) return send(response, 401, "application/json", '{"error":"invalid_client"}');
  }
  const behaviour = take(behaviours, endpoint);
  if (behaviour === undefined) return answer(request, response);
  return behave(behaviour, request, response, () => answer(request, response));
}

function count(name) {
  counts[name] = (counts[name] ?? 0) + 1;
}

/** Whether a token request authenticates the client in the only way that is taken. */
function takes({ headers, form }) {
  const used = [
    headers.authorization && "client_secret_basic",
    form.has("client_secret") && "client_secret_post",
    form.has("client_assertion") && "private_key_jwt",
  ];
  const methods = used.filter(Boolean);
  return options.takes === undefined || (methods.length === 1 && methods[0] === options.takes);
}

/** Reads the body to count the grant, and hands on a request that can be read again. */
async function countGrant(request) {
  const body = await read(request);
  const form = new URLSearchParams(body.toString());
  const grant = form.get("grant_type");
  if (grant) count(grant);
  const again = Readable.from([body], { objectMode: false });
  return Object.assign(again, {
    form,
    method: request.method,
    url: request.url,
    originalUrl: request.url,
    headers: request.headers,
    httpVersion: request.httpVersion,
    httpVersionMajor: request.httpVersionMajor,
    socket: request.socket,
    connection: request.socket,
  });
}

async function read(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function control(request, response) {
  if (request.method === "POST") {
    const changes = JSON.parse((await read(request)).toString());
    for (const [name, change] of Object.entries(changes)) {
      if (!apply(name, change)) return send(response, 400, "text/plain", `what is ${name}: ${JSON.stringify(change)}?`);
    }
  }
  return send(response, 200, "application/json", JSON.stringify({ counts, behaviours, accessTokenTtl: options.accessTokenTtl }));
}

function apply(name, change) {
  if (name === "accessTokenTtl") options.accessTokenTtl = change;
  else if (name === "rotateKeys") useNewKeys();
  else if (name === "refreshTokens") options.refreshTokens = change;
  else if (name === "revokeRefreshTokens") Memory.forget("RefreshToken");
  else if (name === "resetCounts") counts = {};
  else if (!Object.values(endpoints).includes(name)) return false;
  else if (change === null) delete behaviours[name];
  else if (!modes.has(change.mode)) return false;
  else behaviours[name] = change;
  return true;
}

/** The login form takes any name; consent is given at once. */
async function interact(request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  if (prompt.name === "consent") {
    const grant = (await provider.Grant.find(grantId)) ?? newGrant(session.accountId, params.client_id);
    const result = { consent: { grantId: await grant.save() } };
    return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
  }
  if (request.method !== "POST") return send(response, 200, "text/html; charset=utf-8", loginPage(request.url));
  const form = new URLSearchParams((await read(request)).toString());
  const accountId = form.get("login");
  if (!accountId) return send(response, 400, "text/html; charset=utf-8", loginPage(request.url));
  return provider.interactionFinished(request, response, { login: { accountId } }, { mergeWithLastSubmission: false });
}

function loginPage(action) {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in</title></head>
<body><h1>Sign in</h1>
<form method="post" action="${action}" autocomplete="off">
<label>Account name <input type="text" name="login" required autofocus></label>
<label>Password, any <input type="password" name="password"></label>
<button type="submit">Sign in</button>
</form></body></html>`;
}

function newGrant(accountId, clientId) {
  const grant = new provider.Grant({ accountId, clientId });
  grant.addOIDCScope("openid offline_access profile email");
  grant.addResourceScope(audience, "openid offline_access profile email");
  return grant;
}

/**
 * A provider object cannot change its keys, so a new one takes over; what was issued lives on in
 * Memory.
 */
function useNewKeys() {
  const jwk = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
  const key = { ...jwk, alg: "RS256", use: "sig", kid: randomBytes(8).toString("hex") };
  provider = new Provider(`http://127.0.0.1:${server.address().port}`, configuration(key));
  provider.on("grant.success", ({ oidc }) => oidc.params?.grant_type === "refresh_token" && count("refreshed"));
  provider.on("server_error", (_, error) => console.error(error));
  provider.on("grant.error", (_, error) => console.error(error.error, error.error_detail ?? error.error_description));
  provider.on("authorization.error", (_, error) => console.error(error.error, error.error_detail ?? error.error_description));
  provider.use(async (context, next) => {
    await next();
    if (context.path !== "/.well-known/openid-configuration" || options.lists === undefined) return;
    const { token_endpoint_auth_methods_supported: _, ...others } = context.body;
    context.body = options.lists === null ? others : { ...others, token_endpoint_auth_methods_supported: options.lists };
  });
  answer = provider.callback();
}

function configuration(key) {
  return {
    adapter: Memory,
    jwks: { keys: [key] },
    cookies: { keys: [cookieKey] },
    clients: [
      {
        client_id: options.clientId,
        ...(options.clientKey
          ? { token_endpoint_auth_method: "private_key_jwt", jwks: { keys: [options.clientKey] } }
          : { client_secret: options.clientSecret }),
        redirect_uris: [options.redirectUri],
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
      },
    ],
    claims: { openid: ["sub"], profile: ["name"], email: ["email", "email_verified"] },
    conformIdTokenClaims: false,
    findAccount: (_, sub) => ({
      accountId: sub,
      claims: () => ({ sub, name: `${sub} of the testbed`, email: `${sub}@example.test`, email_verified: true }),
    }),
    async loadExistingGrant({ oidc }) {
      const granted = oidc.result?.consent?.grantId ?? oidc.session.grantIdFor(oidc.client.clientId);
      const existing = granted && (await provider.Grant.find(granted));
      if (existing) return existing;
      const grant = newGrant(oidc.session.accountId, oidc.client.clientId);
      await grant.save();
      return grant;
    },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    // Tells the tokens of one login from those of another of the same account.
    extraTokenClaims: (_, token) => ({ grant: token.grantId }),
    issueRefreshToken: () => options.refreshTokens !== false,
    rotateRefreshToken: true,
    pkce: { required: () => true },
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: !options.opaque,
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: "openid offline_access profile email",
          audience,
          accessTokenFormat: "jwt",
          accessTokenTTL: options.accessTokenTtl,
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
    ttl: {
      AccessToken: () => options.accessTokenTtl,
      AuthorizationCode: 60,
      IdToken: 3600,
      RefreshToken: 7 * 24 * 3600,
      Grant: 7 * 24 * 3600,
      Interaction: 3600,
      Session: 24 * 3600,
    },
  };
}

const audience = "urn:testbed:backend";
