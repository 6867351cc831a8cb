//! A number that stands for content, to notice when it changed.

/// FNV-1a over 64 bits, because it must stay the same across versions of Rust and needs no strength
/// against intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// The number of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(0xcbf2_9ce4_8422_2325).and(bytes)
    }

    /// The same with more content.
    #[must_use]
    pub fn and(self, bytes: &[u8]) -> Self {
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.iter().fold(self.0, hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_hold() {
        assert_eq!(Fingerprint::of(b"").0, 0xcbf2_9ce4_8422_2325);
        assert_eq!(Fingerprint::of(b"foobar").0, 0x8594_4171_f739_67e8);
        assert_eq!(Fingerprint::of(b"foo").and(b"bar"), Fingerprint::of(b"foobar"));
    }
}
