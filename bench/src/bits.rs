//! A set of small numbers at one bit each.

/// The sequence numbers that arrived at one endpoint, counted from a base.
#[derive(Clone, Debug, Default)]
pub struct BitSet {
    words: Vec<u64>,
    len: u64,
}

impl BitSet {
    /// Adds `index`; says whether it was new. Memory grows with the largest index only.
    pub fn insert(&mut self, index: u64) -> bool {
        let word = usize::try_from(index / 64).expect("a run has fewer than 2^64 messages");
        if word >= self.words.len() {
            self.words.resize((word + 1).next_power_of_two(), 0);
        }
        let bit = 1u64 << (index % 64);
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += u64::from(new);
        new
    }

    /// Returns how many numbers are in the set.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Says whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_new_once_and_counted_once() {
        let mut set = BitSet::default();

        let news: Vec<bool> = [0, 63, 64, 1_000_000, 64].map(|n| set.insert(n)).to_vec();

        assert_eq!(news, [true, true, true, true, false]);
        assert_eq!(set.len(), 4);
    }
}
