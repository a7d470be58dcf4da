//! The one host call that the SDK does not make for us: all headers of a map, in place. The SDK
//! copies each name and value into memory of its own, and panics on a name that is not UTF-8
//! (decision 15).
#![expect(unsafe_code, reason = "a host call takes pointers into this module's memory")]

use std::ptr::null_mut;

use proxy_wasm::types::MapType;

/// Returns a header map as the host serializes it; `None` if the map is not there now. An empty map
/// may be no bytes at all.
pub(super) fn header_pairs(map: MapType) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host writes an address and a size to our variables during the call only.
    let status = unsafe { proxy_get_header_map_pairs(map, &raw mut data, &raw mut size) };
    match status {
        0 if data.is_null() => Some(Vec::new()),
        // SAFETY: the memory is from the SDK's `proxy_on_memory_allocate`, a boxed slice of `size`
        // bytes; the host has filled all of it, and no other pointer to it is left.
        0 => Some(unsafe { Vec::from_raw_parts(data, size, size) }),
        _ => None,
    }
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> u32;
}
