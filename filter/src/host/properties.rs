//! Attributes of a stream, and the filter state that it leaves.

use proxy_wasm::hostcalls;

use super::foreign::foreign;
use super::protobuf;

/// Returns the address of the direct peer, `ip:port`. Only in a callback of the request.
pub(crate) fn peer() -> Option<String> {
    String::from_utf8(property(["source", "address"])?).ok()
}

/// Returns Envoy's number of the connection that the request came on, or 0 if there is none. Only
/// in a callback of the request.
pub(crate) fn connection() -> u64 {
    let bytes = property(["connection", "id"]);
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Declares that the values of the filter state `wasm.<name>` are encoded
/// `google.protobuf.Struct`s, so that access logs and other filters read their fields. Only in the
/// root context, of which the streams have it; Envoy refuses it the second time.
pub(crate) fn declare_struct(name: &str) {
    let mut arguments = protobuf::encode(&[(PROPERTY_NAME, name.as_bytes()), (PROPERTY_SCHEMA, STRUCT)]);
    arguments.extend_from_slice(&PROPERTY_TYPE_PROTOBUF);
    let _ = foreign("declare_property", &arguments);
}

/// Publishes a value as filter state `wasm.<name>`. Only in a callback of the stream it is about.
pub(crate) fn set_filter_state(name: &str, value: &[u8]) {
    let _ = hostcalls::set_property(vec![name], Some(value));
}

/// Returns an attribute of the stream; `None` if it has no value.
fn property(path: [&str; 2]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok()?
}

/// The numbers of fields in Envoy's `DeclarePropertyArguments`
/// (`source/extensions/common/wasm/ext/declare_property.proto`).
const PROPERTY_NAME: u8 = 1;
const PROPERTY_SCHEMA: u8 = 4;
/// The field `type`, 3, with `WasmType.Protobuf`.
const PROPERTY_TYPE_PROTOBUF: [u8; 2] = [3 << 3, 3];
const STRUCT: &[u8] = b"type.googleapis.com/google.protobuf.Struct";
