// What an endpoint does instead of its work, so that stories can see the gateway with a provider in
// trouble.
//
//   {"mode":"drop"}                        closes the connection without an answer
//   {"mode":"slow","ms":500}               works, but later
//   {"mode":"html"}                        200 with a web page
//   {"mode":"truncated"}                   200 with JSON that breaks off
//   {"mode":"contentType"}                 works, but calls its JSON text/plain
//   {"mode":"huge","bytes":40000000}       200 with a JSON string of that size
//   {"mode":"error","status":400,"error":"invalid_grant"}
//
// Any of them may carry "times": after that number of requests the endpoint is well again.

export function take(behaviours, endpoint) {
  const behaviour = behaviours[endpoint];
  if (behaviour?.times !== undefined && --behaviour.times <= 0) delete behaviours[endpoint];
  return behaviour;
}

/** Answers in the way asked for, or arranges the answer and calls `work`. */
export async function behave(behaviour, request, response, work) {
  switch (behaviour.mode) {
    case "slow":
      await new Promise((resolve) => setTimeout(resolve, behaviour.ms));
      return work();
    case "contentType": {
      const setHeader = response.setHeader.bind(response);
      response.setHeader = (name, value) =>
        setHeader(name, name.toLowerCase() === "content-type" ? "text/plain; charset=utf-8" : value);
      return work();
    }
    case "drop":
      return request.socket.destroy();
    case "html":
      return send(response, 200, "text/html; charset=utf-8", "<!doctype html><title>Hello</title><p>Not what you asked for");
    case "truncated":
      return send(response, 200, "application/json", '{"access_token":"abc","token_type":"Bea');
    case "huge":
      return send(response, 200, "application/json", `{"access_token":"${"a".repeat(behaviour.bytes)}"}`);
    case "error":
      return send(response, behaviour.status, "application/json", JSON.stringify({ error: behaviour.error ?? "server_error" }));
    default:
      throw new Error(`unknown mode ${behaviour.mode}`);
  }
}

export const modes = new Set(["drop", "slow", "html", "truncated", "contentType", "huge", "error"]);

export function send(response, status, type, body) {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body), "cache-control": "no-store" });
  response.end(body);
}
