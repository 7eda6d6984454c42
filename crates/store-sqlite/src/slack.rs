//! What of a page of the file is in use, and zeros for the rest.
//!
//! SQLite moves cells when it rearranges a page and does not overwrite where they lay; a page that
//! served before keeps its end when little is written into it. This knows just enough of the file
//! format (<https://www.sqlite.org/fileformat2.html>) to find such places. A page that is not what
//! it expects stays as it is.

/// Where the header of page 1 lies: the file's own comes first.
const FILE_HEADER: usize = 100;

/// Content of a cell that goes on in pages of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow {
    /// The first of those pages.
    pub(crate) first: u32,
    /// Bytes in all of them.
    pub(crate) bytes: u64,
}

/// A page of a tree, with zeros wherever it holds nothing; `None` if it is no such page.
pub(crate) struct Cleaned {
    pub(crate) page: Vec<u8>,
    pub(crate) overflows: Vec<Overflow>,
}

/// Bytes of an index's cell, and of a table's that goes on elsewhere, that lie in a page at least.
pub(crate) const fn local_min(page: u64) -> u64 {
    (page - 12) * 32 / 255 - 23
}

/// Reads a page of this number and clears what is not in use.
pub(crate) fn clean(number: u32, page: &[u8]) -> Option<Cleaned> {
    let at = if number == 1 { FILE_HEADER } else { 0 };
    let kind = Kind::of(*page.get(at)?)?;
    let cells = usize::from(short(page, at + 3)?);
    let pointers = at + if kind.is_interior() { 12 } else { 8 };
    let mut used = vec![false; page.len()];
    used.get_mut(..pointers + 2 * cells)?.fill(true);
    let mut overflows = Vec::new();
    for cell in 0..cells {
        let start = usize::from(short(page, pointers + 2 * cell)?);
        let (size, overflow) = kind.cell(page, start)?;
        used.get_mut(start..start + size)?.fill(true);
        overflows.extend(overflow);
    }
    let mut free = usize::from(short(page, at + 1)?);
    while free != 0 {
        used.get_mut(free..free + 4)?.fill(true);
        let next = usize::from(short(page, free)?);
        // They lie in order; anything else is no list of free places.
        if next != 0 && next <= free {
            return None;
        }
        free = next;
    }
    let in_use = |(byte, used): (&u8, &bool)| if *used { *byte } else { 0 };
    Some(Cleaned {
        page: page.iter().zip(&used).map(in_use).collect(),
        overflows,
    })
}

/// Clears the end of the last page of what goes on elsewhere.
pub(crate) fn clean_tail(page: &[u8], bytes: u64) -> Option<Vec<u8>> {
    let mut cleaned = page.to_vec();
    cleaned.get_mut(4 + usize::try_from(bytes).ok()?..)?.fill(0);
    Some(cleaned)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    IndexInterior,
    TableInterior,
    IndexLeaf,
    TableLeaf,
}

impl Kind {
    const fn of(flag: u8) -> Option<Self> {
        match flag {
            2 => Some(Self::IndexInterior),
            5 => Some(Self::TableInterior),
            10 => Some(Self::IndexLeaf),
            13 => Some(Self::TableLeaf),
            _ => None,
        }
    }

    const fn is_interior(self) -> bool {
        matches!(self, Self::IndexInterior | Self::TableInterior)
    }

    /// Returns a cell's size and where it goes on.
    fn cell(self, page: &[u8], start: usize) -> Option<(usize, Option<Overflow>)> {
        let mut at = start + if self.is_interior() { 4 } else { 0 };
        let (first, length) = varint(page, at)?;
        at += length;
        if self == Self::TableInterior {
            return Some(((at - start).max(4), None));
        }
        if self == Self::TableLeaf {
            at += varint(page, at)?.1;
        }
        let local = self.local(page.len() as u64, first);
        at += usize::try_from(local).ok()?;
        if local == first {
            return Some(((at - start).max(4), None));
        }
        let next = page.get(at..at + 4)?.first_chunk()?;
        let overflow = Overflow {
            first: u32::from_be_bytes(*next),
            bytes: first - local,
        };
        Some((at + 4 - start, Some(overflow)))
    }

    /// Returns how much of a content lies in the page itself.
    const fn local(self, page: u64, bytes: u64) -> u64 {
        let most = match self {
            Self::TableLeaf => page - 35,
            _ => (page - 12) * 64 / 255 - 23,
        };
        if bytes <= most {
            return bytes;
        }
        let least = local_min(page);
        let some = least + (bytes - least) % (page - 4);
        if some <= most { some } else { least }
    }
}

fn short(page: &[u8], at: usize) -> Option<u16> {
    let bytes = page.get(at..at + 2)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

fn varint(page: &[u8], at: usize) -> Option<(u64, usize)> {
    let bytes = page.get(at..)?;
    let mut value = 0;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    Some((value << 8 | u64::from(*bytes.get(8)?), 9))
}
