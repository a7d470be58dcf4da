//! The hash slots of a cluster.

/// Returns the slot of a hash tag: its CRC-16/XMODEM modulo 16,384.
pub(crate) fn slot(tag: &str) -> u16 {
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 { shifted } else { shifted ^ 0x1021 }
        })
    });
    crc & 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_the_slot_that_the_servers_compute() {
        // The check value of CRC-16/XMODEM is 0x31c3; the others are a server's answers to `CLUSTER
        // KEYSLOT`.
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot(""), 0);
        for (tag, known) in [("a:c", 6_848), ("a:d", 10_791)] {
            assert_eq!(slot(tag), known, "{tag}");
        }
    }
}
