//! How many connections there may be, in all and from one peer.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

/// Counts connections and refuses beyond the limits.
#[derive(Clone, Debug)]
pub(super) struct Admission(Arc<Mutex<Counts>>);

#[derive(Debug)]
struct Counts {
    all: usize,
    by_peer: HashMap<IpAddr, usize>,
    all_max: usize,
    peer_max: usize,
}

/// One admitted connection; counted until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Admission,
    peer: IpAddr,
}

impl Admission {
    pub(super) fn new(all_max: usize, peer_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Counts {
            all: 0,
            by_peer: HashMap::new(),
            all_max,
            peer_max,
        })))
    }

    /// Counts a connection in, unless that would be one too many.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Admitted> {
        let peer = peer_of(address);
        let mut guard = self.0.lock().expect("no panic while it is held");
        let counts = &mut *guard;
        if counts.all >= counts.all_max {
            return None;
        }
        let of_peer = counts.by_peer.entry(peer).or_default();
        if *of_peer >= counts.peer_max {
            return None;
        }
        *of_peer += 1;
        counts.all += 1;
        drop(guard);
        Some(Admitted {
            admission: self.clone(),
            peer,
        })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.admission.0.lock().expect("no panic while it is held");
        counts.all -= 1;
        if let Some(of_peer) = counts.by_peer.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                counts.by_peer.remove(&self.peer);
            }
        }
    }
}

/// Returns whom an address counts for: one host owns at least 64 bits of IPv6 addresses.
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Returns 80 % of how many files this process may have open; the rest is for the store, for
/// destinations and for whatever else opens files.
pub(super) fn connections_by_file_limit() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    // No limit is a limit all the same: memory.
    let files = limit.current.unwrap_or(1 << 20).min(1 << 20);
    usize::try_from(files * 4 / 5).unwrap_or(usize::MAX).max(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_peer_and_all_peers_together_have_a_limit_that_closing_frees() {
        let admission = Admission::new(3, 2);
        let first = admission.admit(address("192.0.2.1")).expect("room");
        let _second = admission.admit(address("192.0.2.1")).expect("room");

        assert!(admission.admit(address("192.0.2.1")).is_none(), "its limit");
        let _other = admission.admit(address("192.0.2.2")).expect("room");
        assert!(admission.admit(address("192.0.2.3")).is_none(), "the limit");
        drop(first);
        assert!(admission.admit(address("192.0.2.1")).is_some());
    }

    #[test]
    fn an_ipv6_network_is_one_peer_and_a_mapped_address_is_its_ipv4_one() {
        assert_eq!(
            peer_of(address("2001:db8::1")),
            peer_of(address("2001:db8::ffff:1"))
        );
        assert_ne!(
            peer_of(address("2001:db8::1")),
            peer_of(address("2001:db8:0:1::1"))
        );
        assert_eq!(
            peer_of(address("::ffff:192.0.2.1")),
            peer_of(address("192.0.2.1"))
        );
    }
}
