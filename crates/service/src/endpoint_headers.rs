//! Custom headers of endpoints. They often carry credentials, so they are sealed like secrets.

use std::collections::{BTreeMap, BTreeSet};

use domain::EndpointId;
use store::{ApplicationRef, Endpoint, EndpointChange, EndpointRef, Sealed};
use vault::Binding;

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;
use crate::fields::Fields;

/// Custom headers, as far as they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointHeaders {
    /// Names and values.
    pub headers: BTreeMap<String, String>,
    /// Names of headers whose values are not shown.
    pub sensitive: BTreeSet<String>,
}

/// Headers whose values are credentials: written, never shown.
const SENSITIVE: [&str; 9] = [
    "api-key",
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-access-token",
    "x-api-key",
    "x-api-token",
    "x-auth-token",
    "x-secret",
];

/// Headers that belong to the connection, or to the request as we frame and sign it.
const FORBIDDEN: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Receivers verify these; nobody else may write them.
const FORBIDDEN_PREFIX: &str = "webhook-";

impl Service {
    /// Returns the custom headers of an endpoint, without the values of the sensitive ones.
    pub async fn endpoint_headers(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        endpoint: &EndpointRef,
    ) -> Result<EndpointHeaders, Error> {
        let endpoint = self.endpoint(caller, application, endpoint).await?;
        let all = self.open_headers(&endpoint)?;
        let (sensitive, headers): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(name, _)| is_sensitive(name));
        Ok(EndpointHeaders {
            headers,
            sensitive: sensitive.into_keys().collect(),
        })
    }

    /// Replaces the custom headers of an endpoint.
    pub async fn put_endpoint_headers(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        endpoint: &EndpointRef,
        headers: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let _alone = self.0.headers.lock().await;
        let endpoint = self.endpoint(caller, application, endpoint).await?;
        self.write_headers(caller, &endpoint, &headers).await
    }

    /// Sets some custom headers of an endpoint, and removes those that are given as `None`.
    pub async fn patch_endpoint_headers(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        endpoint: &EndpointRef,
        patch: BTreeMap<String, Option<String>>,
    ) -> Result<(), Error> {
        let _alone = self.0.headers.lock().await;
        let endpoint = self.endpoint(caller, application, endpoint).await?;
        let mut headers = self.open_headers(&endpoint)?;
        for (name, value) in patch {
            // The same header in another spelling is the same header.
            headers.retain(|existing, _| !existing.eq_ignore_ascii_case(&name));
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        self.write_headers(caller, &endpoint, &headers).await
    }

    async fn write_headers(
        &self,
        caller: Caller,
        endpoint: &Endpoint,
        headers: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let mut fields = Fields::default();
        self.check_headers(&mut fields, headers);
        fields.check()?;
        let change = EndpointChange {
            headers: Some(self.seal_headers(endpoint.id, headers)),
            now: self.now(),
            ..EndpointChange::default()
        };
        self.write_endpoint(caller, endpoint, change).await?;
        Ok(())
    }

    pub(crate) fn check_headers(&self, fields: &mut Fields, headers: &BTreeMap<String, String>) {
        let limits = self.limits();
        if headers.len() > limits.endpoint_headers {
            let (len, max) = (headers.len(), limits.endpoint_headers);
            let msg = format!("has {len} headers; at most {max} are allowed");
            fields.fault(&["headers"], msg);
            return;
        }
        let mut seen = BTreeSet::new();
        for (name, value) in headers {
            let lower = name.to_ascii_lowercase();
            let verdict =
                check_name(&lower).and_then(|()| check_value(value, limits.endpoint_header_bytes));
            // Only what a log and a terminal can show goes into the answer.
            let shown = name.escape_debug().to_string();
            fields.take(&["headers", &shown], verdict);
            if !seen.insert(lower) {
                fields.fault(
                    &["headers", &shown],
                    "is given twice in different spellings",
                );
            }
        }
    }

    /// Seals headers as a JSON object; without any there is nothing to seal.
    pub(crate) fn seal_headers(
        &self,
        endpoint: EndpointId,
        headers: &BTreeMap<String, String>,
    ) -> Option<Sealed> {
        if headers.is_empty() {
            return None;
        }
        let json = serde_json::to_vec(headers).expect("a map of texts is JSON");
        Some(self.seal(&json, &Binding::endpoint_headers(endpoint)))
    }

    fn open_headers(&self, endpoint: &Endpoint) -> Result<BTreeMap<String, String>, Error> {
        let Some(sealed) = &endpoint.headers else {
            return Ok(BTreeMap::new());
        };
        let failed = |cause: String| {
            let id = endpoint.id;
            Error::Failed(format!("the headers of {id} cannot be opened: {cause}"))
        };
        let binding = Binding::endpoint_headers(endpoint.id);
        let opened = self.0.world.vault.open(&sealed.0, &binding);
        let opened = opened.map_err(|error| failed(error.to_string()))?;
        // The parser's own message could quote a value.
        serde_json::from_slice(&opened).map_err(|_| failed("not a JSON object".into()))
    }
}

fn is_sensitive(name: &str) -> bool {
    SENSITIVE
        .iter()
        .any(|other| name.eq_ignore_ascii_case(other))
}

/// Checks a name in lower case: a token of RFC 9110, and not one that we write ourselves.
fn check_name(name: &str) -> Result<(), String> {
    const LEN_MAX: usize = 128;
    if name.is_empty() || name.len() > LEN_MAX {
        return Err(format!("must have 1 to {LEN_MAX} characters"));
    }
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if let Some(found) = name.bytes().find(|byte| !is_token(*byte)) {
        let found = char::from(found);
        return Err(format!("has {found:?}, which a header's name cannot have"));
    }
    if FORBIDDEN.contains(&name) || name.starts_with(FORBIDDEN_PREFIX) {
        return Err("is a header that posthaste writes itself".into());
    }
    Ok(())
}

fn check_value(value: &str, bytes_max: usize) -> Result<(), String> {
    if value.len() > bytes_max {
        let bytes = value.len();
        return Err(format!(
            "has {bytes} bytes; at most {bytes_max} are allowed"
        ));
    }
    if let Some(found) = value.chars().find(|c| !matches!(c, ' '..='~' | '\t')) {
        return Err(format!("has {found:?}, which a header's value cannot have"));
    }
    if value.trim_ascii() != value {
        return Err("begins or ends with white space, which is lost on the way".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_framing_signature_and_other_requests_are_refused() {
        for name in [
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "expect",
            "webhook-signature",
            "webhook-anything",
            ":authority",
            "ho st",
            "x\r\ny",
            "",
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert_eq!(check_name("x-tenant"), Ok(()));
        assert_eq!(check_name("user-agent"), Ok(()));
    }

    #[test]
    fn values_cannot_end_a_line_or_be_too_long() {
        let long = "a".repeat(4_097);
        for value in ["x\r\nX-Evil: 1", "x\n y", "\0", " x", "é", long.as_str()] {
            assert!(check_value(value, 4_096).is_err(), "{value:?}");
        }
        assert_eq!(check_value("Bearer abc\tdef", 4_096), Ok(()));
        assert_eq!(check_value("", 4_096), Ok(()));
    }
}
