//! Messages that follow from the seed and their number, so that nobody has to keep their bytes.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use posthaste_bench::payload::{Stamp, Template};
use posthaste_bench::webhook::{Signer, secret_text};

use crate::seed::Numbers;

/// How many endpoints every message goes to.
pub(crate) const ENDPOINTS: usize = 3;

/// The secret of all endpoints, and of the source: what is tested is that it is used, not that
/// it is secret.
const SECRET: [u8; 32] = *b"crashlab-crashlab-crashlab-crash";

/// What the payloads of a run have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Messages {
    pub(crate) seed: u64,
    /// Payloads have this size at least, and up to 2 KiB more.
    pub(crate) size_min: usize,
}

impl Messages {
    /// Makes the payload of the message numbered `sequence`.
    pub(crate) fn payload(&self, sequence: u64) -> Vec<u8> {
        let mut numbers = Numbers::new(self.seed ^ sequence.rotate_left(32));
        let more = usize::try_from(numbers.next() % 2_048).expect("11 bits fit");
        let stamp = Stamp {
            sequence,
            sent_nanos: numbers.next(),
        };
        let mut payload = Vec::new();
        Template::new(self.size_min + more).append(stamp, &mut payload);
        payload
    }

    /// Makes the body of the publish.
    pub(crate) fn publish(&self, sequence: u64) -> Vec<u8> {
        let payload = self.payload(sequence);
        [
            br#"{"eventType":"crashlab.event","payload":"#.as_slice(),
            &payload,
            b"}",
        ]
        .concat()
    }

    /// Returns the key of a message that is sent until it is answered, which makes all of that one
    /// message.
    ///
    /// One in eight has none: it is published once, and if its answer is lost, nobody knows.
    pub(crate) fn key(&self, sequence: u64) -> Option<String> {
        (!sequence.is_multiple_of(8)).then(|| self.name(sequence))
    }

    /// Says whether a message comes in at the source, as a provider's webhook; its key is the id
    /// that it is deduplicated by.
    pub(crate) const fn is_received(sequence: u64) -> bool {
        sequence % 4 == 1
    }

    pub(crate) fn name(&self, sequence: u64) -> String {
        format!("crashlab-{}-{sequence}", self.seed)
    }
}

/// Signs what the source is sent.
pub(crate) fn signer() -> Signer {
    Signer::new(&SECRET)
}

/// Returns the secret in the form that the API takes.
pub(crate) fn secret() -> String {
    secret_text(&SECRET)
}

/// Returns a body's SHA-256 in base64.
pub(crate) fn hash(body: &[u8]) -> String {
    STANDARD.encode(digest::digest(&digest::SHA256, body))
}

/// Says whether one of the header's signatures is that of this delivery.
pub(crate) fn is_signed(header: &str, id: &str, timestamp: &str, body: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    header
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|encoded| STANDARD.decode(encoded).ok())
        .any(|tag| hmac::verify(&key, &signed, &tag).is_ok())
}
