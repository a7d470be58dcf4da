// Runs the official MCP "everything" server unchanged, but on a free port of the loopback address
// only: by itself it listens on every address. Prints {"port":…} once it listens, and stops when
// its standard input closes.

import { Server } from "node:net";

const listen = Server.prototype.listen;
Server.prototype.listen = function (_port, announce) {
  return listen.call(this, 0, "127.0.0.1", () => {
    announce?.();
    process.stdout.write(`${JSON.stringify({ port: this.address().port })}\n`);
  });
};
// The first line of output is ours.
console.log = console.error;
process.stdin.on("end", () => process.exit(0)).resume();

await import("../node_modules/@modelcontextprotocol/server-everything/dist/transports/streamableHttp.js");
