//! Attempts: each try of a delivery and how it ended.

use std::collections::BTreeMap;

use domain::{ApplicationKey, AttemptId, ErrorClass, MessageId, Phases};
use store::{
    ApplicationRef, AttemptCursor, AttemptFilter, AttemptRow, EndpointRef, MessageRef, MessageRow,
    Page, PageRequest,
};

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;

/// Which attempts a list wants. Its `endpoint` is set by the service.
pub type AttemptQuery = AttemptFilter;

impl Service {
    /// Lists attempts to an endpoint by time.
    pub async fn attempts_by_endpoint(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        endpoint: &EndpointRef,
        query: &AttemptQuery,
        page: PageRequest<AttemptCursor>,
    ) -> Result<Page<AttemptRow, AttemptCursor>, Error> {
        let endpoint = self.endpoint(caller, application, endpoint).await?;
        let found = self
            .store()
            .attempts_by_endpoint(endpoint.key, query, page)
            .await?;
        Ok(found.map(|row| shown(caller, row)))
    }

    /// Lists attempts of a message by time, those to one endpoint only when it is given.
    pub async fn attempts_by_message(
        &self,
        caller: Caller,
        (application, message): (&ApplicationRef, &MessageRef),
        endpoint: Option<&EndpointRef>,
        query: &AttemptQuery,
        page: PageRequest<AttemptCursor>,
    ) -> Result<Page<AttemptRow, AttemptCursor>, Error> {
        let application = self.application(caller, application).await?.key;
        let message = self.message_in(application, message).await?.id;
        let mut query = query.clone();
        if let Some(endpoint) = endpoint {
            let found = self.store().endpoint(application, endpoint).await?;
            query.endpoint = Some(found.ok_or(Error::NotFound("endpoint"))?.key);
        }
        let found = self
            .store()
            .attempts_by_message(message, &query, page)
            .await?;
        Ok(found.map(|row| shown(caller, row)))
    }

    /// Reads one attempt of a message.
    pub async fn attempt(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        message: &MessageRef,
        attempt: AttemptId,
    ) -> Result<AttemptRow, Error> {
        let message = self.message(caller, application, message).await?.id;
        self.store()
            .attempt(message, attempt)
            .await?
            .map(|row| shown(caller, row))
            .ok_or(Error::NotFound("attempt"))
    }

    /// Reads the messages of some attempts; those that are erased by now are left out.
    pub async fn messages_of_attempts(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        attempts: &[AttemptRow],
    ) -> Result<BTreeMap<MessageId, MessageRow>, Error> {
        let application: ApplicationKey = self.application(caller, application).await?.key;
        let mut messages = BTreeMap::new();
        for id in attempts.iter().map(|attempt| attempt.message) {
            if messages.contains_key(&id) {
                continue;
            }
            let by_id = MessageRef::Id(id);
            if let Some(message) = self.store().message(application, &by_id).await? {
                messages.insert(id, message);
            }
        }
        Ok(messages)
    }
}

/// Leaves out of an attempt what its reader could look around in the operator's network with.
///
/// A refused connection, one that timed out and a name that does not resolve look alike then;
/// only that a destination is not allowed is told apart, because that is a setting's doing.
pub(crate) fn shown(caller: Caller, mut row: AttemptRow) -> AttemptRow {
    if caller.sees_exact_errors() {
        return row;
    }
    row.error_detail = None;
    row.phases = Phases::default();
    row.error = row.error.map(|class| match class {
        ErrorClass::DnsNotFound
        | ErrorClass::DnsFailed
        | ErrorClass::ConnectionRefused
        | ErrorClass::ConnectTimeout
        | ErrorClass::ConnectFailed => ErrorClass::ConnectFailed,
        other => other,
    });
    row
}
