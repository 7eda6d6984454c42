//! The rows A1 to A39 are the address table that posthaste promises to keep: each spelling that
//! has been used to get past an address filter, with its verdict. A40 (names that resolve to
//! forbidden addresses) is tested where names are resolved.

use proptest::prelude::*;

use super::*;

/// As open as it gets without allowing any address that is not public.
fn policy() -> AddressPolicy {
    AddressPolicy {
        allow_http: true,
        ..AddressPolicy::default()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn allowing(networks: &[&str]) -> AddressPolicy {
    AddressPolicy {
        allow: networks.iter().map(|text| text.parse().unwrap()).collect(),
        ..policy()
    }
}

/// What saving an endpoint with this URL says.
fn allows(policy: &AddressPolicy, url: &str) -> bool {
    TargetUrl::parse(url).is_ok_and(|url| policy.check_url(&url).is_ok())
}

#[track_caller]
fn refuses_urls(urls: &[&str]) {
    for url in urls {
        assert!(!allows(&policy(), url), "{url}");
    }
}

/// Refuses addresses in a URL and as an answer of the resolver.
#[track_caller]
fn refuses_addresses(addresses: &[&str]) {
    for address in addresses {
        assert!(!allows(&policy(), &url_of(address)), "{address} in a URL");
        assert!(policy().check_ip(ip(address)).is_err(), "{address}");
    }
}

#[track_caller]
fn allows_addresses(addresses: &[&str]) {
    for address in addresses {
        assert!(allows(&policy(), &url_of(address)), "{address} in a URL");
        assert_eq!(policy().check_ip(ip(address)), Ok(()), "{address}");
    }
}

fn url_of(address: &str) -> String {
    match ip(address) {
        IpAddr::V4(_) => format!("http://{address}/"),
        IpAddr::V6(_) => format!("http://[{address}]/"),
    }
}

#[test]
fn a1_short_forms_of_loopback_are_refused() {
    refuses_urls(&[
        "http://127.0.0.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://127.0.0.1./",
    ]);
}

#[test]
fn a2_decimal_loopback_is_refused() {
    refuses_urls(&["http://2130706433/"]);
}

#[test]
fn a3_hexadecimal_loopback_is_refused() {
    refuses_urls(&[
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0x7f.0x0.0x0.0x1/",
        "http://127.0.0.0x1/",
    ]);
}

#[test]
fn a4_octal_loopback_is_refused() {
    refuses_urls(&[
        "http://0177.0.0.1/",
        "http://017700000001/",
        "http://0177.1/",
    ]);
}

#[test]
fn a5_leading_zeros_that_some_read_as_octal_are_refused() {
    refuses_urls(&["http://00127.0.0.1/"]);
}

#[test]
fn a6_the_unspecified_address_is_refused() {
    refuses_urls(&["http://0/", "http://0.0.0.0/", "http://0x/", "http://0x0/"]);
}

#[test]
fn a7_digits_and_full_stops_of_other_scripts_are_refused() {
    refuses_urls(&[
        "http://①②⑦.⓪.⓪.①/",
        "http://127。0。0。1/",
        "http://127.0.0.1。/",
        "http://１６９.254.169.254/",
    ]);
}

#[test]
fn a8_percent_encoded_loopback_is_refused() {
    refuses_urls(&["http://%31%32%37.0.0.1/"]);
}

#[test]
fn a9_localhost_is_refused_by_name_in_every_spelling() {
    for url in [
        "http://LOCALHOST/",
        "http://ｌocalhost/",
        "http://localhost./",
        "http://loc\u{ad}alhost/",
        "http://local\u{200b}host/",
        "http://%6c%6f%63%61%6c%68%6f%73%74/",
        "http://tenant.localhost/",
        "http://localhost.localdomain/",
    ] {
        let url = TargetUrl::parse(url).unwrap();
        assert_eq!(policy().check_url(&url), Err(Refusal::LocalName), "{url:?}");
    }
}

#[test]
fn a10_the_metadata_address_is_refused_in_every_spelling() {
    refuses_urls(&[
        "http://169.254.169.254/",
        "http://2852039166/",
        "http://0xA9FEA9FE/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
        "http://169。254。169。254/",
    ]);
}

#[test]
fn a11_what_is_almost_an_address_is_no_url() {
    for url in [
        "http://425.510.425.510/",
        "http://256.256.256.256/",
        "http://4294967296/",
        "http://1.2.3.4.5/",
    ] {
        assert!(TargetUrl::parse(url).is_err(), "{url}");
    }
}

#[test]
fn a12_metadata_services_of_other_clouds_are_refused() {
    refuses_addresses(&[
        "169.254.170.2",
        "169.254.169.123",
        "100.100.100.200",
        "192.0.0.192",
    ]);
}

#[test]
fn a13_the_wire_server_at_a_public_address_is_refused() {
    refuses_addresses(&["168.63.129.16"]);
}

#[test]
fn a14_private_networks_are_refused() {
    refuses_addresses(&[
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "100.127.255.255",
    ]);
}

#[test]
fn a15_the_public_neighbours_of_private_networks_are_allowed() {
    allows_addresses(&[
        "172.32.0.1",
        "172.15.255.255",
        "100.63.255.255",
        "100.128.0.1",
        "192.167.1.1",
        "11.0.0.1",
        "8.8.8.8",
    ]);
}

#[test]
fn a16_reserved_ipv4_networks_are_refused() {
    refuses_addresses(&[
        "192.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "192.88.99.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
    ]);
}

#[test]
fn a17_anycast_sinks_are_refused() {
    refuses_addresses(&[
        "192.31.196.1",
        "192.52.193.1",
        "192.175.48.1",
        "2620:4f:8000::1",
    ]);
}

#[test]
fn a18_ipv6_loopback_and_unspecified_are_refused() {
    refuses_urls(&[
        "http://[::1]/",
        "http://[::]/",
        "http://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    ]);
}

#[test]
fn a19_ipv4_compatible_addresses_are_refused() {
    refuses_urls(&[
        "http://[::127.0.0.1]/",
        "http://[::169.254.169.254]/",
        "http://[::2]/",
    ]);
}

#[test]
fn a20_mapped_addresses_are_refused() {
    refuses_urls(&[
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:ffff:127.0.0.1]/",
        "http://[::FFFF:A9FE:A9FE]/",
    ]);
}

#[test]
fn a21_mapped_public_addresses_are_refused_as_redundant() {
    refuses_urls(&["http://[::ffff:8.8.8.8]/"]);
}

#[test]
fn a22_translated_addresses_are_refused() {
    refuses_urls(&[
        "http://[::ffff:0:127.0.0.1]/",
        "http://[::ffff:0:a9fe:a9fe]/",
    ]);
}

#[test]
fn a23_isatap_addresses_are_refused() {
    refuses_urls(&[
        "http://[::5efe:127.0.0.1]/",
        "http://[2000::5efe:10.0.0.1]/",
    ]);
    refuses_addresses(&["2000::200:5efe:a00:1"]);
    allows_addresses(&["2000::300:5efe:a00:1"]);
}

#[test]
fn a24_nat64_addresses_are_refused() {
    let urls = [
        "http://[64:ff9b::127.0.0.1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[64:ff9b:1::a9fe:a9fe]/",
    ];
    refuses_urls(&urls);
    let nat64 = AddressPolicy {
        nat64: true,
        ..policy()
    };
    for url in urls {
        assert!(!allows(&nat64, url), "{url}");
    }
}

#[test]
fn a25_nat64_of_a_public_address_is_allowed_by_its_option_only() {
    let nat64 = AddressPolicy {
        nat64: true,
        ..policy()
    };

    assert!(!allows(&policy(), "http://[64:ff9b::8.8.8.8]/"));
    assert!(allows(&nat64, "http://[64:ff9b::8.8.8.8]/"));
}

#[test]
fn a26_6to4_addresses_are_refused() {
    refuses_urls(&[
        "http://[2002:7f00:1::]/",
        "http://[2002:a9fe:a9fe::]/",
        "http://[2002:808:808::1]/",
    ]);
}

#[test]
fn a27_teredo_and_protocol_assignments_are_refused() {
    refuses_urls(&[
        "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
        "http://[2001::1]/",
        "http://[2001:2::1]/",
        "http://[2001:10::1]/",
    ]);
    refuses_addresses(&["2001:1ff:ffff::1"]);
}

#[test]
fn a28_special_ipv6_networks_are_refused() {
    refuses_addresses(&[
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "100::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "febf::1",
        "ff02::1",
        "ff0e::1",
    ]);
}

#[test]
fn a29_site_local_addresses_are_refused() {
    refuses_addresses(&["fec0::1", "feff::1"]);
}

#[test]
fn a30_ipv6_outside_of_global_unicast_is_refused() {
    refuses_addresses(&["4000::1", "fe00::1", "100:0:0:1::1"]);
}

#[test]
fn a31_global_unicast_is_allowed() {
    allows_addresses(&[
        "2606:4700:4700::1111",
        "2001:4860:4860::8888",
        "2001:200::1",
        "3fff:1000::1",
    ]);
}

#[test]
fn a32_brackets_with_anything_but_an_ipv6_address_are_no_url() {
    for url in [
        "http://[::1%25lo]/",
        "http://[::1%lo]/",
        "http://[fe80::1%25eth0]/",
        "http://[127.0.0.1]/",
        "http://[v1.fe80::a]/",
        "http://[::1].example.com/",
        "http://::1/",
    ] {
        assert!(TargetUrl::parse(url).is_err(), "{url}");
    }
}

#[test]
fn a33_hosts_hidden_behind_another_name_are_refused() {
    refuses_urls(&[
        "http://example.com@127.0.0.1/",
        "https://example.com:443@169.254.169.254/",
        "http://127.0.0.1#@example.com/",
        "http://127.0.0.1\\@example.com/",
        "http://127.0.0.1?@example.com/",
    ]);
}

#[test]
fn a34_user_information_is_refused() {
    refuses_urls(&["http://user:pass@example.com/"]);
}

#[test]
fn a35_texts_that_only_lenient_parsers_take_are_refused() {
    refuses_urls(&[
        "http:127.0.0.1",
        "http:/127.0.0.1/",
        "http:////127.0.0.1/",
        "http:\\\\127.0.0.1\\",
        "  http://127.0.0.1/  ",
        "http:///x",
    ]);
    assert!(allows(&policy(), "https://Example.com"));
}

#[test]
fn a36_other_schemes_are_refused() {
    refuses_urls(&[
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_X",
        "data:,x",
        "javascript:alert(1)",
        "unix:/var/run/x.sock",
        "http+unix://%2fvar%2frun/",
    ]);
}

#[test]
fn a37_ports_that_are_none_are_refused() {
    refuses_urls(&["http://127.0.0.1:0/", "http://8.8.8.8:0/"]);
    refuses_urls(&["http://8.8.8.8:65536/", "http://8.8.8.8:80:80/"]);
}

#[test]
fn a38_control_characters_are_refused() {
    refuses_urls(&["http://exa\tmple.com/", "http://example.com\r\nX: y/"]);
    for control in 0..0x20_u8 {
        let url = format!("http://example.com/{}", char::from(control));
        assert!(!allows(&policy(), &url), "{url:?}");
    }
}

#[test]
fn a39_names_with_bad_labels_are_refused() {
    let host_of_256_bytes = format!("http://{}/", "abcdefg.".repeat(32));
    refuses_urls(&["http://a..b/", "http://-a.com/", &host_of_256_bytes]);
}

#[test]
fn plain_http_is_refused_unless_allowed() {
    let url = TargetUrl::parse("http://8.8.8.8/").unwrap();
    assert_eq!(
        AddressPolicy::default().check_url(&url),
        Err(Refusal::PlainHttp)
    );
    assert_eq!(policy().check_url(&url), Ok(()));
    assert!(allows(&AddressPolicy::default(), "https://8.8.8.8/"));
}

#[test]
fn a_listed_network_works_and_its_neighbours_do_not() {
    let policy = allowing(&["10.0.0.0/8", "fd12:3456::/32"]);

    assert!(allows(&policy, "http://10.255.0.1/"));
    assert!(allows(&policy, "http://[fd12:3456::1]/"));
    assert!(!allows(&policy, "http://192.168.0.1/"));
    assert!(!allows(&policy, "http://[fd12:3457::1]/"));
    assert!(!allows(&policy, "http://[::ffff:10.0.0.1]/"));
}

#[test]
fn a_metadata_address_is_allowed_only_when_it_is_listed_itself() {
    for (listed, address) in [
        ("169.254.0.0/16", "169.254.169.254"),
        ("169.254.169.254", "169.254.169.254"),
        ("100.100.100.200/32", "100.100.100.200"),
        ("fd00:ec2::254", "fd00:ec2::254"),
    ] {
        assert_eq!(
            allowing(&[listed]).check_ip(ip(address)),
            Ok(()),
            "{listed}"
        );
    }
    for (listed, address) in [
        ("169.0.0.0/8", "169.254.169.254"),
        ("0.0.0.0/0", "169.254.169.254"),
        ("169.254.169.253", "169.254.169.254"),
        ("100.64.0.0/10", "100.100.100.200"),
        ("fc00::/7", "fd00:ec2::254"),
        ("::/0", "::ffff:169.254.169.254"),
        ("::/0", "64:ff9b::a9fe:a9fe"),
        ("::/0", "2002:a9fe:a9fe::"),
    ] {
        assert!(
            allowing(&[listed]).check_ip(ip(address)).is_err(),
            "{listed} {address}"
        );
    }
}

#[test]
fn allowing_private_networks_opens_them_and_nothing_else() {
    let policy = AddressPolicy {
        allow_private: true,
        ..policy()
    };

    for url in [
        "http://localhost:8080/",
        "http://127.0.0.1/",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://[::1]/",
        "http://[fd12::1]/",
        "http://[fe80::1]/",
    ] {
        assert!(allows(&policy, url), "{url}");
    }
    for url in [
        "http://169.254.169.254/",
        "http://100.100.100.200/",
        "http://168.63.129.16/",
        "http://[fd00:ec2::254]/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://[fd00::5efe:a9fe:a9fe]/",
        "http://2130706433/",
    ] {
        assert!(!allows(&policy, url), "{url}");
    }
}

#[test]
fn a_network_is_written_without_bits_after_its_prefix() {
    let parse = |text: &str| text.parse::<Cidr>();

    assert_eq!(parse("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
    assert_eq!(parse("::/0").unwrap().to_string(), "::/0");
    assert_eq!(
        parse("10.1.2.3/8").unwrap_err().to_string(),
        "has bits set after its prefix; did you mean 10.0.0.0/8?"
    );
    assert_eq!(
        parse("10.0.0.0/33"),
        Err(InvalidCidr::PrefixTooLong { max: 32 })
    );
    assert_eq!(
        parse("fd00::/129"),
        Err(InvalidCidr::PrefixTooLong { max: 128 })
    );
    for text in [
        "",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "10.0.0/8",
        "a/8",
        "10.0.0.0/8/8",
    ] {
        assert_eq!(parse(text), Err(InvalidCidr::Malformed), "{text}");
    }
}

#[test]
fn a_refusal_names_the_address_and_what_it_is() {
    let refusal = policy().check_ip(ip("10.0.0.1")).unwrap_err();
    assert_eq!(refusal.to_string(), "the address 10.0.0.1 is private");
}

/// Every spelling of an IPv4 address that URL parsers read, the plain one first.
fn spellings(ip: Ipv4Addr) -> [String; 6] {
    let [a, b, c, d] = ip.octets();
    let bits = ip.to_bits();
    [
        ip.to_string(),
        bits.to_string(),
        format!("{bits:#x}"),
        format!("0{bits:o}"),
        format!("{a:#x}.{b:#o}.{}", u16::from_be_bytes([c, d])).replace("0o", "0"),
        format!("[::ffff:{ip}]"),
    ]
}

fn any_ipv4() -> impl Strategy<Value = Ipv4Addr> {
    // Uniform numbers would hardly ever hit what is special.
    let special = prop_oneof![
        Just(0x7f00_0000_u32),
        Just(0x0a00_0000),
        Just(0xa9fe_0000),
        Just(0xac10_0000),
        Just(0xc0a8_0000),
        Just(0x6440_0000),
        Just(0xc000_0000),
        Just(0),
    ];
    prop_oneof![
        any::<u32>(),
        (special, any::<u16>()).prop_map(|(network, low)| network | u32::from(low)),
    ]
    .prop_map(Ipv4Addr::from_bits)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_address_that_starts_with_a_zero_byte_is_refused(bits in any::<u128>()) {
        let ip = Ipv6Addr::from_bits(bits >> 8);
        prop_assert!(policy().check_ip(ip.into()).is_err());
    }

    #[test]
    fn every_6to4_address_is_refused(bits in any::<u128>()) {
        let ip = Ipv6Addr::from_bits((0x2002 << 112) | (bits >> 16));
        prop_assert!(policy().check_ip(ip.into()).is_err());
    }

    #[test]
    fn a_nat64_address_has_the_verdict_of_the_address_in_it(ip in any_ipv4()) {
        let policy = AddressPolicy { nat64: true, ..allowing(&["10.0.0.0/8"]) };
        let nat64 = Ipv6Addr::from_bits((0x0064_ff9b << 96) | u128::from(ip.to_bits()));
        prop_assert_eq!(policy.check_ip(nat64.into()), policy.check_ip(ip.into()));
    }

    /// However it is spelled, a parser that reads an address at all reads the same one, so the
    /// verdict on it is the same; and no spelling but the plain one is taken in a URL.
    #[test]
    fn no_spelling_of_an_address_gets_past_its_verdict(ip in any_ipv4()) {
        let verdict = policy().check_ip(ip.into());
        let [plain, others @ .., mapped] = spellings(ip);

        prop_assert_eq!(allows(&policy(), &format!("http://{plain}/")), verdict.is_ok());
        for other in others {
            let url = format!("http://{other}/");
            let read = url::Url::parse(&url).unwrap();
            let Some(url::Host::Ipv4(read)) = read.host() else { panic!("{url}") };
            prop_assert_eq!(policy().check_ip(read.into()), verdict);
            prop_assert!(!allows(&policy(), &url) || other == plain, "{}", url);
        }
        let mapped = format!("http://{mapped}/");
        prop_assert!(!allows(&policy(), &mapped));
    }

    #[test]
    fn ipv6_outside_of_global_unicast_is_refused(bits in any::<u128>()) {
        let bits = if bits >> 125 == 1 { bits | 1 << 127 } else { bits };
        prop_assert!(policy().check_ip(Ipv6Addr::from_bits(bits).into()).is_err());
    }

    #[test]
    fn a_parsed_url_stays_the_same_when_it_is_parsed_again(
        text in "https?://[a-z0-9.%:\\[\\]]{1,20}(/[ -~]{0,20})?",
    ) {
        if let Ok(url) = TargetUrl::parse(&text) {
            let scheme = if url.scheme() == UrlScheme::Http { "http" } else { "https" };
            let normal = format!("{scheme}://{}{}", url.host_header(), url.path_and_query());
            let again = TargetUrl::parse(&normal).unwrap();
            prop_assert!(again.same_origin(&url));
            prop_assert_eq!(again.path_and_query(), url.path_and_query());
        }
    }
}
