//! The memory store's cells in Envoy's shared data, which all workers of this Envoy see.
//!
//! The host cannot create a key only where there is none: writing with version 0 overwrites. So
//! every cell is created while the configuration is loaded, which happens on the main thread before
//! any worker has seen it, and a write always names a version.

use portcullis_gateway::ports::Clock;
use portcullis_gateway::store::memory::{CellError, Cells, cell_count};

use crate::host;

/// The cells.
pub(crate) struct SharedCells;

impl SharedCells {
    /// Creates the cells that a budget needs and that do not exist yet.
    pub(crate) fn create(budget: u64) -> Self {
        let count = cell_count(budget);
        let created = numbered(*b"portcullis/cells/####", count);
        if host::shared(&created).is_none() {
            for cell in 0..count {
                let key = key(cell);
                if host::shared(&key).is_none() {
                    host::set_shared(&key, &[]);
                }
            }
            host::set_shared(&created, &[]);
        }
        Self
    }
}

impl Cells for SharedCells {
    fn read(&self, cell: u32) -> Result<(Vec<u8>, u32), CellError> {
        host::shared(&key(cell)).ok_or(CellError)
    }

    fn write(&self, cell: u32, bytes: &[u8], token: u32) -> Result<bool, CellError> {
        Ok(host::replace_shared(&key(cell), bytes, token))
    }
}

/// Envoy's clock.
pub(crate) struct HostClock;

impl Clock for HostClock {
    fn now_ms(&self) -> u64 {
        host::now_ms()
    }
}

fn key(cell: u32) -> [u8; 20] {
    numbered(*b"portcullis/cell/####", cell)
}

/// A key with a number for its last four bytes. Keys are bytes, and a cell's is made for each look
/// at it.
fn numbered<const N: usize>(mut key: [u8; N], number: u32) -> [u8; N] {
    if let Some(end) = key.last_chunk_mut() {
        *end = number.to_be_bytes();
    }
    key
}
