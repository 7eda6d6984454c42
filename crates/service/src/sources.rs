//! Sources: inbound URLs, made, changed, and shown.

use std::time::Duration;

use domain::{SourceId, Timestamp, Uid};
use signature::scheme::Key;
use store::{
    ApplicationRef, Idempotency, NewSource, Page, PageRequest, Sealed, SecretChange, Source,
    SourceChange, SourceRef, SourceToken,
};
use vault::{Binding, Purpose};

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;
use crate::fields::Fields;
use crate::keys::hash_of;
use crate::live_sources::ActivitySeen;
use crate::source_settings::{Plan, SourceSettings, VerifyMode};

/// A source as a caller describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceInput {
    /// A name for people.
    pub name: String,
    /// The caller's own name for it.
    pub uid: Option<String>,
    /// A preset's name, or `custom`.
    pub provider: String,
    /// Its secrets as the provider writes them; `None` keeps those that there are.
    pub secrets: Option<Vec<String>>,
    /// Everything else.
    pub settings: SourceSettings,
}

/// A source, and what is known of it beside what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceView {
    /// What is stored.
    pub source: Source,
    /// Its settings.
    pub settings: SourceSettings,
    /// Where its provider sends to.
    pub url: String,
    /// What came in since the server started.
    pub activity: ActivitySeen,
}

/// How the secrets of a source are to be replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRotation {
    /// The new secret.
    pub secret: String,
    /// How long the others go on; a day when not given.
    pub grace: Option<Duration>,
}

/// How long what was replaced goes on when nobody says.
const GRACE: Duration = Duration::from_hours(24);
/// The longest that it may.
const GRACE_MAX: Duration = Duration::from_hours(7 * 24);
/// How long a source waits for the provider to bring the secret.
const HANDSHAKE_WAIT: Duration = Duration::from_mins(15);

impl Service {
    /// Creates a source; its URL works at once.
    pub async fn create_source(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        input: SourceInput,
        idempotency: Option<Idempotency>,
    ) -> Result<SourceView, Error> {
        let application = self.application(caller, application).await?;
        let now = self.now();
        let id = SourceId::from_bits(self.fresh_id(now));
        let checked = self.checked(&input, Some(&[]), id)?;
        let new = NewSource {
            application: application.key,
            id,
            uid: checked.uid,
            name: input.name,
            provider: input.provider,
            settings: checked.settings,
            awaits_handshake: checked.awaits.then(|| now.plus(HANDSHAKE_WAIT)),
            token: self.fresh_source_token(id),
            secrets: checked.secrets,
            sources_max: self.limits().sources_per_application as u64,
            now,
            idempotency,
        };
        let created = self.store_as(caller).create_source(new).await?.into_inner();
        self.0.sources.changed(&created);
        self.view(created)
    }

    /// Reads one source.
    pub async fn source(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        source: &SourceRef,
    ) -> Result<SourceView, Error> {
        let found = self.find_source(caller, application, source).await?;
        self.view(found)
    }

    pub(crate) async fn find_source(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        source: &SourceRef,
    ) -> Result<Source, Error> {
        let application = self.application(caller, application).await?;
        let found = self.store().source(application.key, source).await?;
        found.ok_or(Error::NotFound("source"))
    }

    /// Lists the sources of an application by id.
    pub async fn sources(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        page: PageRequest<SourceId>,
    ) -> Result<Page<SourceView>, Error> {
        let application = self.application(caller, application).await?;
        let found = self.store().sources(application.key, page).await?;
        let (done, resume) = (found.done, found.resume);
        let items = found.items.into_iter().map(|source| self.view(source));
        Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            done,
            resume,
        })
    }

    /// Replaces a source; `change` makes the new description from the present one, and may be
    /// called again when somebody else was faster.
    pub async fn change_source<E: From<Error>>(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        source: &SourceRef,
        change: impl Fn(&SourceView) -> Result<SourceInput, E> + Send,
    ) -> Result<SourceView, E> {
        const TRIES: usize = 8;
        for _ in 0..TRIES {
            let before = self.find_source(caller, application, source).await?;
            let input = change(&self.view(before.clone())?)?;
            let now = self.now();
            let secrets = before.secrets.iter().map(|one| &one.sealed);
            let secrets: Vec<_> = secrets.collect();
            let checked = self.checked(&input, Some(&secrets), before.id)?;
            let replaced = input.secrets.is_some().then(|| SecretChange {
                added: checked.secrets,
                others_expire: now,
                secrets_max: self.limits().secrets_per_source as u64,
            });
            let change = SourceChange {
                uid: Some(checked.uid),
                name: Some(input.name),
                provider: Some(input.provider),
                settings: Some(checked.settings),
                secrets: replaced,
                awaits_handshake: checked.awaits.then(|| Some(now.plus(HANDSHAKE_WAIT))),
                version: Some(before.version),
                now,
                ..SourceChange::default()
            };
            match self.update_source(caller, &before, change).await {
                Err(Error::Conflict(why)) if why.contains("meanwhile") => {}
                done => return Ok(done?),
            }
        }
        Err(Error::Busy.into())
    }

    pub(crate) async fn update_source(
        &self,
        caller: Caller,
        source: &Source,
        change: SourceChange,
    ) -> Result<SourceView, Error> {
        let by_id = SourceRef::Id(source.id);
        let store = self.store_as(caller);
        let changed = store
            .update_source(source.application, &by_id, change)
            .await?;
        self.0.sources.changed(&changed);
        self.view(changed)
    }

    /// Stops taking anything in, or begins again.
    pub async fn pause_source(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        source: &SourceRef,
        paused: bool,
        idempotency: Option<Idempotency>,
    ) -> Result<SourceView, Error> {
        let found = self.find_source(caller, application, source).await?;
        let change = SourceChange {
            paused: Some(paused),
            action: if paused { "pause" } else { "resume" },
            idempotency,
            now: self.now(),
            ..SourceChange::default()
        };
        self.update_source(caller, &found, change).await
    }

    /// Puts in a secret; the others go on for a while.
    pub async fn rotate_source_secret(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        source: &SourceRef,
        rotation: SourceRotation,
        idempotency: Option<Idempotency>,
    ) -> Result<SourceView, Error> {
        let found = self.find_source(caller, application, source).await?;
        let grace = grace(rotation.grace)?;
        let settings = settings_of(&found)?;
        let mut fields = Fields::default();
        let plan = Plan::new(&found.provider, &settings, self.limits(), &mut fields);
        let plan = plan.ok_or_else(|| Error::Failed(format!("{} has no scheme", found.id)))?;
        let parsed = Key::parse(&plan.scheme, &rotation.secret);
        fields.take(&["secret"], parsed);
        fields.check()?;
        let now = self.now();
        let change = SourceChange {
            secrets: Some(SecretChange {
                added: vec![self.seal_source_secret(found.id, &rotation.secret)],
                others_expire: now.plus(grace),
                secrets_max: self.limits().secrets_per_source as u64,
            }),
            awaits_handshake: Some(None),
            action: "rotate_secret",
            idempotency,
            now,
            ..SourceChange::default()
        };
        self.update_source(caller, &found, change).await
    }

    /// Gives a source another URL; the present one goes on for a while.
    pub async fn rotate_source_token(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        source: &SourceRef,
        given: Option<Duration>,
        idempotency: Option<Idempotency>,
    ) -> Result<SourceView, Error> {
        let found = self.find_source(caller, application, source).await?;
        let change = SourceChange {
            token: Some((self.fresh_source_token(found.id), grace(given)?)),
            action: "rotate_token",
            idempotency,
            now: self.now(),
            ..SourceChange::default()
        };
        self.update_source(caller, &found, change).await
    }

    /// Deletes a source; its URL ends at once, and its requests are kept as long as any others.
    pub async fn delete_source(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        source: &SourceRef,
    ) -> Result<(), Error> {
        let found = self.find_source(caller, application, source).await?;
        let by_id = SourceRef::Id(found.id);
        let store = self.store_as(caller);
        let deleted = store
            .delete_source(found.application, &by_id, self.now())
            .await?;
        self.0.sources.deleted(deleted.key);
        Ok(())
    }

    /// Shows a source.
    pub(crate) fn view(&self, source: Source) -> Result<SourceView, Error> {
        let settings = settings_of(&source)?;
        let binding = token_binding(source.id);
        let token = self.0.world.vault.open(&source.token.sealed.0, &binding);
        let token = token.map_err(|error| {
            Error::Failed(format!(
                "the token of {} cannot be opened: {error}",
                source.id
            ))
        })?;
        let token = String::from_utf8_lossy(&token);
        Ok(SourceView {
            url: format!("{}/in/{token}", self.0.world.portal.public_url),
            activity: self.0.sources.activity(source.key).seen(),
            settings,
            source,
        })
    }

    fn fresh_source_token(&self, source: SourceId) -> SourceToken {
        let mut random = [0; 20];
        self.0.world.entropy.fill(&mut random);
        let token = token_text(&random);
        let binding = token_binding(source);
        SourceToken {
            hash: hash_of(token.as_bytes()),
            sealed: self.seal(token.as_bytes(), &binding),
        }
    }

    pub(crate) fn seal_source_secret(&self, source: SourceId, secret: &str) -> Sealed {
        let binding = secret_binding(source);
        self.seal(secret.as_bytes(), &binding)
    }

    /// Checks a description; `present` are the secrets that there are.
    fn checked(
        &self,
        input: &SourceInput,
        present: Option<&[&Sealed]>,
        id: SourceId,
    ) -> Result<Checked, Error> {
        let limits = self.limits();
        let mut fields = Fields::default();
        fields.text("name", &input.name, 1, limits.name_chars);
        let uid = fields.uid(input.uid.as_deref(), SourceId::looks_like);
        let plan = Plan::new(&input.provider, &input.settings, limits, &mut fields);
        let given = input.secrets.as_deref().unwrap_or_default();
        if given.len() > limits.secrets_per_source {
            let (len, max) = (given.len(), limits.secrets_per_source);
            let msg = format!("has {len} items; at most {max} are allowed");
            fields.fault(&["secrets"], msg);
        }
        let mut awaits = false;
        if let Some(plan) = &plan {
            for (index, secret) in given.iter().enumerate() {
                let place = ["secrets", &index.to_string()];
                fields.take(&place, Key::parse(&plan.scheme, secret));
            }
            let kept = present.map_or(0, <[_]>::len);
            let none = given.is_empty() && (input.secrets.is_some() || kept == 0);
            awaits = none && plan.is_keyed_by_handshake();
            if none && !awaits && input.settings.verify != VerifyMode::None {
                fields.fault(
                    &["secrets"],
                    "must have at least one; a source that verifies nothing says so with \
                     `\"verify\": \"none\"`",
                );
            }
        }
        fields.check()?;
        Ok(Checked {
            uid,
            settings: serde_json::to_string(&input.settings)
                .map_err(|error| Error::Failed(error.to_string()))?,
            secrets: given
                .iter()
                .map(|secret| self.seal_source_secret(id, secret))
                .collect(),
            awaits,
        })
    }
}

/// What a description became.
struct Checked {
    uid: Option<Uid>,
    settings: String,
    secrets: Vec<Sealed>,
    /// The provider brings the secret.
    awaits: bool,
}

/// Reads settings back.
pub(crate) fn settings_of(source: &Source) -> Result<SourceSettings, Error> {
    serde_json::from_str(&source.settings).map_err(|error| {
        Error::Failed(format!(
            "the settings of {} cannot be read: {error}",
            source.id
        ))
    })
}

pub(crate) const fn secret_binding(source: SourceId) -> Binding {
    Binding {
        purpose: Purpose::SourceSecret,
        owner: source.bits(),
    }
}

pub(crate) const fn token_binding(source: SourceId) -> Binding {
    Binding {
        purpose: Purpose::SourceToken,
        owner: source.bits(),
    }
}

fn grace(given: Option<Duration>) -> Result<Duration, Error> {
    let grace = given.unwrap_or(GRACE);
    if grace > GRACE_MAX {
        let msg = format!("must be at most {}", GRACE_MAX.as_secs());
        return Err(Error::field(&["gracePeriodSeconds"], msg));
    }
    Ok(grace)
}

/// Writes random bytes in the characters of ids, which no provider changes on the way.
fn token_text(random: &[u8; 20]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut text = String::with_capacity(32);
    for five in random.as_chunks::<5>().0 {
        let bits = five
            .iter()
            .fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let index = usize::try_from(bits >> (5 * place) & 31).expect("five bits fit");
            text.push(char::from(ALPHABET[index]));
        }
    }
    text
}

/// Says whether a secret of a source counts at a time.
pub(crate) fn counts(secret: &store::SourceSecret, now: Timestamp) -> bool {
    secret.expires.is_none_or(|end| now < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_a_character_for_every_five_bits() {
        assert_eq!(token_text(&[0; 20]), "0".repeat(32));
        assert_eq!(token_text(&[255; 20]), "z".repeat(32));
        let mut random = [0; 20];
        random[4] = 1;
        assert_eq!(&token_text(&random)[..9], "000000010");
    }
}
