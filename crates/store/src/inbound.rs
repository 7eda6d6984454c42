//! Sources, and the requests that they receive.
//!
//! A source is the URL at which one provider's webhooks come in; a request is one of them, kept as
//! it came and with what became of it. An accepted request is stored by [`crate::Store::append`],
//! together with its messages, their deliveries and the rows that it is deduplicated by.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{
    ApplicationId, ApplicationKey, Cidr, EventType, InboundId, InboundKey, JobKey, MessageId,
    OrganizationKey, SourceId, SourceKey, Timestamp, Uid,
};

use crate::{
    Error, Idempotency, JobState, Page, PageRequest, RequestJob, RequestReplay, RequestStep,
    Sealed, Write,
};

/// Sources and the log of their requests.
#[async_trait]
pub trait InboundStore: Send + Sync + 'static {
    /// Creates a source.
    ///
    /// # Contract
    ///
    /// - `Conflict` for a taken uid or token, `Limit` beyond `sources_max`, `NotFound` without the
    ///   application.
    /// - A known idempotency key answers `Write::Replayed` with the source as it is now.
    async fn create_source(&self, new: NewSource) -> Result<Write<Source>, Error>;

    /// Reads one source of an application.
    async fn source(
        &self,
        application: ApplicationKey,
        source: &SourceRef,
    ) -> Result<Option<Source>, Error>;

    /// Reads a source by its row, whatever its application; `None` once it or its application is
    /// deleted.
    async fn source_by_key(&self, key: SourceKey) -> Result<Option<Source>, Error>;

    /// Lists the sources of an application by id.
    async fn sources(
        &self,
        application: ApplicationKey,
        page: PageRequest<SourceId>,
    ) -> Result<Page<Source>, Error>;

    /// Lists every live source's tokens by key, starting after `after`.
    ///
    /// # Contract
    ///
    /// - A token that was replaced is in until its time is over, and then no longer counts.
    async fn source_tokens(&self, after: SourceKey, limit: u16)
    -> Result<Vec<SourceTokens>, Error>;

    /// Changes a source; `NotFound` and `Conflict` (uid, token) as for creating.
    ///
    /// # Contract
    ///
    /// - Every change raises the source's version.
    /// - A known idempotency key answers the source as it is now, and changes nothing.
    /// - `Limit` when a new secret would be one too many; secrets whose time is over are erased.
    async fn update_source(
        &self,
        application: ApplicationKey,
        source: &SourceRef,
        change: SourceChange,
    ) -> Result<Source, Error>;

    /// Deletes a source: gone at once, its uid free at once. Its requests stay until retention
    /// erases them.
    async fn delete_source(
        &self,
        application: ApplicationKey,
        source: &SourceRef,
        now: Timestamp,
    ) -> Result<Source, Error>;

    /// Lists sources of all organizations by key, for sealing their secrets anew.
    async fn sources_sealed(&self, after: SourceKey, limit: u16) -> Result<Vec<Source>, Error>;

    /// Puts what was sealed anew in the place of what was sealed before; returns how much was
    /// still there to be replaced. Changes no version.
    async fn reseal_sources(&self, resealed: Vec<ResealedSource>) -> Result<u64, Error>;

    /// Stores requests that were refused, which cause nothing.
    ///
    /// # Contract
    ///
    /// - What belongs to a source that is gone is left out.
    async fn note_requests(&self, requests: Vec<NewInbound>) -> Result<(), Error>;

    /// Reads one request of an application, with its body.
    async fn request(
        &self,
        application: ApplicationKey,
        request: InboundId,
    ) -> Result<Option<InboundRow>, Error>;

    /// Lists the requests of an application by time, without their bodies.
    ///
    /// # Contract
    ///
    /// - Examines at most [`crate::ROWS_EXAMINED_MAX`] rows, as [`crate::Store::messages`] does,
    ///   and of bodies about [`crate::BYTES_EXAMINED_MAX`].
    async fn requests(
        &self,
        application: ApplicationKey,
        filter: &InboundFilter,
        page: PageRequest<InboundKey>,
    ) -> Result<Page<InboundRow, InboundKey>, Error>;

    /// Notes in the audit trail that a request is put in again by hand.
    async fn note_replay(
        &self,
        application: ApplicationKey,
        request: InboundId,
        replay: RequestReplay,
        now: Timestamp,
    ) -> Result<(), Error>;

    /// Reads a running job that puts requests in again, and where it stands; `None` when it is not
    /// running, or does something else.
    async fn request_job(&self, job: JobKey) -> Result<Option<RequestJob>, Error>;

    /// Notes what a step of such a job did, and where it stands; returns how far the job is.
    ///
    /// # Contract
    ///
    /// - What was done is counted whether the job is still running or not.
    /// - The job is finished when there are no more requests.
    async fn step_request_job(&self, step: RequestStep) -> Result<JobState, Error>;

    /// Puts the diagnosis of a request that was refused; nothing where it is gone.
    async fn diagnose_request(&self, request: InboundId, diagnosis: &str) -> Result<(), Error>;

    /// Erases requests from before a time, the oldest first, and what only they needed.
    ///
    /// # Contract
    ///
    /// - Rows to deduplicate by are erased once their time is over, give or take an hour, and not
    ///   before, whether their requests are still kept or not.
    /// - Sources that were deleted before that time are erased.
    /// - Touches at most `rows` rows; `more` says whether to come again.
    async fn prune_requests(&self, prune: PruneRequests) -> Result<PrunedRequests, Error>;
}

/// Names a source in a path: its id or its uid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SourceRef {
    /// By id.
    Id(SourceId),
    /// By the caller's own name.
    Uid(Uid),
}

/// A token of a source's URL: its hash, by which it is found, and itself, to be shown again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceToken {
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// The token, sealed.
    pub sealed: Sealed,
}

/// A secret of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSecret {
    /// Counts the secrets of a source, from 1.
    pub number: i64,
    /// The secret's text, sealed.
    pub sealed: Sealed,
    /// When it was put in.
    pub created: Timestamp,
    /// When it stops counting; `None` for a current one.
    pub expires: Option<Timestamp>,
}

/// A source as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its row.
    pub key: SourceKey,
    /// Its public id.
    pub id: SourceId,
    /// Its application's row.
    pub application: ApplicationKey,
    /// Its application's id.
    pub application_id: ApplicationId,
    /// Whose application that is.
    pub organization: OrganizationKey,
    /// The caller's own name.
    pub uid: Option<Uid>,
    /// A name for people.
    pub name: String,
    /// The preset that it is verified by; `custom` with a scheme of its own.
    pub provider: String,
    /// Everything else that the caller set: a JSON object that is opaque here.
    pub settings: String,
    /// Nothing is taken in.
    pub paused: bool,
    /// Until when a handshake may bring the first secret.
    pub awaits_handshake: Option<Timestamp>,
    /// The token of its URL.
    pub token: SourceToken,
    /// The hash of the token before, and until when that one still works.
    pub earlier_token: Option<([u8; 32], Timestamp)>,
    /// Its secrets, the oldest first.
    pub secrets: Vec<SourceSecret>,
    /// Counts its changes.
    pub version: u64,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// By which tokens a source is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTokens {
    /// Which source.
    pub key: SourceKey,
    /// SHA-256 of its token.
    pub hash: [u8; 32],
    /// The hash of the token before, and until when that one still works.
    pub earlier: Option<([u8; 32], Timestamp)>,
}

/// A source to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSource {
    /// Whose it is.
    pub application: ApplicationKey,
    /// Its public id.
    pub id: SourceId,
    /// The caller's own name.
    pub uid: Option<Uid>,
    /// A name for people.
    pub name: String,
    /// The preset that it is verified by.
    pub provider: String,
    /// Everything else, as JSON.
    pub settings: String,
    /// Until when a handshake may bring the first secret.
    pub awaits_handshake: Option<Timestamp>,
    /// The token of its URL.
    pub token: SourceToken,
    /// Its secrets, sealed.
    pub secrets: Vec<Sealed>,
    /// Beyond so many live sources of the application, refuse: `limits.sources_per_application`.
    pub sources_max: u64,
    /// Now.
    pub now: Timestamp,
    /// The request's idempotency key.
    pub idempotency: Option<Idempotency>,
}

/// A change of a source; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceChange {
    /// A new uid, or none.
    pub uid: Option<Option<Uid>>,
    /// A new name.
    pub name: Option<String>,
    /// Another preset.
    pub provider: Option<String>,
    /// New settings, all of them.
    pub settings: Option<String>,
    /// Nothing is taken in, or everything again.
    pub paused: Option<bool>,
    /// Until when a handshake may bring the first secret, or that none may.
    pub awaits_handshake: Option<Option<Timestamp>>,
    /// Another token, and how long the present one still works.
    pub token: Option<(SourceToken, Duration)>,
    /// More or other secrets.
    pub secrets: Option<SecretChange>,
    /// Refuse the change (`Refused`) unless the source has this version.
    pub version: Option<u64>,
    /// What it is called in the audit trail, after `source.`; `update` when empty.
    pub action: &'static str,
    /// The request's idempotency key; a known one changes nothing.
    pub idempotency: Option<Idempotency>,
    /// Now.
    pub now: Timestamp,
}

/// New secrets of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretChange {
    /// What is put in.
    pub added: Vec<Sealed>,
    /// When those that are there stop counting, if they have no earlier end.
    pub others_expire: Timestamp,
    /// Beyond so many live secrets, refuse: `limits.secrets_per_source`.
    pub secrets_max: u64,
}

/// Secrets or tokens of sources, sealed with another master key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResealedSource {
    /// Whose.
    pub source: SourceKey,
    /// What is stored.
    pub old: Sealed,
    /// What is to be stored.
    pub new: Sealed,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InboundVerdict {
    /// It is a message, or several.
    Accepted,
    /// It had been accepted before.
    Duplicate,
    /// It was a provider's question, and was answered.
    Handshake,
    /// It was refused.
    Rejected,
}

impl InboundVerdict {
    /// Every verdict.
    pub const ALL: [Self; 4] = [
        Self::Accepted,
        Self::Duplicate,
        Self::Handshake,
        Self::Rejected,
    ];

    /// Returns the stored number.
    pub const fn code(self) -> i64 {
        match self {
            Self::Accepted => 0,
            Self::Duplicate => 1,
            Self::Handshake => 2,
            Self::Rejected => 3,
        }
    }

    /// Reads back a stored number.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.code() == code)
    }

    /// Returns its name.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Handshake => "handshake",
            Self::Rejected => "rejected",
        }
    }

    /// Reads back a name.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.slug() == slug)
    }
}

/// What else there is to say of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a mark of its own, and any of them go together"
)]
pub struct InboundMarks {
    /// It is a duplicate whose body is not that of the first.
    pub body_differs: bool,
    /// It was taken in although nothing proves that it is the provider's.
    pub unverified: bool,
    /// Its signature and body came before, under another id that nothing proves.
    pub replay_suspected: bool,
    /// It was put in again by hand.
    pub replayed: bool,
    /// Only the beginning of its body was kept.
    pub truncated: bool,
}

impl InboundMarks {
    /// Returns the stored number.
    pub fn code(self) -> i64 {
        i64::from(self.body_differs)
            | i64::from(self.unverified) << 1
            | i64::from(self.replay_suspected) << 2
            | i64::from(self.replayed) << 3
            | i64::from(self.truncated) << 4
    }

    /// Reads back a stored number.
    pub const fn from_code(code: i64) -> Self {
        Self {
            body_differs: code & 1 != 0,
            unverified: code & 2 != 0,
            replay_suspected: code & 4 != 0,
            replayed: code & 8 != 0,
            truncated: code & 16 != 0,
        }
    }
}

/// A request to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInbound {
    /// Its public id.
    pub id: InboundId,
    /// Which source received it.
    pub source: SourceKey,
    /// Its application.
    pub application: ApplicationKey,
    /// What became of it.
    pub verdict: InboundVerdict,
    /// Why, for one that was refused: a short name.
    pub reason: Option<String>,
    /// What is probably wrong, for a person.
    pub diagnosis: Option<String>,
    /// What else there is to say.
    pub marks: InboundMarks,
    /// Its method.
    pub method: String,
    /// The path behind the token, and the query.
    pub path: String,
    /// The address that it came from.
    pub peer: String,
    /// Its headers, one `name: value` a line; credentials are left out.
    pub headers: Bytes,
    /// The lines of headers that hold credentials, sealed.
    pub credentials: Option<Sealed>,
    /// Its body, or as much of it as is kept.
    pub body: Bytes,
    /// How many bytes the body had.
    pub body_len: u64,
    /// The id that the provider gave it.
    pub provider_id: Option<String>,
}

/// A request as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundRow {
    /// Its public id.
    pub id: InboundId,
    /// The id of the source that received it, deleted or not.
    pub source_id: SourceId,
    /// What became of it.
    pub verdict: InboundVerdict,
    /// Why, for one that was refused.
    pub reason: Option<String>,
    /// What is probably wrong.
    pub diagnosis: Option<String>,
    /// What else there is to say.
    pub marks: InboundMarks,
    /// Its message: the first of them, or that of the first request for a duplicate.
    pub message: Option<MessageId>,
    /// How many messages it made.
    pub messages: u32,
    /// The request that a duplicate repeats.
    pub first: Option<InboundId>,
    /// Its method.
    pub method: String,
    /// The path behind the token, and the query.
    pub path: String,
    /// The address that it came from.
    pub peer: String,
    /// Its headers, one `name: value` a line.
    pub headers: Bytes,
    /// The lines of headers that hold credentials, sealed.
    pub credentials: Option<Sealed>,
    /// Its body; `None` once it is erased, and in lists.
    pub body: Option<Bytes>,
    /// How many bytes the body had.
    pub body_len: u64,
    /// The id that the provider gave it.
    pub provider_id: Option<String>,
}

/// Which requests a list wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InboundFilter {
    /// Only with this verdict.
    pub verdict: Option<InboundVerdict>,
    /// Only with one of these verdicts, if there are any.
    pub verdicts: Vec<InboundVerdict>,
    /// Only refused for this reason.
    pub reason: Option<String>,
    /// Only of this source.
    pub source: Option<SourceId>,
    /// Only those of this message.
    pub message: Option<MessageId>,
    /// Only with this id of the provider's.
    pub provider_id: Option<String>,
    /// Only received before.
    pub before: Option<Timestamp>,
    /// Only received after.
    pub after: Option<Timestamp>,
    /// Only with this in it.
    pub search: InboundSearch,
}

/// What is looked for in requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InboundSearch {
    /// From an address of this network.
    pub peer: Option<Cidr>,
    /// With this text in the path behind the token, or in the query.
    pub path: Option<String>,
    /// With this header, in lower case, and this text in its value.
    pub header: Option<(String, String)>,
    /// With this text in the body, byte for byte.
    pub body: Option<String>,
    /// That became a message of this type; of several the first.
    pub event_type: Option<EventType>,
}

impl InboundSearch {
    /// Says whether more has to be read of a request than its row.
    pub const fn needs_content(&self) -> bool {
        self.body.is_some() || self.event_type.is_some()
    }

    /// Says whether what is looked for is in the row.
    fn is_in_row(&self, row: &InboundRow) -> bool {
        let peer = |network: &Cidr| {
            let address = row.peer.parse().ok();
            address.is_some_and(|address| network.contains(address))
        };
        let header = |(name, text): &(String, String)| {
            let mut named = crate::header_lines(&row.headers).filter(|(found, _)| found == name);
            named.any(|(_, value)| has(value, text))
        };
        self.peer.as_ref().is_none_or(peer)
            && self
                .path
                .as_ref()
                .is_none_or(|text| row.path.contains(text))
            && self.header.as_ref().is_none_or(header)
    }

    /// Says whether what is looked for is in the body, and the message of this type.
    pub fn is_in_content(&self, body: Option<&[u8]>, event_type: Option<&str>) -> bool {
        let is_type = |wanted: &EventType| event_type == Some(wanted.as_str());
        let is_body = |text: &String| body.is_some_and(|body| has(body, text));
        self.event_type.as_ref().is_none_or(is_type) && self.body.as_ref().is_none_or(is_body)
    }
}

fn has(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

impl InboundFilter {
    /// Says whether a request is wanted.
    pub fn matches(&self, row: &InboundRow) -> bool {
        let at = row.id.at();
        self.verdict.is_none_or(|one| one == row.verdict)
            && (self.verdicts.is_empty() || self.verdicts.contains(&row.verdict))
            && (self.reason.is_none() || self.reason == row.reason)
            && self.source.is_none_or(|one| one == row.source_id)
            && self.message.is_none_or(|one| row.message == Some(one))
            && (self.provider_id.is_none() || self.provider_id == row.provider_id)
            && self.before.is_none_or(|before| at < before)
            && self.after.is_none_or(|after| at > after)
            && self.search.is_in_row(row)
    }
}

/// A request that is to be appended with its messages: of each of them, what it is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reception {
    /// The request, as it is kept if it is no duplicate.
    pub request: NewInbound,
    /// The source's version that it was judged by.
    pub source_version: u64,
    /// What each message of the publish is deduplicated by, if by anything.
    pub marks: Vec<Option<Mark>>,
    /// What a replay under another id is noticed by.
    pub guard: Option<Guard>,
    /// For how long repeats of it are noticed.
    pub window: Duration,
    /// A duplicate with another body is refused.
    pub refuses_conflicts: bool,
    /// The body of the only message is the whole body, which is then stored once.
    pub shares_body: bool,
}

/// What a message is deduplicated by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Hash of the id.
    pub id: [u8; 16],
    /// Hash of the body.
    pub body: [u8; 16],
}

/// What a replay under another id is noticed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Hash of signature and body.
    pub seal: [u8; 16],
    /// It is refused, not only marked.
    pub refuses: bool,
}

/// What became of a reception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The verdict stored.
    pub verdict: InboundVerdict,
    /// Why it was refused.
    pub reason: Option<&'static str>,
    /// What else there is to say.
    pub marks: InboundMarks,
    /// One per message of the publish; those of an earlier request are duplicates.
    pub messages: Vec<crate::PublishedMessage>,
}

/// One small batch of housekeeping among requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneRequests {
    /// Requests from before are erased.
    pub before: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// At most so many rows.
    pub rows: u16,
}

/// What a batch of housekeeping among requests did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrunedRequests {
    /// Requests erased.
    pub requests: u64,
    /// Deduplication rows erased.
    pub marks: u64,
    /// There is more to do right now.
    pub more: bool,
}
