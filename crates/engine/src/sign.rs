//! An endpoint's signing keys, opened, with the end of each one's life.

use domain::Timestamp;
use signature::SigningKey;
use store::Endpoint;
use vault::{Binding, Purpose, Vault};

/// Signs for one endpoint; more than one key is live during a rotation.
pub(crate) struct Signer {
    keys: Vec<(SigningKey, Option<Timestamp>)>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} keys)", self.keys.len())
    }
}

impl Signer {
    /// Opens the endpoint's sealed secrets; the error is a sentence for operators.
    pub(crate) fn open(endpoint: &Endpoint, vault: &Vault) -> Result<Self, String> {
        let binding = Binding {
            purpose: Purpose::EndpointSecret,
            owner: endpoint.id.bits(),
        };
        let open = |secret: &store::SealedSecret| {
            let opened = vault
                .open(&secret.sealed.0, &binding)
                .map_err(|error| format!("the signing secret cannot be opened: {error}"))?;
            let text = std::str::from_utf8(&opened)
                .map_err(|_| "the signing secret is not text".to_owned())?;
            let key = SigningKey::parse(text)
                .map_err(|error| format!("the signing secret is not usable: {error}"))?;
            Ok((key, secret.expires))
        };
        let keys = endpoint
            .secrets
            .iter()
            .map(open)
            .collect::<Result<Vec<_>, String>>()?;
        if keys.is_empty() {
            return Err("the endpoint has no signing secret".to_owned());
        }
        Ok(Self { keys })
    }

    /// Returns the value of `webhook-signature`: one signature per key that is live at `now`.
    pub(crate) fn sign(&self, id: &str, now: Timestamp, body: &[u8]) -> String {
        let mut out = String::with_capacity(64);
        let live = self
            .keys
            .iter()
            .filter(|(_, expires)| expires.is_none_or(|end| now < end));
        for (key, _) in live {
            if !out.is_empty() {
                out.push(' ');
            }
            key.sign(id, now, body, &mut out);
        }
        out
    }
}
