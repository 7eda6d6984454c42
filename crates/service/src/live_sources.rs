//! Sources as requests find them: by the token in the URL, from memory.
//!
//! All tokens are in memory, so a request to a URL that does not exist costs a look-up and nothing
//! else. What belongs to a source is read when its first request comes, and kept until the source
//! is changed here. An append carries the version that a request was judged by, and the store
//! compares it: what another node changed is noticed there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use domain::{SourceKey, Timestamp};
use signature::scheme::Key;
use store::{InboundVerdict, Source};
use zeroize::Zeroizing;

use crate::Service;
use crate::error::Error;
use crate::fields::Fields;
use crate::keys::hash_of;
use crate::source_settings::{Plan, SourceSettings};
use crate::sources::{counts, secret_binding, settings_of};

/// A source, ready to receive.
#[derive(Debug)]
pub struct LiveSource {
    pub(crate) row: Source,
    pub(crate) settings: SourceSettings,
    pub(crate) plan: Plan,
    /// The keys that count, ready for use.
    pub(crate) keys: Vec<Key>,
    /// When a key stops counting, and this has to be made anew.
    pub(crate) fresh_until: Option<Timestamp>,
    /// The URL that signatures are made over, without its query.
    pub(crate) url: String,
    pub(crate) activity: Arc<Activity>,
}

impl LiveSource {
    /// Nothing is taken in.
    pub fn is_paused(&self) -> bool {
        self.row.paused
    }

    /// The most bytes of a body.
    pub fn body_max(&self) -> usize {
        self.plan.body_max
    }
}

/// What came in at a source since the server started.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    verdicts: [AtomicU64; 4],
    not_kept: AtomicU64,
    last_received: AtomicI64,
    last_accepted: AtomicI64,
    /// Requests that may still come now, and when that was counted.
    pub(crate) rate: Mutex<Bucket>,
    /// Questions that may still be answered.
    pub(crate) handshakes: Mutex<Bucket>,
    /// Refused requests that may still be kept.
    pub(crate) rejections: Mutex<Bucket>,
    /// The last refused request was not kept.
    pub(crate) is_flooded: AtomicBool,
}

/// What came in at a source since the server started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActivitySeen {
    /// Requests that became messages.
    pub accepted: u64,
    /// Requests that had come before.
    pub duplicates: u64,
    /// Questions that were answered.
    pub handshakes: u64,
    /// Requests that were refused.
    pub rejected: u64,
    /// Those of them that were only counted.
    pub not_kept: u64,
    /// When the last one came.
    pub last_received: Option<Timestamp>,
    /// When the last one came that became a message.
    pub last_accepted: Option<Timestamp>,
}

impl Activity {
    pub(crate) fn count(&self, verdict: InboundVerdict, now: Timestamp) {
        let index = usize::try_from(verdict.code()).expect("one of four");
        self.verdicts[index].fetch_add(1, Ordering::Relaxed);
        self.last_received.store(now.as_micros(), Ordering::Relaxed);
        if verdict == InboundVerdict::Accepted {
            self.last_accepted.store(now.as_micros(), Ordering::Relaxed);
        }
    }

    pub(crate) fn count_not_kept(&self) {
        self.not_kept.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn seen(&self) -> ActivitySeen {
        let count = |verdict: InboundVerdict| {
            let index = usize::try_from(verdict.code()).expect("one of four");
            self.verdicts[index].load(Ordering::Relaxed)
        };
        let time = |at: &AtomicI64| {
            let at = at.load(Ordering::Relaxed);
            (at != 0).then(|| Timestamp::from_micros(at))
        };
        ActivitySeen {
            accepted: count(InboundVerdict::Accepted),
            duplicates: count(InboundVerdict::Duplicate),
            handshakes: count(InboundVerdict::Handshake),
            rejected: count(InboundVerdict::Rejected),
            not_kept: self.not_kept.load(Ordering::Relaxed),
            last_received: time(&self.last_received),
            last_accepted: time(&self.last_accepted),
        }
    }
}

/// What may still happen at a rate. Full when it was never asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    used: f64,
    at: Duration,
}

impl Bucket {
    /// Takes one, or says after how many seconds there is one.
    pub(crate) fn take(&mut self, rate: u32, size: u32, now: Duration) -> Result<(), u32> {
        let grown = now.saturating_sub(self.at).as_secs_f64() * f64::from(rate);
        self.used = (self.used - grown).max(0.0);
        self.at = now;
        if self.used + 1.0 > f64::from(size.max(1)) {
            return Err(1);
        }
        self.used += 1.0;
        Ok(())
    }
}

/// Every source's tokens, and the sources that have received something.
#[derive(Debug, Default)]
pub(crate) struct LiveSources {
    table: RwLock<Table>,
    activity: Mutex<HashMap<SourceKey, Arc<Activity>>>,
}

#[derive(Debug, Default)]
struct Table {
    loaded: bool,
    by_hash: HashMap<[u8; 32], Indexed>,
    hashes: HashMap<SourceKey, Vec<[u8; 32]>>,
    /// Of sources that were changed here.
    versions: HashMap<SourceKey, u64>,
    live: HashMap<SourceKey, Arc<LiveSource>>,
    /// Counts changes, so that what was read before one is not kept after it.
    changes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Indexed {
    key: SourceKey,
    /// When a token that was replaced stops working.
    until: Option<Timestamp>,
}

/// Sources held at most; beyond, they are read again.
const LIVE_MAX: usize = 20_000;

enum Found {
    Live(Arc<LiveSource>),
    /// It has to be read, and so many changes were there before.
    Known(SourceKey, u64),
    Unknown,
    NotLoaded,
}

impl LiveSources {
    fn find(&self, hash: &[u8; 32], now: Timestamp) -> Found {
        let table = self.table.read().expect("no panic while it is held");
        if !table.loaded {
            return Found::NotLoaded;
        }
        let Some(indexed) = table.by_hash.get(hash) else {
            return Found::Unknown;
        };
        if indexed.until.is_some_and(|until| now >= until) {
            return Found::Unknown;
        }
        match table.live.get(&indexed.key) {
            Some(live) if live.fresh_until.is_none_or(|until| now < until) => {
                Found::Live(Arc::clone(live))
            }
            _ => Found::Known(indexed.key, table.changes),
        }
    }

    fn keep(&self, live: &Arc<LiveSource>, changes: u64) {
        let mut table = self.table.write().expect("no panic while it is held");
        if table.changes == changes {
            if table.live.len() >= LIVE_MAX {
                table.live.clear();
            }
            table.live.insert(live.row.key, Arc::clone(live));
        }
    }

    /// Takes over a source as it was just stored.
    pub(crate) fn changed(&self, source: &Source) {
        let mut table = self.table.write().expect("no panic while it is held");
        table.live.remove(&source.key);
        table.changes += 1;
        // Of two changes at once, the earlier one may be told of last.
        let known = table.versions.entry(source.key).or_default();
        if *known > source.version {
            return;
        }
        *known = source.version;
        table.forget(source.key);
        let tokens = store::SourceTokens {
            key: source.key,
            hash: source.token.hash,
            earlier: source.earlier_token,
        };
        table.index(&tokens);
    }

    /// The sources that were made last.
    pub(crate) fn latest(&self, most: usize) -> Vec<SourceKey> {
        let table = self.table.read().expect("no panic while it is held");
        let mut keys: Vec<_> = table.hashes.keys().copied().collect();
        keys.sort_unstable_by(|one, other| other.cmp(one));
        keys.truncate(most);
        keys
    }

    /// Forgets what is known of a source but its tokens.
    pub(crate) fn stale(&self, key: SourceKey) {
        let mut table = self.table.write().expect("no panic while it is held");
        table.changes += 1;
        table.live.remove(&key);
    }

    /// Forgets everything that belongs to an application.
    pub(crate) fn application_deleted(&self, application: domain::ApplicationKey) {
        let mut table = self.table.write().expect("no panic while it is held");
        table.changes += 1;
        table
            .live
            .retain(|_, live| live.row.application != application);
    }

    /// Forgets a source.
    pub(crate) fn deleted(&self, key: SourceKey) {
        let mut table = self.table.write().expect("no panic while it is held");
        table.forget(key);
        self.activity
            .lock()
            .expect("no panic while it is held")
            .remove(&key);
    }

    pub(crate) fn activity(&self, key: SourceKey) -> Arc<Activity> {
        let mut all = self.activity.lock().expect("no panic while it is held");
        Arc::clone(all.entry(key).or_default())
    }
}

impl Table {
    fn forget(&mut self, key: SourceKey) {
        self.changes += 1;
        self.live.remove(&key);
        for hash in self.hashes.remove(&key).unwrap_or_default() {
            self.by_hash.remove(&hash);
        }
    }

    fn index(&mut self, tokens: &store::SourceTokens) {
        let key = tokens.key;
        let mut put = |hash, until| {
            self.by_hash.insert(hash, Indexed { key, until });
            self.hashes.entry(key).or_default().push(hash);
        };
        put(tokens.hash, None);
        if let Some((hash, until)) = tokens.earlier {
            put(hash, Some(until));
        }
    }
}

impl Service {
    /// Finds the source whose URL has this token.
    pub async fn source_at(&self, token: &str) -> Result<Option<Arc<LiveSource>>, Error> {
        let hash = hash_of(token.as_bytes());
        loop {
            let now = self.now();
            match self.0.sources.find(&hash, now) {
                Found::Live(live) => return Ok(Some(live)),
                Found::Unknown => return Ok(None),
                Found::NotLoaded => self.load_tokens().await?,
                Found::Known(key, changes) => {
                    let Some(row) = self.store().source_by_key(key).await? else {
                        return Ok(None);
                    };
                    let live = Arc::new(self.live(row, now)?);
                    self.0.sources.keep(&live, changes);
                    return Ok(Some(live));
                }
            }
        }
    }

    /// Makes a source ready to receive.
    pub(crate) fn live(&self, row: Source, now: Timestamp) -> Result<LiveSource, Error> {
        let settings = settings_of(&row)?;
        let mut fields = Fields::default();
        let plan = Plan::new(&row.provider, &settings, self.limits(), &mut fields);
        let plan =
            plan.ok_or_else(|| Error::Failed(format!("the scheme of {} cannot be read", row.id)))?;
        let mut keys = Vec::new();
        let mut fresh_until = None;
        for secret in row.secrets.iter().filter(|secret| counts(secret, now)) {
            let text = self.source_secret(&row, secret)?;
            match Key::parse(&plan.scheme, &text) {
                Ok(key) => keys.push(key),
                // The scheme was changed, and this one is of another form.
                Err(error) => {
                    tracing::warn!(source.id = %row.id, %error, "A secret cannot be used");
                }
            }
            let end = secret.expires.into_iter().chain(fresh_until).min();
            fresh_until = end;
        }
        let own = self.view(row.clone())?.url;
        let url = settings.public_url.clone().unwrap_or(own);
        Ok(LiveSource {
            activity: self.0.sources.activity(row.key),
            row,
            settings,
            plan,
            keys,
            fresh_until,
            url,
        })
    }

    pub(crate) fn source_secret(
        &self,
        source: &Source,
        secret: &store::SourceSecret,
    ) -> Result<Zeroizing<String>, Error> {
        let failed = |why: &dyn std::fmt::Display| {
            Error::Failed(format!("a secret of {} cannot be opened: {why}", source.id))
        };
        let binding = secret_binding(source.id);
        let opened = self.0.world.vault.open(&secret.sealed.0, &binding);
        let opened = opened.map_err(|error| failed(&error))?;
        let text = std::str::from_utf8(&opened).map_err(|error| failed(&error))?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    async fn load_tokens(&self) -> Result<(), Error> {
        const PAGE: u16 = 1_000;
        let changes = {
            let table = self.0.sources.table.read();
            table.expect("no panic while it is held").changes
        };
        let mut after = SourceKey::default();
        let mut all = Vec::new();
        loop {
            let found = self.store().source_tokens(after, PAGE).await?;
            let Some(last) = found.last() else { break };
            after = last.key;
            all.extend(found);
        }
        let mut table = self
            .0
            .sources
            .table
            .write()
            .expect("no panic while it is held");
        // What was changed meanwhile is read again.
        if table.changes == changes && !table.loaded {
            for tokens in &all {
                table.index(tokens);
            }
            table.loaded = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_size_at_once_and_its_rate_from_then_on() {
        let mut bucket = Bucket::default();
        let second = Duration::from_secs;
        for _ in 0..200 {
            assert_eq!(bucket.take(20, 200, second(1)), Ok(()));
        }
        assert!(bucket.take(20, 200, second(1)).is_err());
        for _ in 0..20 {
            assert_eq!(bucket.take(20, 200, second(2)), Ok(()));
        }
        assert!(bucket.take(20, 200, second(2)).is_err());
    }
}
