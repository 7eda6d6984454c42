//! TCP connections to vetted addresses.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use domain::ErrorClass;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::failure::Failure;
use crate::route::Route;

/// Addresses of one name that are tried; a name can have hundreds.
const ADDRESSES_TRIED_MAX: usize = 8;

/// How long one address may hang while there are others.
const PATIENCE: Duration = Duration::from_secs(3);

/// Connects to the first of the addresses that answers, in order, by `deadline` at the latest,
/// and says which one it was.
///
/// An address that hangs is given up in time for those that follow, so one dead address of
/// several costs a delay and not the attempt.
pub(crate) async fn connect(
    route: &Route,
    addresses: Vec<IpAddr>,
    port: u16,
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let mut candidates = in_order(addresses);
    let mut failures: Vec<(SocketAddr, Failure)> = Vec::new();
    while let Some(ip) = candidates.pop_front() {
        let address = SocketAddr::new(ip, port);
        let give_up = share_of(deadline, Instant::now(), candidates.len());
        let failure = match timeout_at(give_up, route.open(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::new(ErrorClass::ConnectTimeout, "no answer in time"),
        };
        failures.push((address, failure));
    }
    Err(summary(&failures))
}

/// IPv4 and IPv6 in turns, so that a family without a route costs one try.
///
/// IPv4 goes first: where a server has half-working IPv6, everything would wait for it.
fn in_order(addresses: Vec<IpAddr>) -> VecDeque<IpAddr> {
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv4);
    let mut ordered = VecDeque::with_capacity(v4.len() + v6.len());
    let (mut v4, mut v6) = (v4.into_iter(), v6.into_iter());
    loop {
        match (v4.next(), v6.next()) {
            (None, None) => break,
            (first, second) => ordered.extend(first.into_iter().chain(second)),
        }
    }
    ordered.truncate(ADDRESSES_TRIED_MAX);
    ordered
}

/// Says until when one address is waited for, with `others` more to try.
fn share_of(deadline: Instant, now: Instant, others: usize) -> Instant {
    if others == 0 {
        return deadline;
    }
    let shares = u32::try_from(others + 1).unwrap_or(u32::MAX);
    now + (deadline.saturating_duration_since(now) / shares).min(PATIENCE)
}

/// Takes the class that tells most: a refusal is an answer, a hang is not.
fn summary(failures: &[(SocketAddr, Failure)]) -> Failure {
    let rank = |class| match class {
        ErrorClass::ConnectionRefused => 2,
        ErrorClass::ConnectTimeout => 1,
        _ => 0,
    };
    let class = failures
        .iter()
        .map(|(_, failure)| failure.class)
        .max_by_key(|class| rank(*class))
        .unwrap_or(ErrorClass::ConnectFailed);
    let mut detail = String::new();
    for (address, failure) in failures {
        let separator = if detail.is_empty() { "" } else { "; " };
        write!(detail, "{separator}{address}: {}", failure.detail)
            .expect("writing to a string never fails");
    }
    Failure::new(class, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_ipv4_goes_first() {
        let ordered = in_order(ips(&[
            "2001:db8::1",
            "2001:db8::2",
            "192.0.2.1",
            "2001:db8::3",
        ]));
        assert_eq!(
            ordered,
            ips(&["192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8::3"])
        );
    }

    #[test]
    fn of_many_addresses_a_few_are_tried() {
        let many = vec![IpAddr::from([192, 0, 2, 1]); 1_000];
        assert_eq!(in_order(many).len(), ADDRESSES_TRIED_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_is_shared_among_the_addresses_that_are_left() {
        let now = Instant::now();
        let deadline = now + Duration::from_secs(4);
        assert_eq!(share_of(deadline, now, 0), deadline);
        assert_eq!(share_of(deadline, now, 3), now + Duration::from_secs(1));
        let late = now + Duration::from_mins(1);
        assert_eq!(share_of(late, now, 1), now + PATIENCE);
        assert_eq!(share_of(now, now + PATIENCE, 1), now + PATIENCE);
    }

    #[test]
    fn a_refusal_tells_more_than_a_hang_and_the_detail_has_all() {
        let address = |last| SocketAddr::from(([192, 0, 2, last], 443));
        let failures = [
            (
                address(1),
                Failure::new(ErrorClass::ConnectTimeout, "no answer in time"),
            ),
            (
                address(2),
                Failure::new(ErrorClass::ConnectionRefused, "refused"),
            ),
        ];

        let summary = summary(&failures);

        assert_eq!(summary.class, ErrorClass::ConnectionRefused);
        assert_eq!(
            summary.detail,
            "192.0.2.1:443: no answer in time; 192.0.2.2:443: refused"
        );
    }
}
