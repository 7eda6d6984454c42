//! Sealing anew, with the current master key, what an earlier one has sealed.

use domain::{EndpointKey, SourceKey};
use store::{Endpoint, Resealed, ResealedSource, Sealed};
use vault::Binding;

use crate::Service;
use crate::error::Error;
use crate::sources::{secret_binding, token_binding};

/// How far sealing anew has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealing {
    after: EndpointKey,
    after_source: SourceKey,
    /// Secrets and headers that the current key has sealed by now.
    pub resealed: u64,
    /// Those that no configured key opens.
    pub failed: u64,
}

impl Service {
    /// Begins sealing anew, when there are earlier master keys.
    pub fn begin_resealing(&self) -> Option<Resealing> {
        let has_earlier = self.0.world.vault.has_earlier();
        has_earlier.then(Resealing::default)
    }

    /// Counts what an earlier master key has sealed: secrets and headers of endpoints, and secrets
    /// and URLs of sources.
    pub async fn count_to_reseal(&self) -> Result<u64, Error> {
        const ROWS: u16 = 250;
        let vault = &self.0.world.vault;
        let mut count = 0;
        let mut add = |sealed: &Sealed| count += u64::from(vault.needs_resealing(&sealed.0));
        let mut after = EndpointKey::default();
        loop {
            let found = self.store().endpoints_sealed(after, ROWS).await?;
            let Some(last) = found.last() else { break };
            after = last.key;
            for endpoint in &found {
                endpoint
                    .secrets
                    .iter()
                    .for_each(|secret| add(&secret.sealed));
                endpoint.headers.iter().for_each(&mut add);
            }
        }
        let mut after = SourceKey::default();
        loop {
            let found = self.store().sources_sealed(after, ROWS).await?;
            let Some(last) = found.last() else { break };
            after = last.key;
            for source in &found {
                add(&source.token.sealed);
                source.secrets.iter().for_each(|secret| add(&secret.sealed));
            }
        }
        Ok(count)
    }

    /// Seals a batch anew, in one transaction; says whether that was all.
    ///
    /// Deliveries go on: their signing keys are the same, however they are sealed.
    pub async fn reseal(&self, progress: &mut Resealing) -> Result<bool, Error> {
        const ENDPOINTS: u16 = 100;
        let found = self
            .store()
            .endpoints_sealed(progress.after, ENDPOINTS)
            .await?;
        let Some(last) = found.last().map(|endpoint| endpoint.key) else {
            return self.reseal_sources(progress).await;
        };
        let mut anew = Vec::new();
        for endpoint in &found {
            progress.failed += self.resealed(endpoint, &mut anew);
        }
        if !anew.is_empty() {
            progress.resealed += self.store().reseal(anew).await?;
        }
        progress.after = last;
        Ok(false)
    }

    /// Seals a batch of what sources have anew; says whether that was all.
    async fn reseal_sources(&self, progress: &mut Resealing) -> Result<bool, Error> {
        const SOURCES: u16 = 100;
        let after = progress.after_source;
        let found = self.store().sources_sealed(after, SOURCES).await?;
        let Some(last) = found.last().map(|source| source.key) else {
            return Ok(true);
        };
        let vault = &self.0.world.vault;
        let mut anew = Vec::new();
        for source in &found {
            let token = (&source.token.sealed, token_binding(source.id));
            let secrets = source.secrets.iter();
            let secrets = secrets.map(|one| (&one.sealed, secret_binding(source.id)));
            for (old, binding) in secrets.chain([token]) {
                if !vault.needs_resealing(&old.0) {
                    continue;
                }
                match vault.open(&old.0, &binding) {
                    Ok(opened) => anew.push(ResealedSource {
                        source: source.key,
                        old: Sealed(old.0.clone()),
                        new: self.seal(&opened, &binding),
                    }),
                    Err(error) => {
                        tracing::error!(source.id = %source.id, %error, "A secret stays as it is");
                        progress.failed += 1;
                    }
                }
            }
        }
        if !anew.is_empty() {
            progress.resealed += self.store().reseal_sources(anew).await?;
        }
        progress.after_source = last;
        Ok(false)
    }

    /// Adds what an endpoint has to be sealed anew; returns how much cannot be opened.
    fn resealed(&self, endpoint: &Endpoint, anew: &mut Vec<Resealed>) -> u64 {
        let vault = &self.0.world.vault;
        let secret = Binding::endpoint_secret(endpoint.id);
        let headers = Binding::endpoint_headers(endpoint.id);
        let secrets = endpoint.secrets.iter().map(|one| (&one.sealed, secret));
        let headers = endpoint.headers.iter().map(|sealed| (sealed, headers));
        let mut failed = 0;
        for (old, binding) in secrets.chain(headers) {
            if !vault.needs_resealing(&old.0) {
                continue;
            }
            match vault.open(&old.0, &binding) {
                Ok(opened) => anew.push(Resealed {
                    endpoint: endpoint.key,
                    old: Sealed(old.0.clone()),
                    new: self.seal(&opened, &binding),
                }),
                Err(error) => {
                    tracing::error!(endpoint.id = %endpoint.id, %error, "A secret stays as it is");
                    failed += 1;
                }
            }
        }
        failed
    }
}
