//! Which addresses may be called.
//!
//! Destinations are chosen by tenants, so an address is judged by what it *is*: whatever the
//! registries of special-purpose addresses set apart is refused, and so is all of IPv6 outside of
//! what is given out as global unicast. A list of known bad addresses would always lack one.
//!
//! The operator can open this up: all private networks at once for a trusted installation, or
//! single networks. The addresses where clouds hand out credentials stay closed through both,
//! and open only when they are listed themselves.
//!
//! Names are judged twice: at save time by what can be said of them, and at every connect by all
//! the addresses that they have then.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::own_address::OwnAddress;
use crate::target_url::{TargetHost, TargetUrl, UrlScheme};

#[cfg(test)]
mod tests;

/// What destinations the operator allows. The default allows `https://` to public addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Allows this machine and private networks, the names of this machine included.
    pub allow_private: bool,
    /// Allows networks that are not public, one by one.
    ///
    /// A network where a cloud's metadata service answers is allowed by an entry that lies
    /// within that network, and not by one that merely contains it.
    pub allow: Vec<Cidr>,
    /// Lets an address of the NAT64 prefix `64:ff9b::/96` be judged by the IPv4 address in it.
    pub nat64: bool,
    /// Allows `http://`.
    pub allow_http: bool,
    /// This server itself, unless it may be sent to.
    pub own: Option<OwnAddress>,
}

/// Why a destination may not be called. For operators: it can name addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// This server itself.
    #[error("the address is this server's own, and messages would go round in a circle")]
    Own,
    /// `http://`, which is not allowed.
    #[error("http:// is not allowed here, only https://")]
    PlainHttp,
    /// A name that always means this machine.
    #[error("the host name means this machine")]
    LocalName,
    /// An address that is not public.
    #[error("the address {ip} is {kind}")]
    Address {
        /// The address.
        ip: IpAddr,
        /// What it is.
        kind: AddressKind,
    },
}

/// What an address is for, as far as it matters for calling it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// Anybody's: the only kind that is allowed by default.
    Public,
    /// Of this machine or a private network.
    Private,
    /// Where clouds and link-local services answer, credentials among them.
    Metadata,
    /// Set apart: documentation, multicast, benchmarks, or not given out at all.
    Reserved,
    /// An IPv4 address in the form of an IPv6 address: a second spelling, never needed.
    Embedded,
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Metadata => "link-local or of a metadata service",
            Self::Reserved => "reserved",
            Self::Embedded => "an IPv4 address in an IPv6 form",
        })
    }
}

impl AddressPolicy {
    /// Judges one address, as resolved or as connected to.
    pub fn check_ip(&self, ip: IpAddr) -> Result<(), Refusal> {
        if self.nat64
            && let IpAddr::V6(v6) = ip
            && let Some(embedded) = nat64_embedded(v6)
        {
            return self.check_ip(embedded.into());
        }
        let kind = AddressKind::of(ip);
        let allowed = match kind {
            AddressKind::Public => true,
            AddressKind::Private => self.allow_private || self.lists(ip),
            AddressKind::Reserved => self.lists(ip),
            AddressKind::Metadata => self.lists_metadata(ip),
            AddressKind::Embedded => false,
        };
        if allowed {
            Ok(())
        } else {
            Err(Refusal::Address { ip, kind })
        }
    }

    /// Judges one address with its port, as resolved or as connected to.
    pub fn check_socket(&self, address: SocketAddr) -> Result<(), Refusal> {
        self.check_ip(address.ip())?;
        if self.own.as_ref().is_some_and(|own| own.is_at(address)) {
            return Err(Refusal::Own);
        }
        Ok(())
    }

    /// Judges what can be said of a URL without looking up its name.
    pub fn check_url(&self, url: &TargetUrl) -> Result<(), Refusal> {
        if url.scheme() == UrlScheme::Http && !self.allow_http {
            return Err(Refusal::PlainHttp);
        }
        if self.own.as_ref().is_some_and(|own| own.is_meant_by(url)) {
            return Err(Refusal::Own);
        }
        match url.host() {
            TargetHost::Ip(ip) => self.check_ip(*ip),
            TargetHost::Name(name) if is_local_name(name) && !self.allow_private => {
                Err(Refusal::LocalName)
            }
            TargetHost::Name(_) => Ok(()),
        }
    }

    fn lists(&self, ip: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(ip))
    }

    /// `10.0.0.0/8` or `0.0.0.0/0` in the list is about networks, and must not open a metadata
    /// service that happens to be inside.
    fn lists_metadata(&self, ip: IpAddr) -> bool {
        METADATA
            .iter()
            .filter(|metadata| metadata.contains(ip))
            .any(|metadata| {
                self.allow
                    .iter()
                    .any(|network| network.contains(ip) && network.is_within(metadata))
            })
    }
}

impl AddressKind {
    /// Says what an address is.
    pub fn of(ip: IpAddr) -> Self {
        if METADATA.iter().any(|network| network.contains(ip)) {
            return Self::Metadata;
        }
        match ip {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        let has = |networks: &[Cidr]| networks.iter().any(|network| network.contains(ip.into()));
        if has(&PRIVATE_V4) {
            Self::Private
        } else if has(&RESERVED_V4) {
            Self::Reserved
        } else {
            Self::Public
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        let has = |networks: &[Cidr]| networks.iter().any(|network| network.contains(ip.into()));
        if is_isatap(ip) {
            Self::Embedded
        } else if has(&PRIVATE_V6) {
            Self::Private
        } else if ip.is_unspecified() {
            Self::Reserved
        } else if has(&EMBEDDING_V6) {
            Self::Embedded
        } else if has(&RESERVED_V6) || !GLOBAL_UNICAST.contains(ip.into()) {
            Self::Reserved
        } else {
            Self::Public
        }
    }
}

/// An IP network, such as `10.0.0.0/8`; an address alone is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    network: IpAddr,
    prefix_len: u8,
}

/// Why a text is no [`Cidr`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCidr {
    /// Not an address, or an address and a prefix length.
    #[error("is not an IP network such as 10.0.0.0/8")]
    Malformed,
    /// Longer than an address has bits.
    #[error("has a prefix length over {max}")]
    PrefixTooLong {
        /// Bits of such an address.
        max: u8,
    },
    /// Bits after the prefix, which are ignored by some and meant by others.
    #[error("has bits set after its prefix; did you mean {network}?")]
    HostBits {
        /// The network without those bits.
        network: Cidr,
    },
}

impl Cidr {
    const fn v4(a: u8, b: u8, c: u8, d: u8, prefix_len: u8) -> Self {
        let network = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
        Self {
            network,
            prefix_len,
        }
    }

    const fn v6(network: Ipv6Addr, prefix_len: u8) -> Self {
        let network = IpAddr::V6(network);
        Self {
            network,
            prefix_len,
        }
    }

    /// Says whether the address lies in the network. An IPv4 address never lies in an IPv6 one.
    pub fn contains(&self, ip: IpAddr) -> bool {
        masked(ip, self.prefix_len) == self.network
    }

    /// Says whether the whole network lies in the other one.
    fn is_within(&self, other: &Self) -> bool {
        self.prefix_len >= other.prefix_len && other.contains(self.network)
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let (address, prefix_len) = match text.split_once('/') {
            Some((address, digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => (
                address,
                Some(digits.parse().map_err(|_| InvalidCidr::Malformed)?),
            ),
            Some(_) => return Err(InvalidCidr::Malformed),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| InvalidCidr::Malformed)?;
        let max = if ip.is_ipv4() { 32 } else { 128 };
        let prefix_len = prefix_len.unwrap_or(max);
        if prefix_len > max {
            return Err(InvalidCidr::PrefixTooLong { max });
        }
        let network = Self {
            network: masked(ip, prefix_len),
            prefix_len,
        };
        if network.network == ip {
            Ok(network)
        } else {
            Err(InvalidCidr::HostBits { network })
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_len)
    }
}

/// Clears the bits after the prefix.
fn masked(ip: IpAddr, prefix_len: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix_len.into()));
            Ipv4Addr::from_bits(ip.to_bits() & mask.unwrap_or(0)).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix_len.into()));
            Ipv6Addr::from_bits(ip.to_bits() & mask.unwrap_or(0)).into()
        }
    }
}

/// Where clouds hand out credentials. All of IPv4's link-local network, as new services appear in
/// it; the others are single addresses, most of them inside of private networks.
const METADATA: [Cidr; 8] = [
    Cidr::v4(169, 254, 0, 0, 16),
    Cidr::v4(100, 100, 100, 200, 32), // Alibaba Cloud
    Cidr::v4(192, 0, 0, 192, 32),     // Oracle Cloud
    Cidr::v4(168, 63, 129, 16, 32),   // Azure
    Cidr::v6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32), // Amazon EC2
    Cidr::v6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128), // Google Cloud
    Cidr::v6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42), 128), // Scaleway
    Cidr::v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128), // OpenStack
];

const PRIVATE_V4: [Cidr; 5] = [
    Cidr::v4(10, 0, 0, 0, 8),
    Cidr::v4(100, 64, 0, 0, 10), // carriers' and overlay networks' shared addresses
    Cidr::v4(127, 0, 0, 0, 8),
    Cidr::v4(172, 16, 0, 0, 12),
    Cidr::v4(192, 168, 0, 0, 16),
];

/// The rest of IANA's registry of special IPv4 addresses, and multicast.
const RESERVED_V4: [Cidr; 12] = [
    Cidr::v4(0, 0, 0, 0, 8), // this network; 0.0.0.0 connects to this machine
    Cidr::v4(192, 0, 0, 0, 24),
    Cidr::v4(192, 0, 2, 0, 24),    // documentation
    Cidr::v4(192, 31, 196, 0, 24), // AS112
    Cidr::v4(192, 52, 193, 0, 24), // AMT
    Cidr::v4(192, 88, 99, 0, 24),  // 6to4 relays
    Cidr::v4(192, 175, 48, 0, 24), // AS112
    Cidr::v4(198, 18, 0, 0, 15),   // benchmarks
    Cidr::v4(198, 51, 100, 0, 24), // documentation
    Cidr::v4(203, 0, 113, 0, 24),  // documentation
    Cidr::v4(224, 0, 0, 0, 4),     // multicast
    Cidr::v4(240, 0, 0, 0, 4),     // not given out, and broadcast
];

const GLOBAL_UNICAST: Cidr = Cidr::v6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

const PRIVATE_V6: [Cidr; 3] = [
    Cidr::v6(Ipv6Addr::LOCALHOST, 128),
    Cidr::v6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    Cidr::v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
];

/// Forms that carry an IPv4 address: compatible, mapped, translated (SIIT) and NAT64 in `::/8`,
/// Teredo in `2001::/32`, 6to4 in `2002::/16`. ISATAP is told by its interface identifier.
const EMBEDDING_V6: [Cidr; 3] = [
    Cidr::v6(Ipv6Addr::UNSPECIFIED, 8),
    Cidr::v6(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32),
    Cidr::v6(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
];

/// What is set apart inside of global unicast.
const RESERVED_V6: [Cidr; 4] = [
    Cidr::v6(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // IETF protocol assignments
    Cidr::v6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    Cidr::v6(Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48), // AS112
    Cidr::v6(Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

const NAT64: Cidr = Cidr::v6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

fn nat64_embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    NAT64.contains(ip.into()).then(|| {
        let [.., a, b, c, d] = ip.octets();
        Ipv4Addr::new(a, b, c, d)
    })
}

/// ISATAP puts an IPv4 address behind the identifier `0:5efe`, or `200:5efe`, of any network.
fn is_isatap(ip: Ipv6Addr) -> bool {
    matches!(ip.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _])
}

/// Names that resolvers answer with this machine's addresses whatever the DNS says.
pub(crate) fn is_local_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last_label = name.rsplit('.').next().unwrap_or_default();
    matches!(last_label, "localhost" | "localdomain" | "localhost6")
        || matches!(name, "ip6-localhost" | "ip6-loopback")
}
