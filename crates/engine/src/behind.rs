//! Who may claim next: lanes with leftovers in the store, in the order of their keys, round and
//! round, so that none waits for others that come back again and again.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use domain::EndpointKey;

/// Lanes that stand in line for a claim.
#[derive(Debug)]
pub(crate) struct Behind {
    lanes: BTreeSet<EndpointKey>,
    /// Those that may claim only while half of the memory is free.
    much: BTreeSet<EndpointKey>,
    /// Whose turn it was last.
    last: EndpointKey,
}

/// Which lanes memory has room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Lanes that hold little.
    pub(crate) little: bool,
    /// Lanes that hold much, or may hold it for long.
    pub(crate) much: bool,
}

impl Behind {
    pub(crate) const fn new() -> Self {
        Self {
            lanes: BTreeSet::new(),
            much: BTreeSet::new(),
            last: EndpointKey(i64::MIN),
        }
    }

    /// Puts a lane in line, once.
    pub(crate) fn insert(&mut self, lane: EndpointKey, takes_much: bool) {
        if takes_much {
            self.much.insert(lane);
        } else {
            self.lanes.insert(lane);
        }
    }

    /// Takes the lane whose turn it is.
    pub(crate) fn next(&mut self, room: Room) -> Option<EndpointKey> {
        let lines = [(&self.lanes, room.little), (&self.much, room.much)];
        let open = || {
            lines
                .iter()
                .filter(|(_, open)| *open)
                .map(|(line, _)| *line)
        };
        let later = (Excluded(self.last), Unbounded);
        let next = open()
            .filter_map(|line| line.range(later).next())
            .min()
            .or_else(|| open().filter_map(BTreeSet::first).min());
        let next = *next?;
        self.last = next;
        self.lanes.remove(&next);
        self.much.remove(&next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Room = Room {
        little: true,
        much: true,
    };

    #[test]
    fn a_lane_that_comes_back_at_once_lets_the_others_go_first() {
        let mut behind = Behind::new();
        for lane in [1, 2, 3] {
            behind.insert(EndpointKey(lane), lane == 2);
        }

        let mut order = Vec::new();
        for _ in 0..6 {
            let lane = behind.next(ALL).expect("some wait");
            order.push(lane.0);
            behind.insert(lane, false);
        }

        assert_eq!(order, [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn lanes_that_take_much_stay_in_line_while_there_is_room_for_little() {
        let mut behind = Behind::new();
        behind.insert(EndpointKey(1), true);
        behind.insert(EndpointKey(2), false);
        let little = Room {
            little: true,
            much: false,
        };

        let next = [behind.next(little), behind.next(little), behind.next(ALL)];

        assert_eq!(next, [Some(EndpointKey(2)), None, Some(EndpointKey(1))]);
    }
}
