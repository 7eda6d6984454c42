//! Which addresses a connection goes to, and which it never goes to.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use domain::{AddressPolicy, ErrorClass, Phases};
use env::Egress;
use posthaste_egress::{Client, Config, Resolve, ResolveError, SharedPolicy};
use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use crate::support::{
    AMPLE, BRIEF, LATE, Names, OK, Receiver, client_with, config, connect, loopback_only, post,
    send, url,
};

/// Resolves `hooks.example` so, and says how connecting failed.
async fn failure_with(answer: &[&str]) -> env::EgressError {
    let client = client_with(Names::with("hooks.example", &[answer]));
    let connected = connect(&client, &url("http://hooks.example:1/")).await;
    connected.err().expect("no connection")
}

#[tokio::test]
async fn a40_names_of_forbidden_addresses_are_refused_when_they_are_resolved() {
    for (name, answer) in [
        ("metadata.google.internal", "169.254.169.254"),
        ("169.254.169.254.nip.io", "169.254.169.254"),
        ("7f000001.nip.io", "127.0.0.2"),
        ("localtest.me", "::1"),
    ] {
        let client = client_with(Names::with(name, &[&[answer]]));

        let connected = connect(&client, &url(&format!("http://{name}/"))).await;

        let error = connected.err().unwrap();
        assert_eq!(error.class, ErrorClass::DestinationNotAllowed, "{name}");
        assert!(!error.wrote);
    }
}

#[tokio::test]
async fn b1_a_name_that_is_rebound_never_leads_inside() {
    // To this client 127.0.0.1 is public, and 127.0.0.2 is inside.
    let receiver = Receiver::answering(OK).await;
    let inside = receiver.twin("127.0.0.2").await;
    let answers = [["127.0.0.1"].as_slice(), &["127.0.0.2"]].repeat(500);
    let client = client_with(Names::with("rebound.example", &answers));
    let target = receiver.named("rebound.example");

    for turn in 0..1_000 {
        let connected = connect(&client, &target).await;
        match connected.map(|connection| connection.peer().unwrap()) {
            Ok(peer) => assert_eq!(peer, receiver.address),
            Err(error) => assert_eq!(error.class, ErrorClass::DestinationNotAllowed, "{turn}"),
        }
    }

    assert_eq!((receiver.connections(), inside.connections()), (500, 0));
}

#[tokio::test]
async fn b2_one_forbidden_address_refuses_the_whole_name() {
    for answer in [
        ["93.184.216.34", "127.0.0.2"],
        ["127.0.0.2", "93.184.216.34"],
    ] {
        let error = failure_with(&answer).await;
        assert_eq!(error.class, ErrorClass::DestinationNotAllowed);
        assert_eq!(error.detail, "the address 127.0.0.2 is private");
    }
}

#[tokio::test]
async fn b3_a_forbidden_ipv6_address_refuses_the_whole_name() {
    for forbidden in [
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "fd00:ec2::254",
        "::1",
    ] {
        let error = failure_with(&["93.184.216.34", forbidden]).await;
        assert_eq!(
            error.class,
            ErrorClass::DestinationNotAllowed,
            "{forbidden}"
        );
    }
}

#[tokio::test]
async fn a_forbidden_address_in_the_url_is_refused_without_a_connection() {
    let receiver = Receiver::answering(OK).await;
    let policy = AddressPolicy {
        allow_http: true,
        ..AddressPolicy::default()
    };
    let client = Client::new(Config {
        policy: SharedPolicy::new(policy),
        ..config()
    })
    .unwrap();

    let error = connect(&client, &receiver.url()).await.err().unwrap();

    assert_eq!(error.class, ErrorClass::DestinationNotAllowed);
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn plain_http_is_refused_unless_allowed() {
    let receiver = Receiver::answering(OK).await;
    let policy = AddressPolicy {
        allow_http: false,
        ..loopback_only()
    };
    let client = Client::new(Config {
        policy: SharedPolicy::new(policy),
        ..config()
    })
    .unwrap();

    let error = connect(&client, &receiver.url()).await.err().unwrap();

    assert_eq!(error.class, ErrorClass::DestinationNotAllowed);
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn b6_a_kept_connection_stays_where_it_was_when_the_name_moves() {
    let receiver = Receiver::answering(OK).await;
    let names = Names::with("moving.example", &[&["127.0.0.1"], &["10.0.0.5"]]);
    let client = client_with(names);
    let target = receiver.named("moving.example");
    let mut connection = connect(&client, &target).await.unwrap();
    send(&mut connection, &target).await.unwrap();

    assert!(connection.is_usable(Instant::now()));
    send(&mut connection, &target).await.unwrap();
    assert_eq!(connection.peer().unwrap(), receiver.address);

    let error = connect(&client, &target).await.err().unwrap();
    assert_eq!(error.class, ErrorClass::DestinationNotAllowed);
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn b7_a_stricter_policy_ends_connections_that_were_opened_before() {
    let receiver = Receiver::answering(OK).await;
    let policy = SharedPolicy::new(AddressPolicy {
        allow_private: true,
        ..loopback_only()
    });
    let client = Client::new(Config {
        policy: policy.clone(),
        ..config()
    })
    .unwrap();
    let target = receiver.url();
    let mut connection = connect(&client, &target).await.unwrap();
    send(&mut connection, &target).await.unwrap();

    policy.replace(loopback_only());
    assert!(connection.is_usable(Instant::now()), "still allowed");
    policy.replace(AddressPolicy::default());
    assert!(!connection.is_usable(Instant::now()));
    policy.replace(loopback_only());
    assert!(!connection.is_usable(Instant::now()), "closed is closed");
}

#[tokio::test]
async fn b7_a_policy_without_http_ends_plain_connections() {
    let receiver = Receiver::answering(OK).await;
    let policy = SharedPolicy::new(loopback_only());
    let client = Client::new(Config {
        policy: policy.clone(),
        ..config()
    })
    .unwrap();
    let mut connection = connect(&client, &receiver.url()).await.unwrap();

    policy.replace(AddressPolicy {
        allow_http: false,
        ..loopback_only()
    });

    assert!(!connection.is_usable(Instant::now()));
}

/// Runs another test of this file in a process whose environment names proxies.
#[test]
fn b8_proxies_of_the_environment_are_ignored() {
    const PROXIED: [&str; 6] = [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ];
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "addresses::a_request_reaches_its_host"]);
    for variable in PROXIED {
        command.env(variable, "http://127.0.0.1:1");
    }

    let output = command
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[tokio::test]
async fn a_request_reaches_its_host() {
    let receiver = Receiver::answering(OK).await;

    let response = post(&crate::support::client(), &receiver.url())
        .await
        .unwrap();

    assert_eq!(response.status, 200);
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn b13_a_listed_network_is_reached_and_the_metadata_service_in_it_is_not() {
    let receiver = Receiver::answering(OK).await;
    let policy = AddressPolicy {
        allow: vec![
            "127.0.0.0/8".parse().unwrap(),
            "168.0.0.0/5".parse().unwrap(),
        ],
        allow_http: true,
        ..AddressPolicy::default()
    };
    let policy = SharedPolicy::new(policy);
    let client = Client::new(Config { policy, ..config() }).unwrap();

    assert_eq!(post(&client, &receiver.url()).await.unwrap().status, 200);
    let error = connect(&client, &url("http://169.254.169.254/"))
        .await
        .err()
        .unwrap();
    assert_eq!(error.class, ErrorClass::DestinationNotAllowed);
}

#[tokio::test]
async fn an_address_that_refuses_leaves_the_next_one() {
    let receiver = Receiver::answering(OK).await;
    let names = Names::with("two.example", &[&["127.0.0.9", "127.0.0.1"]]);
    let client = allowing_all_of_loopback(names);
    let target = receiver.named("two.example");

    let connection = connect(&client, &target).await.unwrap();

    assert_eq!(connection.peer().unwrap(), receiver.address);
}

#[tokio::test]
async fn an_address_that_hangs_leaves_time_for_the_next_one() {
    let hanging = Hanging::listen("127.0.0.9:0");
    let port = hanging.address.port();
    let receiver = Receiver::start_at(&format!("127.0.0.1:{port}"), OK).await;
    let names = Names::with("two.example", &[&["127.0.0.9", "127.0.0.1"]]);
    let client = allowing_all_of_loopback(names);
    let target = receiver.named("two.example");
    let start = Instant::now();

    let deadline = start + BRIEF;
    let connected = client
        .connect(&target, deadline, &mut Phases::default())
        .await;

    assert_eq!(connected.ok().unwrap().peer().unwrap(), receiver.address);
    assert!(start.elapsed() >= BRIEF / 2);
}

#[tokio::test]
async fn a_host_that_never_accepts_is_given_up_in_time() {
    let hanging = Hanging::listen("127.0.0.1:0");
    let target = url(&format!("http://{}/", hanging.address));
    let mut phases = Phases::default();

    let config = Config {
        connect_timeout: BRIEF,
        ..config()
    };
    let client = Client::new(config).unwrap();
    let deadline = Instant::now() + AMPLE;
    let error = client
        .connect(&target, deadline, &mut phases)
        .await
        .err()
        .unwrap();

    assert_eq!(error.class, ErrorClass::ConnectTimeout);
    assert!(!error.wrote);
    assert!((BRIEF..LATE).contains(&phases.connect.unwrap()));
}

fn allowing_all_of_loopback(resolver: Arc<Names>) -> Client {
    let policy = AddressPolicy {
        allow_private: true,
        ..loopback_only()
    };
    let policy = SharedPolicy::new(policy);
    Client::new(Config {
        policy,
        resolver,
        ..config()
    })
    .unwrap()
}

/// A listener that never accepts and whose queue is full, so that connecting to it hangs.
struct Hanging {
    address: SocketAddr,
    _sockets: Vec<Socket>,
}

impl Hanging {
    fn listen(address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let stream = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let listener = stream();
        listener.bind(&address.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut sockets = vec![listener];
        for _ in 0..8 {
            let filler = stream();
            filler.set_nonblocking(true).unwrap();
            let _ = filler.connect(&address);
            sockets.push(filler);
        }
        let address = address.as_socket().unwrap();
        Self {
            address,
            _sockets: sockets,
        }
    }
}

#[tokio::test]
async fn a_name_without_addresses_is_not_found() {
    let error = connect(&crate::support::client(), &url("http://nowhere.example/"))
        .await
        .err()
        .unwrap();
    assert_eq!(error.class, ErrorClass::DnsNotFound);

    let error = failure_with(&[]).await;
    assert_eq!(error.class, ErrorClass::DnsNotFound);
}

/// Answers never, or says that it failed.
struct Stalled;

#[async_trait]
impl Resolve for Stalled {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if name.starts_with("failing") {
            return Err(ResolveError::Failed("SERVFAIL".to_owned()));
        }
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_up_has_its_own_limit_of_time() {
    let client = Client::new(Config {
        resolver: Arc::new(Stalled),
        ..config()
    })
    .unwrap();
    let start = Instant::now();
    let mut phases = Phases::default();

    let error = client
        .connect(&url("http://stalled.example/"), start + AMPLE, &mut phases)
        .await
        .err()
        .unwrap();

    assert_eq!(error.class, ErrorClass::DnsFailed);
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(phases.dns.unwrap().as_secs(), 5);
    assert_eq!(phases.connect, None);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_ends_at_the_deadline_if_that_is_sooner() {
    let client = Client::new(Config {
        resolver: Arc::new(Stalled),
        ..config()
    })
    .unwrap();
    let start = Instant::now();
    let mut phases = Phases::default();

    let target = url("http://stalled.example/");
    let error = client
        .connect(&target, start + BRIEF, &mut phases)
        .await
        .err()
        .unwrap();

    assert_eq!(error.class, ErrorClass::DnsFailed);
    assert!(start.elapsed() < LATE);
}

#[tokio::test]
async fn a_failing_name_server_is_no_missing_name() {
    let client = Client::new(Config {
        resolver: Arc::new(Stalled),
        ..config()
    })
    .unwrap();

    let error = connect(&client, &url("http://failing.example/"))
        .await
        .err()
        .unwrap();

    assert_eq!(error.class, ErrorClass::DnsFailed);
    assert_eq!(error.detail, "SERVFAIL");
}

/// A policy under which this server listens here.
fn listening_at(listen: std::net::SocketAddr) -> AddressPolicy {
    AddressPolicy {
        own: Some(domain::OwnAddress {
            listen,
            public: None,
        }),
        ..loopback_only()
    }
}

#[tokio::test]
async fn b9_a_name_that_leads_to_our_own_listener_is_refused() {
    let own = Receiver::answering(OK).await;
    let other = Receiver::answering(OK).await;
    let everywhere = ([0, 0, 0, 0], own.address.port()).into();
    for listen in [own.address, everywhere] {
        let client = Client::new(Config {
            policy: SharedPolicy::new(listening_at(listen)),
            resolver: Names::with("innocent.example", &[&["127.0.0.1"]]),
            ..config()
        })
        .unwrap();

        let error = post(&client, &own.named("innocent.example")).await;
        let answer = post(&client, &other.named("innocent.example")).await;

        let error = error.unwrap_err();
        assert_eq!(error.class, ErrorClass::DestinationNotAllowed);
        assert!(error.detail.contains("this server's own"), "{error:?}");
        assert_eq!(answer.unwrap().status, 200);
    }
    assert_eq!(own.connections(), 0);
}
