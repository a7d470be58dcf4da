// The official TypeScript client against the gateway: logs in, calls a tool, refreshes.
//
//   node client.mjs http://127.0.0.1:8080/mcp [user [document]]
//
// With the URL of a document that describes it, it does not register.
// Prints one line of JSON a step, and exits non-zero at the first that fails.

import { TypeScriptClient, step } from "./typescript.mjs";

const [server, user = "alice", document] = process.argv.slice(2);
const client = new TypeScriptClient(server, user, document);
await client.connect();
await client.echo("hello from TypeScript");

// A token that the gateway no longer takes makes the library refresh by itself and repeat the call.
const { held } = client;
const before = held.tokens;
held.tokens = { ...before, access_token: `${before.access_token.slice(0, -8)}AAAAAAAA` };
await client.echo("hello again");
if (held.tokens.refresh_token === before.refresh_token) throw new Error("the refresh token was not rotated");
await client.close();
step("done", { access_token: held.tokens.access_token, first_access_token: before.access_token });
