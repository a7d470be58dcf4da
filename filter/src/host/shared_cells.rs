//! The memory store's cells in Envoy's shared data, which all workers of this Envoy see.
//!
//! The host cannot create a key only where there is none: writing with version 0 overwrites. So
//! every cell is created while the configuration is loaded, which happens on the main thread before
//! any worker has seen it, and a write always names a version. Nor does it delete a key for the
//! SDK, whose `remove_shared_data` writes an empty value. No key is ever removed here: a record is
//! deleted by writing its cell without it.

use portcullis_gateway::ports::Clock;
use portcullis_gateway::store::memory::{CellError, Cells, cell_count};

use super::clock::now_ms;
use super::shared_data::{replace_shared, set_shared, shared};

/// The cells.
pub(crate) struct SharedCells;

impl SharedCells {
    /// Creates the cells that a budget needs and that do not exist yet.
    pub(crate) fn create(budget: u64) -> Self {
        let count = cell_count(budget);
        let created = numbered(*b"portcullis/cells/######", count);
        let created = text(&created);
        if shared(created).is_none() {
            for cell in 0..count {
                let key = key(cell);
                let key = text(&key);
                if shared(key).is_none() {
                    set_shared(key, &[]);
                }
            }
            set_shared(created, &[]);
        }
        Self
    }
}

impl Cells for SharedCells {
    fn read(&self, cell: u32) -> Result<(Vec<u8>, u32), CellError> {
        shared(text(&key(cell))).ok_or(CellError)
    }

    fn write(&self, cell: u32, bytes: &[u8], token: u32) -> Result<bool, CellError> {
        Ok(replace_shared(text(&key(cell)), bytes, token))
    }
}

/// Envoy's clock.
pub(crate) struct HostClock;

impl Clock for HostClock {
    fn now_ms(&self) -> u64 {
        now_ms()
    }
}

fn key(cell: u32) -> [u8; 22] {
    numbered(*b"portcullis/cell/######", cell)
}

/// A key with a number for its last six characters. A cell's is made for each look at it.
fn numbered<const N: usize>(mut key: [u8; N], number: u32) -> [u8; N] {
    if let Some(digits) = key.last_chunk_mut::<6>() {
        let six_bits = |place: u32| (number.wrapping_shr(place) & 63) as u8;
        *digits = [30, 24, 18, 12, 6, 0].map(|place| six_bits(place).wrapping_add(b'0'));
    }
    key
}

/// A key as text, which all of them are.
fn text(key: &[u8]) -> &str {
    std::str::from_utf8(key).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_a_key_of_its_own_that_is_text() {
        assert_eq!(text(&key(0)), "portcullis/cell/000000");
        assert_eq!(text(&key(1)), "portcullis/cell/000001");
        assert_eq!(text(&key(63)), "portcullis/cell/00000o");
        assert_eq!(text(&key(64)), "portcullis/cell/000010");
        assert_eq!(text(&key(u32::MAX)), "portcullis/cell/3ooooo");
    }
}
