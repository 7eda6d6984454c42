//! Idle connections, kept by the lane that they belong to, under one bound for all.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use domain::EndpointKey;
use env::Connection;

use crate::EngineConfig;

/// Idle connections of all lanes.
pub(crate) struct Connections {
    max: usize,
    timeout: Duration,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    by_lane: HashMap<EndpointKey, VecDeque<Parked>>,
    /// Every parking in order of time; those that were taken out since are skipped.
    order: VecDeque<(u64, Duration, EndpointKey)>,
    count: usize,
    next: u64,
}

struct Parked {
    number: u64,
    connection: Box<dyn Connection>,
}

impl Connections {
    pub(crate) fn new(config: &EngineConfig) -> Self {
        Self {
            max: config.idle_connections_max,
            timeout: config.idle_connection_timeout,
            idle: Mutex::default(),
        }
    }

    /// Takes the connection of a lane that was used last.
    pub(crate) fn take(&self, lane: EndpointKey) -> Option<Box<dyn Connection>> {
        let mut idle = self.idle.lock().expect("no panic while it is held");
        let parked = idle.by_lane.get_mut(&lane)?.pop_back()?;
        idle.count -= 1;
        Some(parked.connection)
    }

    /// Keeps a connection of a lane for its next attempt.
    pub(crate) fn park(&self, lane: EndpointKey, connection: Box<dyn Connection>, now: Duration) {
        let mut idle = self.idle.lock().expect("no panic while it is held");
        let number = idle.next;
        idle.next += 1;
        idle.count += 1;
        idle.order.push_back((number, now, lane));
        idle.by_lane
            .entry(lane)
            .or_default()
            .push_back(Parked { number, connection });
        while idle.count > self.max {
            idle.close_oldest();
        }
        idle.forget_taken();
    }

    /// Closes what has been idle for too long.
    pub(crate) fn sweep(&self, now: Duration) {
        let mut idle = self.idle.lock().expect("no panic while it is held");
        while idle
            .order
            .front()
            .is_some_and(|(_, since, _)| now >= *since + self.timeout)
        {
            idle.close_oldest();
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.idle.lock().expect("no panic while it is held").count
    }
}

impl Idle {
    /// Drops parkings whose connection was taken out since, once they are the most of `order`.
    fn forget_taken(&mut self) {
        const FEW: usize = 1_024;
        if self.order.len() <= 2 * self.count + FEW {
            return;
        }
        let Self { by_lane, order, .. } = self;
        by_lane.retain(|_, parked| !parked.is_empty());
        order.retain(|(number, _, lane)| {
            let parked = by_lane.get(lane);
            parked.is_some_and(|all| all.binary_search_by_key(number, |one| one.number).is_ok())
        });
    }

    fn close_oldest(&mut self) {
        let Some((number, _, lane)) = self.order.pop_front() else {
            return;
        };
        let Some(parked) = self.by_lane.get_mut(&lane) else {
            return;
        };
        // Parked at the back and taken from the back, so the oldest is at the front.
        if parked.front().is_some_and(|parked| parked.number == number) {
            parked.pop_front();
            self.count -= 1;
        }
        if parked.is_empty() {
            self.by_lane.remove(&lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    struct Named(u16);

    #[async_trait::async_trait]
    impl Connection for Named {
        fn is_usable(&mut self, _: tokio::time::Instant) -> bool {
            true
        }

        async fn send(
            &mut self,
            _: env::OutboundRequest,
            _: env::ResponseLimits,
            _: tokio::time::Instant,
            _: &mut domain::Phases,
        ) -> Result<env::OutboundResponse, env::EgressError> {
            unreachable!("nothing is sent here")
        }

        fn peer(&self) -> Option<SocketAddr> {
            Some(SocketAddr::from(([127, 0, 0, 1], self.0)))
        }
    }

    fn connections(max: usize) -> Connections {
        let config = EngineConfig {
            idle_connections_max: max,
            ..EngineConfig::default()
        };
        Connections::new(&config)
    }

    fn name(connection: Option<Box<dyn Connection>>) -> Option<u16> {
        connection
            .and_then(|connection| connection.peer())
            .map(|peer| peer.port())
    }

    #[test]
    fn a_lane_gets_back_its_own_connection_and_the_last_used_one_first() {
        let connections = connections(10);
        for (lane, number) in [(1, 11), (1, 12), (2, 21)] {
            connections.park(EndpointKey(lane), Box::new(Named(number)), Duration::ZERO);
        }

        let taken = [1, 1, 1, 2].map(|lane| name(connections.take(EndpointKey(lane))));

        assert_eq!(taken, [Some(12), Some(11), None, Some(21)]);
        assert_eq!(connections.count(), 0);
    }

    #[test]
    fn a_connection_in_steady_use_leaves_no_trail_of_earlier_parkings() {
        let connections = connections(10);
        connections.park(EndpointKey(2), Box::new(Named(21)), Duration::ZERO);
        for _ in 0..100_000 {
            connections.park(EndpointKey(1), Box::new(Named(11)), Duration::ZERO);
            connections.take(EndpointKey(1));
        }

        let trail = connections.idle.lock().expect("not poisoned").order.len();

        assert!(trail <= 2_000, "{trail} entries for one connection");
        assert_eq!(
            name(connections.take(EndpointKey(2))),
            Some(21),
            "what is parked stays"
        );
    }

    #[test]
    fn beyond_the_bound_the_longest_idle_one_is_closed() {
        let connections = connections(2);
        for (lane, number) in [(1, 11), (2, 21), (3, 31)] {
            connections.park(EndpointKey(lane), Box::new(Named(number)), Duration::ZERO);
        }

        assert_eq!(connections.count(), 2);
        assert_eq!(name(connections.take(EndpointKey(1))), None);
        assert_eq!(name(connections.take(EndpointKey(3))), Some(31));
    }

    #[test]
    fn what_was_idle_for_too_long_is_closed_and_the_rest_is_kept() {
        let connections = connections(10);
        connections.park(EndpointKey(1), Box::new(Named(11)), Duration::ZERO);
        let _ = connections.take(EndpointKey(1));
        connections.park(EndpointKey(1), Box::new(Named(12)), Duration::from_secs(1));
        connections.park(EndpointKey(1), Box::new(Named(13)), Duration::from_secs(40));

        connections.sweep(Duration::from_mins(1));

        assert_eq!(connections.count(), 1);
        assert_eq!(name(connections.take(EndpointKey(1))), Some(13));
    }
}
