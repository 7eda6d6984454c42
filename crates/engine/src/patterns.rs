//! Finds who asked for an event type by pattern, among any number of patterns.
//!
//! A trie by segment. At each segment of a name there are at most two ways on, the segment itself
//! and `*`, and a way ends where no pattern goes on. Patterns have a bounded number of segments
//! ([`EventTypePattern::SEGMENTS_MAX`]), so a look-up is bounded however many patterns there are
//! and whatever they say. Segments are numbered once, so that an edge is two numbers.

use std::collections::HashMap;

use domain::{EventType, EventTypePattern, PatternSegment};

/// The number of `*`; those of segments that stand for themselves follow.
const ONE: u32 = 0;
const ROOT: u32 = 0;

/// Patterns, each with the positions of those who asked for it.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    /// The numbers of segments that stand for themselves, from 1 on.
    segments: HashMap<Box<str>, u32>,
    /// From a node by the number of a segment to the next node; the root is 0.
    edges: HashMap<(u32, u32), u32>,
    /// What ends at a node.
    ends: HashMap<u32, Ends>,
}

/// Positions of those whose pattern ends at a node.
#[derive(Debug, Default)]
struct Ends {
    /// With the node's own segment.
    here: Vec<usize>,
    /// With `**` after it.
    rest: Vec<usize>,
}

impl Patterns {
    /// Adds one who asks for a pattern.
    pub(crate) fn insert(&mut self, pattern: &EventTypePattern, position: usize) {
        let mut node = ROOT;
        for segment in pattern.segments() {
            let number = match segment {
                PatternSegment::Rest => {
                    self.ends.entry(node).or_default().rest.push(position);
                    return;
                }
                PatternSegment::One => ONE,
                PatternSegment::Literal(text) => self.number(text),
            };
            let next = after(self.edges.len());
            node = *self.edges.entry((node, number)).or_insert(next);
        }
        self.ends.entry(node).or_default().here.push(position);
    }

    /// Adds the positions of all whose pattern matches, in no order; one can come twice.
    pub(crate) fn find(&self, event_type: &EventType, found: &mut Vec<usize>) {
        if self.ends.is_empty() {
            return;
        }
        let mut nodes = vec![ROOT];
        let mut next = Vec::new();
        for segment in event_type.segments() {
            let number = self.segments.get(segment);
            for &node in &nodes {
                // There is a segment more, so whoever asked for the rest gets it.
                if let Some(ends) = self.ends.get(&node) {
                    found.extend_from_slice(&ends.rest);
                }
                next.extend(self.edges.get(&(node, ONE)));
                next.extend(number.and_then(|&number| self.edges.get(&(node, number))));
            }
            nodes.clear();
            std::mem::swap(&mut nodes, &mut next);
            if nodes.is_empty() {
                return;
            }
        }
        for node in nodes {
            if let Some(ends) = self.ends.get(&node) {
                found.extend_from_slice(&ends.here);
            }
        }
    }

    fn number(&mut self, segment: &str) -> u32 {
        if let Some(&number) = self.segments.get(segment) {
            return number;
        }
        let number = after(self.segments.len());
        self.segments.insert(segment.into(), number);
        number
    }
}

/// The number after so many, of which 0 is taken.
fn after(count: usize) -> u32 {
    let number = u32::try_from(count + 1);
    number.expect("an application's endpoints have fewer than 2^32 segments in their filters")
}

#[cfg(test)]
mod tests;
