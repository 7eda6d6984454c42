//! What a request meets: a pure decision from options, path and what was seen before.

use std::time::Duration;

use http::StatusCode;

use crate::text::duration;

/// How a sink treats a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Behaviour {
    /// The status of its answers.
    pub status: StatusCode,
    /// The wait before the answer.
    pub latency: Duration,
    /// How many requests of a hundred are answered 500 instead, at random.
    pub fail_percent: f64,
    /// How many first requests of each delivery (`webhook-id` and path) are answered 500.
    pub fail_first: u32,
    /// Whether it answers at all, and how.
    pub manner: Manner,
}

/// The way in which a sink answers, or does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// An answer as it should be.
    #[default]
    Answer,
    /// The request is read, and no answer ever comes.
    Hang,
    /// The answer's body comes byte by byte, a second apart.
    Drip,
    /// The connection is reset once the request was read.
    Reset,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            status: StatusCode::OK,
            latency: Duration::ZERO,
            fail_percent: 0.0,
            fail_first: 0,
            manner: Manner::Answer,
        }
    }
}

impl Behaviour {
    /// The behaviour towards a request for `path`, whose commands win over the options.
    ///
    /// The commands are `/status/503`, `/latency/50ms`, `/fail/3` (the first three of each
    /// delivery), `/hang`, `/drip` and `/reset`. They may stand anywhere and follow each other;
    /// all other parts of the path mean nothing.
    #[must_use]
    pub fn for_path(mut self, path: &str) -> Self {
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let value = parts.peek().copied().unwrap_or_default();
            let understood = match part {
                "hang" => self.set_manner(Manner::Hang),
                "drip" => self.set_manner(Manner::Drip),
                "reset" => self.set_manner(Manner::Reset),
                "status" => value.parse().is_ok_and(|status| self.set_status(status)),
                "latency" => duration(value)
                    .map(|latency| self.latency = latency)
                    .is_ok(),
                "fail" => value.parse().map(|count| self.fail_first = count).is_ok(),
                _ => false,
            };
            if understood && matches!(part, "status" | "latency" | "fail") {
                parts.next();
            }
        }
        self
    }

    fn set_manner(&mut self, manner: Manner) -> bool {
        self.manner = manner;
        true
    }

    fn set_status(&mut self, status: u16) -> bool {
        // What is below 200 is not the end of an answer.
        let status = StatusCode::from_u16(status)
            .ok()
            .filter(|status| status.as_u16() >= 200);
        self.status = status.unwrap_or(self.status);
        status.is_some()
    }

    /// The status of the answer to the request that is the `seen`th of its delivery, counted from
    /// 1; nothing where none is answered. `chance` is in `0.0..1.0`.
    pub(super) fn answer(&self, seen: u32, chance: f64) -> Option<StatusCode> {
        if matches!(self.manner, Manner::Hang | Manner::Reset) {
            return None;
        }
        let unlucky = chance * 100.0 < self.fail_percent;
        if seen <= self.fail_first || unlucky {
            return Some(StatusCode::INTERNAL_SERVER_ERROR);
        }
        Some(self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Behaviour {
        Behaviour::default().for_path(path)
    }

    #[test]
    fn a_path_without_commands_changes_nothing() {
        for path in [
            "/",
            "/hooks/a",
            "/status",
            "/status/abc",
            "/status/100",
            "/fail/x",
            "/hanging",
        ] {
            assert_eq!(at(path), Behaviour::default(), "{path}");
        }
    }

    #[test]
    fn commands_stand_anywhere_and_add_up() {
        let behaviour = at("/shop/7/latency/50ms/status/503/hooks");

        assert_eq!(behaviour.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(behaviour.latency, Duration::from_millis(50));
        assert_eq!(at("/a/hang").manner, Manner::Hang);
        assert_eq!(at("/drip/a").manner, Manner::Drip);
        assert_eq!(at("/reset").manner, Manner::Reset);
        assert_eq!(at("/fail/3").fail_first, 3);
    }

    #[test]
    fn the_first_requests_of_a_delivery_fail_and_the_next_does_not() {
        let behaviour = at("/fail/2");
        let statuses = [1, 2, 3].map(|seen| behaviour.answer(seen, 0.99).unwrap().as_u16());

        assert_eq!(statuses, [500, 500, 200]);
    }

    #[test]
    fn a_share_of_requests_fails_by_chance() {
        let behaviour = Behaviour {
            fail_percent: 5.0,
            ..Behaviour::default()
        };

        assert_eq!(
            behaviour.answer(1, 0.049),
            Some(StatusCode::INTERNAL_SERVER_ERROR)
        );
        assert_eq!(behaviour.answer(1, 0.05), Some(StatusCode::OK));
        assert_eq!(Behaviour::default().answer(1, 0.0), Some(StatusCode::OK));
    }

    #[test]
    fn what_hangs_or_resets_has_no_status() {
        assert_eq!(at("/hang").answer(1, 0.5), None);
        assert_eq!(at("/reset/status/200").answer(1, 0.5), None);
    }
}
