// The official TypeScript client whose user's login at the identity provider ends: it must log in
// again by itself.
//
//   node client_again.mjs http://127.0.0.1:8080/mcp http://127.0.0.1:9000/_control/
//   '{"revokeRefreshTokens":true}' <seconds> [user]
//
// Logs in, calls a tool, tells the provider's control endpoint how the login ends, and calls the
// tool again when the provider's access token, which must live that many seconds, has run out.
// Prints one line of JSON a step, and exits non-zero at the first that fails.

import { setTimeout as sleep } from "node:timers/promises";

import { TypeScriptClient, step } from "./typescript.mjs";

const [server, control, end, seconds, user = "alice"] = process.argv.slice(2);
const client = new TypeScriptClient(server, user);
await client.connect();
await client.echo("hello from TypeScript");

const reply = await fetch(control, { method: "POST", body: end });
if (!reply.ok) throw new Error(`the provider does not understand ${end}`);
await sleep(Number(seconds) * 1_000 + 100);
await client.echoAfterAnotherLogin("hello again");
await client.close();
step("done");
