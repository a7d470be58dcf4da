// The official conformance suite for authorization servers against the gateway.
//
//   node conformance.mjs <issuer> <resource> <results folder> [client id]
//
// Runs both scenarios, in one run because the second uses what the first found. The second needs a
// client that is already known and a person with a browser: this script registers the one, unless
// it is named, and stands in for the other. Prints one line of JSON a scenario; exits non-zero when
// one failed.

import { spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

import { logIn } from "./browser.mjs";

const [issuer, resource, results, clientId] = process.argv.slice(2);
const inConformance = (path) => fileURLToPath(new URL(`../conformance/${path}`, import.meta.url));
const suite = inConformance("node_modules/@modelcontextprotocol/conformance/dist/index.js");
// The suite wants a newer Node than the project does, so its package brings one.
const node = inConformance("node_modules/node/bin/node");

const port = await freePort();
const redirectUri = `http://127.0.0.1:${port}/callback`;
const client = clientId ? { client_id: clientId } : await register();
const output = await run();
for (const scenario of ["authorization-server-metadata-endpoint", "authorization-code-grant"]) report(scenario);

async function register() {
  const metadata = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json();
  const response = await fetch(metadata.registration_endpoint, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      client_name: "Conformance suite",
      redirect_uris: [redirectUri],
      grant_types: ["authorization_code"],
      response_types: ["code"],
      token_endpoint_auth_method: "none",
    }),
  });
  if (response.status !== 201) throw new Error(`registration: ${response.status} ${await response.text()}`);
  return response.json();
}

async function run() {
  const options = ["--url", issuer, "--client-id", client.client_id, "--resource", resource, "-p", String(port), "-o", results];
  const child = spawn(node, [suite, "authorization", ...options], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let driven = false;
  const read = (piece) => {
    output += piece;
    const authorizationUrl = output.match(/https?:\/\/\S+[?&]response_type=code\S*(?=\s)/)?.[0];
    if (!authorizationUrl || driven) return;
    driven = true;
    logIn(authorizationUrl, redirectUri, "carol")
      .then((callback) => fetch(callback))
      .catch((error) => {
        output += `\nthe browser stopped: ${error.message}`;
        child.kill();
      });
  };
  child.stdout.setEncoding("utf8").on("data", read);
  child.stderr.setEncoding("utf8").on("data", read);
  const code = await new Promise((resolve) => child.on("close", resolve));
  if (code !== 0) process.exitCode = 1;
  return output;
}

/** Tells by the suite's own record whether a scenario passed; one that left no record did not. */
function report(scenario) {
  const folder = readdirSync(results).find((name) => name.startsWith(`authorization-server-${scenario}-`));
  const checks = folder ? JSON.parse(readFileSync(`${results}/${folder}/checks.json`, "utf8")) : [];
  const of = (wanted) => checks.filter(({ status }) => status === wanted);
  const passed = of("SUCCESS").length > 0 && of("FAILURE").length === 0;
  const warnings = of("WARNING").map(({ errorMessage }) => errorMessage);
  process.stdout.write(`${JSON.stringify({ scenario, passed, warnings, ...(!passed && { checks, output }) })}\n`);
  if (!passed) process.exitCode = 1;
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
