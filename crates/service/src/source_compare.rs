//! Telling whether a source has the secrets that somebody says, without showing any.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use store::{ApplicationRef, SourceRef};

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;
use crate::keys::hash_of;
use crate::source_settings::verify_token_hash;
use crate::sources::settings_of;

/// What a source is thought to have.
#[derive(Clone, Default)]
pub struct SourceSecrets {
    /// Its current secrets, in any order.
    pub secrets: Vec<String>,
    /// Its verify token, if it has one.
    pub verify_token: Option<String>,
}

/// Whether it has that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceCompared {
    /// These are its current secrets: all of them, and no others.
    pub secrets: bool,
    /// This is its verify token, or it has none as was said.
    pub verify_token: bool,
}

impl Service {
    /// Compares what a source has with what it is thought to have. Secrets that were replaced and
    /// still count for a while are not current.
    pub async fn compare_source(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        source: &SourceRef,
        thought: &SourceSecrets,
    ) -> Result<SourceCompared, Error> {
        let source = self.find_source(caller, application, source).await?;
        let current = source.secrets.iter().filter(|one| one.expires.is_none());
        let mut has = Vec::new();
        for secret in current {
            let text = self.source_secret(&source, secret)?;
            has.push(hash_of(text.as_bytes()));
        }
        let wants = thought.secrets.iter();
        let mut wants: Vec<_> = wants.map(|one| hash_of(one.as_bytes())).collect();
        has.sort_unstable();
        wants.sort_unstable();
        wants.dedup();
        let is_same =
            |(one, other): (&[u8; 32], &[u8; 32])| verify_slices_are_equal(one, other).is_ok();
        let token = thought.verify_token.as_deref().map(verify_token_hash);
        Ok(SourceCompared {
            secrets: has.len() == wants.len() && has.iter().zip(&wants).all(is_same),
            verify_token: token == settings_of(&source)?.verify_token_hash,
        })
    }
}
