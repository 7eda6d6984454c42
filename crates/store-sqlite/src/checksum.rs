//! Checksums of what is sent to endpoints. SQLite has none of its own, so a bit that changes on
//! the disk would be signed and delivered like any other.

/// CRC-32 (ISO-HDLC) as the column holds it: signed, so that it takes four bytes there.
pub(crate) fn of(bytes: &[u8]) -> i32 {
    crc32fast::hash(bytes).cast_signed()
}

/// Says whether bytes are what was stored; those from before there were checksums are taken as
/// such.
pub(crate) fn fits(bytes: &[u8], stored: Option<i64>) -> bool {
    stored.is_none_or(|stored| stored == i64::from(of(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_shows() {
        // The check value of this CRC.
        assert_eq!(of(b"123456789"), 0xcbf4_3926_u32.cast_signed());
        let stored = Some(i64::from(of(b"123456789")));

        assert!(fits(b"123456789", stored));
        assert!(!fits(b"123456788", stored));
        assert!(fits(b"anything", None));
    }
}
