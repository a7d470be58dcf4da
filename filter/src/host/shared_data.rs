//! Values and queues that all VMs of one `vm_id` share.

use proxy_wasm::hostcalls;

/// Returns a value that all VMs of this `vm_id` share, with its version; `None` for a key that was
/// never written. The SDK returns no value for an empty one too, but only then a version.
pub(crate) fn shared(key: &str) -> Option<(Vec<u8>, u32)> {
    let (value, version) = hostcalls::get_shared_data(key).ok()?;
    Some((value.unwrap_or_default(), version?))
}

/// Replaces a shared value if it still has this version; `false` if it has another one.
pub(crate) fn replace_shared(key: &str, value: &[u8], version: u32) -> bool {
    // Version 0 would replace what is there whatever its version.
    version != 0 && hostcalls::set_shared_data(key, Some(value), Some(version)).is_ok()
}

/// Writes a shared value unconditionally.
pub(crate) fn set_shared(key: &str, value: &[u8]) {
    let _ = hostcalls::set_shared_data(key, Some(value), None);
}

/// Registers a queue whose messages wake the root context of the caller.
pub(crate) fn register_queue(name: &str) -> Option<u32> {
    hostcalls::register_shared_queue(name).ok()
}

/// Puts a message into a queue; one for a queue that is gone is dropped.
pub(crate) fn enqueue(queue: u32, message: &[u8]) {
    let _ = hostcalls::enqueue_shared_queue(queue, Some(message));
}

/// Removes and returns the next message of a queue; `None` if it is empty.
pub(crate) fn dequeue(queue: u32) -> Option<Vec<u8>> {
    hostcalls::dequeue_shared_queue(queue).ok()?
}
