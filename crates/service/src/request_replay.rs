//! Putting a request in again by hand.

use std::sync::Arc;

use domain::{InboundId, MessageId};
use store::{ApplicationRef, Idempotency, InboundRow, InboundVerdict, RequestReplay, SourceRef};

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;
use crate::inbound_headers;
use crate::receive::{Incoming, Judging, Received};

/// What became of a request that was put in again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestReplayed {
    /// The verdict.
    pub verdict: InboundVerdict,
    /// Why it was refused.
    pub reason: Option<String>,
    /// The message.
    pub message: Option<MessageId>,
    /// The request that it is in the log now, unless it was refused.
    pub request: Option<InboundId>,
}

impl Service {
    /// Puts a request in again: through verification or past it, as asked.
    ///
    /// A repeat of the call answers with how the request itself stands. The audit trail says so
    /// before it is done: nothing is put in that it does not tell of.
    pub async fn replay_request(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        request: InboundId,
        replay: RequestReplay,
        idempotency: Option<Idempotency>,
    ) -> Result<RequestReplayed, Error> {
        let row = self.request(caller, application, request).await?.row;
        let key = self.application(caller, application).await?.key;
        let before = row.clone();
        let today = async move {
            Ok(RequestReplayed {
                verdict: before.verdict,
                reason: before.reason,
                message: before.message,
                request: Some(before.id),
            })
        };
        let effect = async {
            let store = self.store_as(caller);
            store.note_replay(key, request, replay, self.now()).await?;
            self.replay_row(caller, application, row, replay, None)
                .await
        };
        self.once(idempotency, effect, today).await
    }

    pub(crate) async fn replay_row(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        row: InboundRow,
        replay: RequestReplay,
        once: Option<Idempotency>,
    ) -> Result<RequestReplayed, Error> {
        let named = SourceRef::Id(row.source_id);
        let source = self.find_source(caller, application, &named).await?;
        let source = Arc::new(self.live(source, self.now())?);
        let judging = Judging {
            at: row.id.at(),
            skips_verification: !replay.verify,
            skips_deduplication: !replay.deduplicate,
            replayed: true,
            once,
        };
        let incoming = self.as_it_came(row)?;
        Ok(match self.receive_as(source, incoming, judging).await? {
            Received::Taken(taken) => RequestReplayed {
                verdict: if taken.duplicate {
                    InboundVerdict::Duplicate
                } else {
                    InboundVerdict::Accepted
                },
                reason: None,
                message: taken.message,
                request: Some(taken.request),
            },
            Received::Refused(refusal) => RequestReplayed {
                verdict: InboundVerdict::Rejected,
                reason: Some(refusal.reason().to_owned()),
                message: None,
                request: None,
            },
            Received::Handshake(answer) => RequestReplayed {
                verdict: InboundVerdict::Handshake,
                reason: Some(answer.reason),
                message: None,
                request: None,
            },
        })
    }

    /// Puts a request together again as it came in.
    fn as_it_came(&self, row: InboundRow) -> Result<Incoming, Error> {
        let body = row.body.filter(|_| !row.marks.truncated);
        let body = body.ok_or(Error::PayloadGone)?;
        let binding = inbound_headers::binding(row.id);
        let opened = match &row.credentials {
            None => None,
            Some(sealed) => {
                let opened = self.0.world.vault.open(&sealed.0, &binding);
                Some(opened.map_err(|error| {
                    Error::Failed(format!("the credentials of {}: {error}", row.id))
                })?)
            }
        };
        let opened = opened.as_ref().map(|opened| opened.as_slice());
        let head = inbound_headers::restore(&row.headers, &row.path, opened);
        Ok(Incoming {
            method: row.method,
            suffix: head.suffix,
            query: head.query,
            headers: head.headers,
            peer: row.peer.parse().map_err(|_| Error::PayloadGone)?,
            body,
            at: row.id.at(),
        })
    }
}
