//! Whose turn it is: round robin by application, then by destination.

use std::collections::{HashMap, HashSet, VecDeque};

use domain::{ApplicationKey, EndpointKey};

/// Lanes that could start an attempt, in the order in which they get to.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    applications: VecDeque<ApplicationKey>,
    lanes: HashMap<ApplicationKey, VecDeque<EndpointKey>>,
    /// Applications whose lanes stay in line while it is not their turn.
    resting: HashSet<ApplicationKey>,
}

impl Ring {
    /// Puts a lane at the end of its application's turn. The caller sees to it that no lane
    /// stands here twice.
    pub(crate) fn push(&mut self, application: ApplicationKey, lane: EndpointKey) {
        let lanes = self.lanes.entry(application).or_default();
        if lanes.is_empty() && !self.resting.contains(&application) {
            self.applications.push_back(application);
        }
        lanes.push_back(lane);
    }

    /// Returns the application whose turn is next.
    pub(crate) fn next_application(&self) -> Option<ApplicationKey> {
        self.applications.front().copied()
    }

    /// Lets the next application rest until it is resumed.
    pub(crate) fn rest(&mut self) {
        if let Some(application) = self.applications.pop_front() {
            self.resting.insert(application);
        }
    }

    /// Gives an application that rested its turns again.
    pub(crate) fn resume(&mut self, application: ApplicationKey) {
        if self.resting.remove(&application) && self.lanes.contains_key(&application) {
            self.applications.push_back(application);
        }
    }

    /// Takes the next application's next lane.
    pub(crate) fn pop(&mut self) -> Option<EndpointKey> {
        let application = self.applications.pop_front()?;
        let lanes = self.lanes.get_mut(&application)?;
        let lane = lanes.pop_front();
        if lanes.is_empty() {
            self.lanes.remove(&application);
        } else {
            self.applications.push_back(application);
        }
        lane
    }

    /// Says whether it is nobody's turn; some may rest.
    pub(crate) fn is_empty(&self) -> bool {
        self.applications.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_with_many_lanes_gets_no_more_turns_than_one_with_few() {
        let mut ring = Ring::default();
        for lane in 0..4 {
            ring.push(ApplicationKey(1), EndpointKey(lane));
        }
        ring.push(ApplicationKey(2), EndpointKey(100));
        ring.push(ApplicationKey(2), EndpointKey(101));

        let order: Vec<i64> = std::iter::from_fn(|| ring.pop())
            .map(|lane| lane.0)
            .collect();

        assert_eq!(order, [0, 100, 1, 101, 2, 3]);
        assert!(ring.is_empty());
    }

    #[test]
    fn an_application_that_rests_keeps_the_order_of_its_lanes() {
        let mut ring = Ring::default();
        for lane in 0..3 {
            ring.push(ApplicationKey(1), EndpointKey(lane));
        }
        ring.push(ApplicationKey(2), EndpointKey(100));

        let first = ring.pop();
        let next = ring.next_application();
        ring.rest();
        ring.rest();
        ring.push(ApplicationKey(1), EndpointKey(3));
        let none = ring.pop();
        ring.resume(ApplicationKey(1));
        let rest: Vec<_> = std::iter::from_fn(|| ring.pop()).collect();

        assert_eq!(
            (first, next),
            (Some(EndpointKey(0)), Some(ApplicationKey(2)))
        );
        assert_eq!(none, None);
        assert_eq!(rest, [EndpointKey(1), EndpointKey(2), EndpointKey(3)]);
    }
}
