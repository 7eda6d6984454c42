//! Who sent a request that came through proxies.
//!
//! Every proxy adds the address that it saw to the end of `X-Forwarded-For`, and whoever sent the
//! request can have written anything before that. So the list is read from its end, for as long as
//! the address so far is one of the operator's own proxies, and no further.

use std::net::{IpAddr, SocketAddr};

use crate::address::Cidr;

/// The networks of the operator's proxies. By default there are none, and nobody is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub Vec<Cidr>);

impl TrustedProxies {
    /// Returns the address of the client: the last one that is no trusted proxy.
    ///
    /// `forwarded_for` has the values of the `X-Forwarded-For` headers, in the order in which they
    /// came. `None` when a trusted proxy names something that is no address: then nobody knows.
    ///
    /// IPv4 addresses in the form of IPv6 addresses are returned as IPv4 addresses.
    pub fn client<'a>(
        &self,
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    ) -> Option<IpAddr> {
        let mut client = peer.to_canonical();
        for entry in forwarded_for.rev().flat_map(|value| value.rsplit(',')) {
            if !self.contains(client) {
                break;
            }
            client = address(entry.trim())?;
        }
        Some(client)
    }

    fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(ip))
    }
}

/// Reads an address as proxies write it: alone, with a port, or an IPv6 one in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let ip = bare.unwrap_or(text).parse().ok();
    let ip = ip.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1";
    const CLIENT: &str = "203.0.113.7";

    fn client(peer: &str, forwarded_for: &[&str]) -> Option<String> {
        let trusted = ["10.0.0.0/8", "2001:db8:1::/48"];
        let trusted = TrustedProxies(trusted.iter().map(|text| text.parse().unwrap()).collect());
        let client = trusted.client(peer.parse().unwrap(), forwarded_for.iter().copied());
        client.map(|ip| ip.to_string())
    }

    #[test]
    fn nobody_is_believed_who_is_no_trusted_proxy() {
        assert_eq!(client(CLIENT, &["198.51.100.1"]).as_deref(), Some(CLIENT));
        let none = TrustedProxies::default();
        let believed = none.client(PROXY.parse().unwrap(), [CLIENT].into_iter());
        assert_eq!(believed, Some(PROXY.parse().unwrap()));
    }

    #[test]
    fn a_trusted_proxy_names_the_client() {
        assert_eq!(client(PROXY, &[CLIENT]).as_deref(), Some(CLIENT));
        assert_eq!(
            client("::ffff:10.0.0.1", &[CLIENT]).as_deref(),
            Some(CLIENT)
        );
        assert_eq!(client("2001:db8:1::1", &[CLIENT]).as_deref(), Some(CLIENT));
    }

    #[test]
    fn a_trusted_proxy_that_says_nothing_is_itself_the_client() {
        assert_eq!(client(PROXY, &[]).as_deref(), Some(PROXY));
    }

    #[test]
    fn what_the_client_wrote_itself_is_not_believed() {
        let forged = ["192.0.2.1, 203.0.113.7"];
        assert_eq!(client(PROXY, &forged).as_deref(), Some(CLIENT));
        let in_headers_of_its_own = ["192.0.2.1", "nonsense", CLIENT];
        let found = client(PROXY, &in_headers_of_its_own);
        assert_eq!(found.as_deref(), Some(CLIENT));
        // Even an address of a trusted proxy, once a stranger has said it.
        let forged = ["192.0.2.1, 10.9.9.9, 203.0.113.7"];
        assert_eq!(client(PROXY, &forged).as_deref(), Some(CLIENT));
    }

    #[test]
    fn a_chain_of_trusted_proxies_is_followed_to_its_client() {
        let chain = ["203.0.113.7,10.1.1.1", "10.2.2.2 , 10.3.3.3"];
        assert_eq!(client(PROXY, &chain).as_deref(), Some(CLIENT));
    }

    #[test]
    fn addresses_may_have_ports_and_brackets() {
        for text in ["203.0.113.7:4711", " 203.0.113.7 ", "::ffff:203.0.113.7"] {
            assert_eq!(client(PROXY, &[text]).as_deref(), Some(CLIENT), "{text}");
        }
        for text in ["2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:443"] {
            assert_eq!(
                client(PROXY, &[text]).as_deref(),
                Some("2001:db8::7"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_address_leaves_the_client_unknown() {
        for text in [
            "",
            "unknown",
            "_hidden",
            "203.0.113.7, ",
            "203.0.113",
            "[203.0.113.7",
        ] {
            assert_eq!(client(PROXY, &[text]), None, "{text}");
        }
    }
}
