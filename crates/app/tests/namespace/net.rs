//! A network of the test's own: addresses that are reached nowhere else, with somebody at each.

#![allow(
    clippy::disallowed_types,
    reason = "a receiver of the test's, outside of the program"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use testkit::external;

use super::dns::NameServer;

/// Where clouds keep their metadata service.
pub(crate) const METADATA: &str = "169.254.169.254";
const METADATA_V6: &str = "fd00:ec2::254";
/// A host of the operator's.
pub(crate) const PRIVATE: &str = "10.0.0.5";
/// An address that anybody may be sent to.
pub(crate) const PUBLIC: &str = "93.184.216.34";

/// Says that this process is the one inside.
const INSIDE: &str = "POSTHASTE_TEST_INSIDE";
/// Whoever runs the tests may make a network if they are root, or if users may be root in one.
const WAYS: [&str; 2] = ["-rmn", "-mn"];

/// The network, with whoever listens in it.
pub(crate) struct Net {
    pub(crate) dns: NameServer,
    pub(crate) public: Canary,
    pub(crate) metadata: Canary,
    others: Vec<Canary>,
}

impl Net {
    /// Inside, sets the network up. Outside, runs the calling test inside, and there is nothing
    /// more to do; where the machine does not permit that, the test is reported as skipped.
    pub(crate) fn enter() -> Option<Self> {
        if std::env::var_os(INSIDE).is_some() {
            return Some(Self::set_up());
        }
        let permits = |way: &&&str| {
            let mut probe = Command::new("unshare");
            // What is needed inside, too: an address that is nobody's, and a file put over another.
            let probe = probe.args([**way, "sh", "-c", PROBE]);
            let probe = probe.stdin(Stdio::null()).stdout(Stdio::null());
            probe
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        let Some(way) = WAYS.iter().find(permits) else {
            external::forbidden("`unshare -mn` with addresses of its own is not permitted here");
            return None;
        };
        let current = thread::current();
        let name = current.name().expect("a test has a name");
        let output = Command::new("unshare")
            .args([way, "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(INSIDE, "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let [said, wrote] =
            [&output.stdout, &output.stderr].map(|out| String::from_utf8_lossy(out));
        assert!(output.status.success(), "inside:\n{said}{wrote}");
        assert!(
            said.contains("1 passed"),
            "it did not run inside:\n{said}{wrote}"
        );
        None
    }

    fn set_up() -> Self {
        let file = std::env::temp_dir().join(format!("posthaste-resolv-{}", std::process::id()));
        std::fs::write(
            &file,
            "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        )
        .unwrap();
        run("ip", &["link", "set", "lo", "up"]);
        for address in [METADATA, PRIVATE, PUBLIC] {
            run(
                "ip",
                &["addr", "add", &format!("{address}/32"), "dev", "lo"],
            );
        }
        let v6 = format!("{METADATA_V6}/128");
        run("ip", &["addr", "add", &v6, "dev", "lo", "nodad"]);
        run(
            "mount",
            &["--bind", file.to_str().unwrap(), "/etc/resolv.conf"],
        );
        std::fs::remove_file(&file).unwrap();
        let loopback = Canary::listen("127.0.0.1:80");
        let others = vec![
            loopback,
            Canary::listen("[::1]:80"),
            Canary::listen(&format!("[{METADATA_V6}]:80")),
            Canary::listen(&format!("{PRIVATE}:80")),
        ];
        Self {
            dns: NameServer::start(),
            public: Canary::listen(&format!("{PUBLIC}:80")),
            metadata: Canary::listen(&format!("{METADATA}:80")),
            others,
        }
    }

    /// Nobody has connected to where nobody may.
    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        for canary in self.others.iter().chain([&self.metadata]) {
            assert_eq!(canary.connections(), 0, "{}", canary.address);
        }
    }
}

const PROBE: &str = "ip link set lo up && ip addr add 10.0.0.5/32 dev lo \
    && mount --bind /dev/null /etc/resolv.conf";

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

/// A listener that counts who connects, and answers as the path says.
pub(crate) struct Canary {
    address: String,
    count: Arc<AtomicUsize>,
}

impl Canary {
    fn listen(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        thread::spawn(move || {
            for connection in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                let connection = connection.unwrap();
                // A peer that goes away is no business of the test's.
                thread::spawn(move || serve(&connection));
            }
        });
        Self {
            address: address.to_owned(),
            count,
        }
    }

    /// How many have connected.
    pub(crate) fn connections(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

/// Answers requests until one asks for the end, or the peer goes.
fn serve(connection: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let mut writer = connection;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
        writer.write_all(answer(&path).as_bytes())?;
        if path == "/close" {
            return Ok(());
        }
    }
}

fn answer(path: &str) -> String {
    let inside = format!("http://{METADATA}/");
    let (status, header) = match path {
        "/close" => ("200", "connection: close".to_owned()),
        "/relative" => ("302", "location: //127.0.0.1/".to_owned()),
        "/alternative" => ("300", "alt-svc: h2=\"127.0.0.1:80\"".to_owned()),
        "/refresh" => ("200", format!("refresh: 0; url={inside}")),
        path => match path.strip_prefix("/redirect/") {
            Some(status) => (status, format!("location: {inside}")),
            None => ("200", "x-nothing: here".to_owned()),
        },
    };
    let body = if path == "/large" {
        "x".repeat(10_000)
    } else {
        String::new()
    };
    let length = body.len();
    format!("HTTP/1.1 {status} Answer\r\n{header}\r\ncontent-length: {length}\r\n\r\n{body}")
}
