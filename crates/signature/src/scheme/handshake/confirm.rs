//! Amazon SNS: a subscription is confirmed by fetching a URL that the request names.
//!
//! The request is fetched for only when its signature holds, its topic is the source's, and the URL
//! is on the host that Amazon's certificates come from.

use super::{Answer, Asked, Greeting, HandshakeRefused, Request, Result, Verdict, question};

/// The longest URL that is fetched.
const URL_LEN_MAX: usize = 2 << 10;

impl Greeting<'_> {
    pub(super) fn confirm(&self, request: &Request<'_>) -> Result<Option<Asked>> {
        let Some(body) = question(request, "Type", "SubscriptionConfirmation") else {
            return Ok(None);
        };
        match self.scheme.verify(request, self.keys, self.now) {
            Verdict::Verified(_) => {}
            Verdict::Needs(needs) => return Ok(Some(Asked::Needs(needs))),
            Verdict::Refused(refused) => return Err(HandshakeRefused::Unsigned(refused)),
        }
        let url = body["SubscribeURL"].as_str().unwrap_or_default();
        let rule = self.scheme.certificate();
        let is_theirs = rule.is_some_and(|rule| rule.allows_host(url));
        let plain = |byte: u8| byte.is_ascii_graphic();
        if !is_theirs || url.len() > URL_LEN_MAX || !url.bytes().all(plain) {
            return Err(HandshakeRefused::ConfirmUrl);
        }
        Ok(Some(Asked::Confirm {
            url: url.to_owned(),
            answer: Answer::empty(200),
        }))
    }
}
