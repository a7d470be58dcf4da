//! The MCP server behind all of them: it answers at once, remembers nothing and wants no session.
//! It runs as a process of its own, off the processor of what is measured.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

/// The argument that makes this program the backend.
pub(crate) const ARGUMENT: &str = "mcp-backend";

/// Answers the requests of one connection.
///
/// # Errors
/// When the connection breaks.
pub(crate) fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; MAX_REQUEST];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        while let Some((length, reply)) = reply(&buffer[..filled]) {
            stream.write_all(&reply)?;
            buffer.copy_within(length..filled, 0);
            filled -= length;
        }
    }
}

/// The answer to the first request, once all of it is there, and the request's length.
fn reply(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let field = |name: &str| {
        let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let length = end + field("content-length").and_then(|length| length.parse::<usize>().ok()).unwrap_or_default();
    let body = bytes.get(end..length)?;
    let answer = match head.split(' ').next() {
        Some("POST") => match serde_json::from_slice::<Value>(body) {
            Ok(message) if message["id"].is_null() => http("202 Accepted", ""),
            Ok(message) => http("200 OK", &result(&message, field("authorization").unwrap_or_default())),
            Err(_) => http("400 Bad Request", ""),
        },
        // The end of a session that there never was.
        Some("DELETE") => http("200 OK", ""),
        _ => http("405 Method Not Allowed", ""),
    };
    Some((length, answer))
}

/// The answer to a JSON-RPC call. The tool answers with its text, or, asked for them, with the
/// credentials it was called with.
fn result(message: &Value, authorization: &str) -> String {
    let parameters = &message["params"];
    let result = match message["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": parameters["protocolVersion"],
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "instant", "version": "1" },
        }),
        Some("tools/list") => json!({ "tools": [{
            "name": TOOL,
            "description": "Answers with its text.",
            "inputSchema": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] },
        }] }),
        Some("tools/call") => {
            let text = parameters["arguments"]["text"].as_str().unwrap_or_default();
            let text = if text == SHOW { authorization } else { text };
            json!({ "content": [{ "type": "text", "text": text }], "isError": false })
        }
        Some("ping") => json!({}),
        _ => {
            let error = json!({ "code": -32601, "message": "no such method" });
            return json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }).to_string();
        }
    };
    json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string()
}

fn http(status: &str, body: &str) -> Vec<u8> {
    let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
    format!("HTTP/1.1 {status}\r\n{kind}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Its only tool.
pub(crate) const TOOL: &str = "echo";
/// The text that makes the tool answer with the credentials it was called with.
pub(crate) const SHOW: &str = "which credentials came";
const MAX_REQUEST: usize = 2 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn post(body: &str) -> Vec<u8> {
        format!("POST / HTTP/1.1\r\nAuthorization: Bearer t\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .into_bytes()
    }

    #[test]
    fn a_call_is_answered_once_all_of_it_is_there() {
        let body = json!({ "id": 7, "method": "tools/call", "params": { "arguments": { "text": SHOW } } }).to_string();
        let request = post(&body);
        for cut in 0..request.len() {
            assert!(reply(&request[..cut]).is_none(), "after {cut} bytes");
        }
        let two = [request.as_slice(), b"GET"].concat();
        let (length, answer) = reply(&two).unwrap();
        assert_eq!(length, request.len());
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("Bearer t"), "{answer}");
    }

    #[test]
    fn a_notification_has_no_answer_and_an_unknown_method_an_error() {
        let (_, accepted) = reply(&post(r#"{"method":"notifications/initialized"}"#)).unwrap();
        assert!(accepted.starts_with(b"HTTP/1.1 202"));
        let (_, refused) = reply(&post(r#"{"id":1,"method":"server/discover"}"#)).unwrap();
        assert!(String::from_utf8(refused).unwrap().contains("-32601"));
    }
}
