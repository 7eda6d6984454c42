//! Whose turn it is: round robin by application, then by destination.

use std::collections::{HashMap, VecDeque};

use domain::{ApplicationKey, EndpointKey};

/// Lanes that could start an attempt, in the order in which they get to.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    applications: VecDeque<ApplicationKey>,
    lanes: HashMap<ApplicationKey, VecDeque<EndpointKey>>,
}

impl Ring {
    /// Puts a lane at the end of its application's turn. The caller sees to it that no lane
    /// stands here twice.
    pub(crate) fn push(&mut self, application: ApplicationKey, lane: EndpointKey) {
        let lanes = self.lanes.entry(application).or_default();
        if lanes.is_empty() {
            self.applications.push_back(application);
        }
        lanes.push_back(lane);
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
}
