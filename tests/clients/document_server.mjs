// An https server on loopback with the client-id metadata document of the clients here.
//
//   node document_server.mjs <certificate> <key>
//
// Prints {"port":…} once it listens, and stops when its standard input closes. The document has
// more members than any server needs, as those of real clients.

import { readFileSync } from "node:fs";
import { createServer } from "node:https";

const [certificate, key] = process.argv.slice(2);

const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
  const url = `https://localhost:${server.address().port}${request.url}`;
  if (request.url === "/moved.json") return response.writeHead(302, { location: "/client.json" }).end();
  if (!["/client.json", "/other.json"].includes(request.url)) return response.writeHead(404).end();
  const document = {
    client_id: request.url === "/other.json" ? `${url}/` : url,
    client_name: "Client with a document",
    client_uri: "https://client.example",
    logo_uri: "http://169.254.169.254/logo.png",
    redirect_uris: ["http://127.0.0.1/callback", "https://client.example/callback", "javascript:alert(1)"],
    grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
    response_types: ["code", "token"],
    scope: "openid unknown",
    token_endpoint_auth_method: "none",
    application_type: "native",
    dpop_bound_access_tokens: false,
  };
  const headers = { "content-type": "application/json; charset=utf-8", "cache-control": "public, max-age=600" };
  response.writeHead(200, headers).end(JSON.stringify(document));
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`));
process.stdin.on("end", () => process.exit(0)).resume();
