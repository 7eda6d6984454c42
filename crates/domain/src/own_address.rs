//! Where this server itself is reached, so that it does not send to itself.
//!
//! A message that arrives at the API is published again, for ever: with a key in the endpoint's
//! headers that is all it takes. So the server's own addresses are refused like forbidden ones.

use std::net::{IpAddr, SocketAddr};

use crate::target_url::{TargetHost, TargetUrl};

/// The addresses of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnAddress {
    /// Where it listens; an unspecified address stands for all of this machine's.
    pub listen: SocketAddr,
    /// Its address as others see it.
    pub public: Option<TargetUrl>,
}

impl OwnAddress {
    /// Says whether a URL means this server, as far as that shows without looking up its name.
    pub fn is_meant_by(&self, url: &TargetUrl) -> bool {
        let name = match url.host() {
            TargetHost::Ip(ip) => return self.is_at(SocketAddr::new(*ip, url.port())),
            TargetHost::Name(name) => name.trim_end_matches('.'),
        };
        if crate::address::is_local_name(name) {
            let is_here = self.listen.ip().is_loopback() || self.is_everywhere();
            return is_here && url.port() == self.listen.port();
        }
        // On any port: a proxy before the server often answers on more than one.
        let public = self.public.as_ref().map(TargetUrl::host);
        matches!(public, Some(TargetHost::Name(own)) if own.trim_end_matches('.') == name)
    }

    /// Says whether a resolved address is this server's. Of addresses of this machine it knows
    /// loopback only; see [`OwnAddress::is_everywhere`].
    pub fn is_at(&self, address: SocketAddr) -> bool {
        let ip = address.ip();
        if let Some(public) = &self.public
            && *public.host() == TargetHost::Ip(ip)
            && public.port() == address.port()
        {
            return true;
        }
        let is_here = ip.is_loopback() || ip.is_unspecified();
        let is_heard = if self.is_everywhere() {
            is_here
        } else {
            // Connecting to the unspecified address is connecting to loopback.
            ip == self.listen.ip() || (ip.is_unspecified() && self.listen.ip().is_loopback())
        };
        is_heard && address.port() == self.listen.port()
    }

    /// Says whether it listens on every address of this machine. Which those are, the network
    /// has to be asked.
    pub const fn is_everywhere(&self) -> bool {
        match self.listen.ip() {
            IpAddr::V4(ip) => ip.is_unspecified(),
            IpAddr::V6(ip) => ip.is_unspecified(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(listen: &str, public: Option<&str>) -> OwnAddress {
        OwnAddress {
            listen: listen.parse().unwrap(),
            public: public.map(|url| TargetUrl::parse(url).unwrap()),
        }
    }

    fn meant<'a>(own: &OwnAddress, urls: &[&'a str]) -> Vec<&'a str> {
        let is_meant = |url: &&&str| own.is_meant_by(&TargetUrl::parse(url).unwrap());
        urls.iter().filter(is_meant).copied().collect()
    }

    #[test]
    fn a_listener_on_loopback_is_that_address_with_that_port() {
        let own = own("127.0.0.1:8411", None);

        let urls = [
            "http://127.0.0.1:8411/",
            "http://0.0.0.0:8411/",
            "http://localhost:8411/",
            "http://LOCALHOST.:8411/",
        ];
        assert_eq!(meant(&own, &urls), urls);
        let others = [
            "http://127.0.0.1:8412/",
            "http://127.0.0.2:8411/",
            "http://localhost/",
            "http://192.0.2.1:8411/",
            "https://example.com:8411/",
        ];
        assert_eq!(meant(&own, &others), [""; 0]);
    }

    #[test]
    fn a_listener_everywhere_is_all_of_loopback() {
        let own = own("0.0.0.0:8411", None);

        let urls = [
            "http://127.0.0.1:8411/",
            "http://127.9.9.9:8411/",
            "http://[::1]:8411/",
            "http://localhost:8411/",
        ];
        assert_eq!(meant(&own, &urls), urls);
        assert!(own.is_everywhere());
    }

    #[test]
    fn the_public_name_is_refused_on_any_port_and_a_public_address_on_its_own() {
        let named = own("10.0.0.5:8411", Some("https://hooks.example.com/posthaste"));
        let urls = [
            "https://hooks.example.com/api/v1/app",
            "https://HOOKS.example.com.:8443/",
        ];
        assert_eq!(meant(&named, &urls), urls);
        let others = ["https://example.com/", "https://x.hooks.example.com/"];
        assert_eq!(meant(&named, &others), [""; 0]);

        let numbered = own("10.0.0.5:8411", Some("http://192.0.2.1:81"));
        let urls = ["http://192.0.2.1:81/", "http://192.0.2.1:82/"];
        assert_eq!(meant(&numbered, &urls), [urls[0]]);
    }
}
