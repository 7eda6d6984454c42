//! Sources, their requests, and what those are deduplicated by.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::{
    ApplicationKey, InboundId, InboundKey, JobKey, MessageId, SourceId, SourceKey, Timestamp,
};

use super::lists::{page_of, plain_page_of};
use super::{Effect, Model, State};
use crate::{
    Error, InLine, InboundFilter, InboundMarks, InboundRow, InboundStore, InboundVerdict, JobState,
    NewInbound, NewSource, Origin, Page, PageRequest, PruneRequests, PrunedRequests, Publish,
    PublishOutcome, PublishedMessage, Receipt, Reception, RequestJob, RequestReplay, RequestStep,
    ResealedSource, Sealed, Source, SourceChange, SourceRef, SourceSecret, SourceTokens, Write,
};

#[derive(Debug)]
pub(super) struct StoredSource {
    pub(super) row: Source,
    secrets_ever: i64,
    deleted: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct StoredRequest {
    pub(super) application: ApplicationKey,
    row: InboundRow,
    /// The body is the payload of the message.
    shares_body: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct StoredMark {
    message: MessageId,
    request: InboundId,
    body: [u8; 16],
    until: Timestamp,
}

impl State {
    fn live_sources(&self) -> impl Iterator<Item = &Source> {
        let live = self.sources.values().filter(|source| {
            let application = self.applications.get(&source.row.application);
            source.deleted.is_none() && application.is_some_and(|one| one.deleted.is_none())
        });
        live.map(|source| &source.row)
    }

    fn find_source(&self, application: ApplicationKey, source: &SourceRef) -> Option<&Source> {
        let mut sources = self.sources.values();
        let found = sources.find(|stored| {
            stored.row.application == application
                && stored.deleted.is_none()
                && match source {
                    SourceRef::Id(id) => stored.row.id == *id,
                    SourceRef::Uid(uid) => stored.row.uid.as_ref() == Some(uid),
                }
        });
        found.map(|stored| &stored.row)
    }

    fn refuse_source(&self, new: &Source) -> Result<(), Error> {
        let others = self.sources.values().filter(|one| one.deleted.is_none());
        for other in others.map(|one| &one.row).filter(|one| one.key != new.key) {
            if other.token.hash == new.token.hash {
                return Err(Error::Conflict("token"));
            }
            if other.application == new.application && new.uid.is_some() && other.uid == new.uid {
                return Err(Error::Conflict("uid"));
            }
        }
        Ok(())
    }

    fn create_source(&mut self, new: NewSource) -> Result<Write<Source>, Error> {
        let idempotency = new.idempotency.as_ref();
        if let Some(Effect::Source(key)) = self.effect(idempotency, new.now)? {
            let found = self.live_sources().find(|source| source.key == key);
            return found
                .map(|found| Write::Replayed(found.clone()))
                .ok_or(Error::NotFound("source"));
        }
        let application = self.applications.get(&new.application);
        let application = application
            .filter(|application| application.deleted.is_none())
            .ok_or(Error::NotFound("application"))?;
        let row = Source {
            key: SourceKey(self.last_source + 1),
            id: new.id,
            application: new.application,
            application_id: application.row.id,
            organization: application.organization,
            uid: new.uid,
            name: new.name,
            provider: new.provider,
            settings: new.settings,
            paused: false,
            awaits_handshake: new.awaits_handshake,
            token: new.token,
            earlier_token: None,
            secrets: secrets(1, new.secrets, new.now),
            version: 1,
            created: new.now,
            updated: new.now,
        };
        let own = self
            .sources
            .values()
            .filter(|source| source.row.application == new.application && source.deleted.is_none());
        super::admin::refuse_beyond("sources_per_application", own.count(), new.sources_max)?;
        self.refuse_source(&row)?;
        self.last_source += 1;
        let stored = StoredSource {
            secrets_ever: i64::try_from(row.secrets.len()).expect("a few"),
            row: row.clone(),
            deleted: None,
        };
        self.sources.insert(row.key, stored);
        self.remember(idempotency, new.now, Effect::Source(row.key));
        self.note_source((new.now, "source.create"), None, Some(&row));
        Ok(Write::Done(row))
    }

    fn note_source(
        &mut self,
        done: (Timestamp, &str),
        before: Option<&Source>,
        after: Option<&Source>,
    ) {
        let Some(one) = before.or(after) else { return };
        let named = (one.id.to_string(), Some(one.application_id));
        let sides = (before.map(|one| one as _), after.map(|one| one as _));
        self.note(one.organization, done, named, sides);
    }

    fn update_source(
        &mut self,
        application: ApplicationKey,
        source: &SourceRef,
        change: SourceChange,
    ) -> Result<Source, Error> {
        let before = self.find_source(application, source).cloned();
        let before = before.ok_or(Error::NotFound("source"))?;
        let idempotency = change.idempotency.clone();
        if let Some(Effect::Source(key)) = self.effect(idempotency.as_ref(), change.now)? {
            return Some(before)
                .filter(|before| before.key == key)
                .ok_or(Error::NotFound("source"));
        }
        if change
            .version
            .is_some_and(|version| version != before.version)
        {
            return Err(Error::Refused("the source was changed meanwhile"));
        }
        let mut row = before.clone();
        let keep = |new: Option<String>, old: &mut String| {
            if let Some(new) = new {
                *old = new;
            }
        };
        keep(change.name, &mut row.name);
        keep(change.provider, &mut row.provider);
        keep(change.settings, &mut row.settings);
        row.uid = change.uid.unwrap_or(row.uid);
        row.paused = change.paused.unwrap_or(row.paused);
        row.awaits_handshake = change.awaits_handshake.unwrap_or(row.awaits_handshake);
        if let Some((token, grace)) = change.token {
            row.earlier_token = Some((row.token.hash, change.now.plus(grace)));
            row.token = token;
        }
        row.version += 1;
        row.updated = change.now;
        let mut ever = self.sources[&row.key].secrets_ever;
        if let Some(new) = change.secrets {
            for secret in &mut row.secrets {
                let others = new.others_expire;
                secret.expires = Some(secret.expires.map_or(others, |own| own.min(others)));
            }
            row.secrets
                .retain(|secret| secret.expires.is_none_or(|end| end > change.now));
            let count = row.secrets.len() + new.added.len();
            if count as u64 > new.secrets_max {
                return Err(Error::Limit {
                    name: "secrets_per_source",
                    max: new.secrets_max,
                });
            }
            let added = secrets(ever + 1, new.added, change.now);
            ever = added.last().map_or(ever, |last| last.number);
            row.secrets.extend(added);
        }
        self.refuse_source(&row)?;
        self.remember(idempotency.as_ref(), change.now, Effect::Source(row.key));
        let stored = self.sources.get_mut(&row.key).expect("found just now");
        stored.row = row.clone();
        stored.secrets_ever = ever;
        let action = match change.action {
            "" => "source.update".to_owned(),
            action => format!("source.{action}"),
        };
        self.note_source((change.now, &action), Some(&before), Some(&row));
        Ok(row)
    }

    fn delete_source(
        &mut self,
        application: ApplicationKey,
        source: &SourceRef,
        now: Timestamp,
    ) -> Result<Source, Error> {
        let row = self.find_source(application, source).cloned();
        let row = row.ok_or(Error::NotFound("source"))?;
        let stored = self.sources.get_mut(&row.key).expect("found just now");
        stored.deleted = Some(now);
        stored.row.secrets.clear();
        self.note_source((now, "source.delete"), Some(&row), None);
        Ok(row)
    }

    // ---- Receiving ---------------------------------------------------------------------------

    pub(super) fn receive(
        &mut self,
        publish: &Publish,
        reception: &Reception,
        in_line: &mut Vec<InLine>,
    ) -> PublishOutcome {
        let request = &reception.request;
        let source = self.sources.get(&request.source);
        let source = source.filter(|source| source.deleted.is_none());
        if source.is_none_or(|source| source.row.version != reception.source_version) {
            return PublishOutcome::SourceChanged;
        }
        let now = publish.now;
        let known = |id: [u8; 16]| {
            let mark = self.marks.get(&(request.source, id)).copied();
            mark.filter(|mark| mark.until > now)
        };
        let until = now.plus(reception.window);
        let items = sorted_out(publish, reception, until, known);
        let Items {
            mut marks,
            mut first,
            own,
            messages,
        } = items;
        let all = !messages.is_empty() && messages.iter().all(|one| one.duplicate);
        let mut reason = None;
        if marks.body_differs && reception.refuses_conflicts {
            reason = Some("id_reused");
        } else if let Some((guard, earlier)) = reception
            .guard
            .filter(|_| !all)
            .and_then(|guard| Some((guard, known(guard.seal)?)))
        {
            marks.replay_suspected = true;
            first = first.or(Some(earlier.request));
            reason = guard.refuses.then_some("replayed");
        }
        let verdict = match (reason, all) {
            (Some(_), _) => InboundVerdict::Rejected,
            (None, true) => InboundVerdict::Duplicate,
            (None, false) => request.verdict,
        };
        if reason.is_none() {
            self.put_marks(reception, own, &messages, until);
            for (message, one) in publish.messages.iter().zip(&messages) {
                if !one.duplicate {
                    let waits = self.store_message(publish, message);
                    in_line.extend(waits.map(|waits| InLine {
                        message: message.id.key(),
                        waits,
                    }));
                }
            }
        }
        let receipt = Receipt {
            verdict,
            reason,
            marks,
            messages,
        };
        self.log(reception, &receipt, first);
        if reason.is_none() {
            let effect = Effect::Published(receipt.messages.clone());
            self.remember(publish.idempotency.as_ref(), publish.now, effect);
        }
        PublishOutcome::Received(Box::new(receipt))
    }

    fn put_marks(
        &mut self,
        reception: &Reception,
        own: BTreeMap<[u8; 16], StoredMark>,
        messages: &[PublishedMessage],
        until: Timestamp,
    ) {
        let source = reception.request.source;
        let own = own.into_iter().map(|(id, mark)| ((source, id), mark));
        self.marks.extend(own);
        let new = messages.iter().find(|one| !one.duplicate);
        if let (Some(guard), Some(message)) = (reception.guard, new) {
            let mark = StoredMark {
                message: message.id,
                request: reception.request.id,
                body: guard.seal,
                until,
            };
            self.marks.insert((source, guard.seal), mark);
        }
    }

    fn log(&mut self, reception: &Reception, receipt: &Receipt, first: Option<InboundId>) {
        let request = &reception.request;
        let refused = receipt.verdict == InboundVerdict::Rejected;
        let mut new = receipt.messages.iter().filter(|one| !one.duplicate);
        let message = new.clone().next().or(receipt.messages.first());
        let messages = if refused { 0 } else { new.by_ref().count() };
        let reason = receipt.reason.map(str::to_owned);
        let row = InboundRow {
            verdict: receipt.verdict,
            reason: reason.or_else(|| request.reason.clone()),
            marks: receipt.marks,
            message: message.filter(|_| !refused).map(|one| one.id),
            messages: u32::try_from(messages).expect("a few"),
            first,
            ..self.plain_row(request)
        };
        let stored = StoredRequest {
            application: request.application,
            row,
            shares_body: reception.shares_body && !refused && !receipt.marks.body_differs,
        };
        self.requests.insert(request.id.key(), stored);
    }

    fn plain_row(&self, request: &NewInbound) -> InboundRow {
        InboundRow {
            id: request.id,
            source_id: self.sources[&request.source].row.id,
            verdict: request.verdict,
            reason: request.reason.clone(),
            diagnosis: request.diagnosis.clone(),
            marks: request.marks,
            message: None,
            messages: 0,
            first: None,
            method: request.method.clone(),
            path: request.path.clone(),
            peer: request.peer.clone(),
            headers: request.headers.clone(),
            credentials: request.credentials.clone(),
            body: Some(request.body.clone()),
            body_len: request.body_len,
            provider_id: request.provider_id.clone(),
        }
    }

    fn note_requests(&mut self, requests: &[NewInbound]) {
        for request in requests {
            let source = self.sources.get(&request.source);
            if source.is_some_and(|source| source.deleted.is_none()) {
                let stored = StoredRequest {
                    application: request.application,
                    row: self.plain_row(request),
                    shares_body: false,
                };
                self.requests.insert(request.id.key(), stored);
            }
        }
    }

    fn find_request(&self, application: ApplicationKey, id: InboundId) -> Option<InboundRow> {
        let stored = self.requests.get(&id.key())?;
        let mut row = Some(stored.row.clone())
            .filter(|row| row.id == id && stored.application == application)?;
        if stored.shares_body {
            let message = row.message.and_then(|id| self.messages.get(&id.key()));
            let payload = message.and_then(|message| message.row.payload.clone());
            row.body = payload.map(|payload| payload.bytes);
        }
        Some(row)
    }

    /// The request that brought a message, as its deliveries see it.
    pub(super) fn origin_of(&self, message: &super::StoredMessage) -> Option<Origin> {
        let stored = self.requests.get(&message.request?)?;
        let row = &stored.row;
        let whole = row.messages == 1 && !stored.shares_body;
        Some(Origin {
            request: row.id,
            method: row.method.clone(),
            path: row.path.clone(),
            peer: row.peer.clone(),
            headers: row.headers.clone(),
            body: row.body.clone().filter(|_| whole),
        })
    }

    fn list_requests(
        &self,
        application: ApplicationKey,
        filter: &InboundFilter,
        page: &PageRequest<InboundKey>,
    ) -> Page<InboundRow, InboundKey> {
        let own = self.requests.values();
        let own = own.filter(|request| request.application == application);
        let rows: Vec<InboundRow> = own.map(|request| request.row.clone()).collect();
        let wanted = |row: InboundRow| {
            let whole = self.find_request(application, row.id)?;
            let message = row.message.and_then(|id| self.messages.get(&id.key()));
            let event_type = message.map(|message| message.row.event_type.as_str());
            let is_in = filter
                .search
                .is_in_content(whole.body.as_deref(), event_type);
            let row = InboundRow { body: None, ..row };
            Some(row).filter(|row| is_in && filter.matches(row))
        };
        page_of(rows, page, |row| row.id.key(), wanted)
    }

    fn prune_requests(&mut self, prune: &PruneRequests) -> PrunedRequests {
        let (requests, marks) = (self.requests.len(), self.marks.len());
        let before = InboundKey::first_at(prune.before);
        self.requests.retain(|key, _| *key >= before);
        self.sources
            .retain(|_, source| source.deleted.is_none_or(|at| at >= prune.before));
        self.marks.retain(|_, mark| mark.until > prune.now);
        PrunedRequests {
            requests: (requests - self.requests.len()) as u64,
            marks: (marks - self.marks.len()) as u64,
            more: false,
        }
    }
}

/// Which messages of a publish are new.
struct Items {
    marks: InboundMarks,
    first: Option<InboundId>,
    /// What is new, by what it is known by.
    own: BTreeMap<[u8; 16], StoredMark>,
    messages: Vec<PublishedMessage>,
}

fn sorted_out(
    publish: &Publish,
    reception: &Reception,
    until: Timestamp,
    known: impl Fn([u8; 16]) -> Option<StoredMark>,
) -> Items {
    let request = &reception.request;
    let mut items = Items {
        marks: request.marks,
        first: None,
        own: BTreeMap::new(),
        messages: Vec::new(),
    };
    for (message, mark) in publish.messages.iter().zip(&reception.marks) {
        let own = &mut items.own;
        let earlier = mark.and_then(|mark| own.get(&mark.id).copied().or(known(mark.id)));
        if let (Some(mark), Some(earlier)) = (mark, earlier) {
            items.marks.body_differs |= mark.body != earlier.body;
            items.first = items.first.or(Some(earlier.request));
        } else if let Some(mark) = mark {
            let stored = StoredMark {
                message: message.id,
                request: request.id,
                body: mark.body,
                until,
            };
            own.insert(mark.id, stored);
        }
        items.messages.push(PublishedMessage {
            id: earlier.map_or(message.id, |earlier| earlier.message),
            duplicate: earlier.is_some(),
        });
    }
    items
}

fn secrets(from: i64, sealed: Vec<Sealed>, now: Timestamp) -> Vec<SourceSecret> {
    (from..)
        .zip(sealed)
        .map(|(number, sealed)| SourceSecret {
            number,
            sealed,
            created: now,
            expires: None,
        })
        .collect()
}

#[async_trait]
impl InboundStore for Model {
    async fn create_source(&self, new: NewSource) -> Result<Write<Source>, Error> {
        self.write(|state| state.create_source(new))
    }

    async fn source(
        &self,
        application: ApplicationKey,
        source: &SourceRef,
    ) -> Result<Option<Source>, Error> {
        Ok(self.state().find_source(application, source).cloned())
    }

    async fn source_by_key(&self, key: SourceKey) -> Result<Option<Source>, Error> {
        let state = self.state();
        let found = state.live_sources().find(|source| source.key == key);
        Ok(found.cloned())
    }

    async fn sources(
        &self,
        application: ApplicationKey,
        page: PageRequest<SourceId>,
    ) -> Result<Page<Source>, Error> {
        let state = self.state();
        let own = state
            .live_sources()
            .filter(|one| one.application == application);
        let mut rows: Vec<_> = own.map(|one| (one.id, one.clone())).collect();
        rows.sort_by_key(|(id, _)| *id);
        Ok(plain_page_of(rows, &page))
    }

    async fn source_tokens(
        &self,
        after: SourceKey,
        limit: u16,
    ) -> Result<Vec<SourceTokens>, Error> {
        let state = self.state();
        let sources = state.live_sources().filter(|source| source.key > after);
        let tokens = sources.map(|source| SourceTokens {
            key: source.key,
            hash: source.token.hash,
            earlier: source.earlier_token,
        });
        Ok(tokens.take(limit.into()).collect())
    }

    async fn update_source(
        &self,
        application: ApplicationKey,
        source: &SourceRef,
        change: SourceChange,
    ) -> Result<Source, Error> {
        self.write(|state| state.update_source(application, source, change))
    }

    async fn delete_source(
        &self,
        application: ApplicationKey,
        source: &SourceRef,
        now: Timestamp,
    ) -> Result<Source, Error> {
        self.write(|state| state.delete_source(application, source, now))
    }

    async fn sources_sealed(&self, after: SourceKey, limit: u16) -> Result<Vec<Source>, Error> {
        let state = self.state();
        let sources = state.sources.range(SourceKey(after.0 + 1)..);
        let rows = sources.map(|(_, source)| source.row.clone());
        Ok(rows.take(limit.into()).collect())
    }

    async fn reseal_sources(&self, resealed: Vec<ResealedSource>) -> Result<u64, Error> {
        self.write(|state| {
            let mut replaced = 0;
            for one in resealed {
                let Some(source) = state.sources.get_mut(&one.source) else {
                    continue;
                };
                let secrets = source.row.secrets.iter_mut();
                let sealed = secrets.map(|secret| &mut secret.sealed);
                for sealed in sealed.chain([&mut source.row.token.sealed]) {
                    if *sealed == one.old {
                        sealed.clone_from(&one.new);
                        replaced += 1;
                    }
                }
            }
            Ok(replaced)
        })
    }

    async fn note_requests(&self, requests: Vec<NewInbound>) -> Result<(), Error> {
        self.write(|state| state.note_requests(&requests));
        Ok(())
    }

    async fn request(
        &self,
        application: ApplicationKey,
        request: InboundId,
    ) -> Result<Option<InboundRow>, Error> {
        Ok(self.state().find_request(application, request))
    }

    async fn requests(
        &self,
        application: ApplicationKey,
        filter: &InboundFilter,
        page: PageRequest<InboundKey>,
    ) -> Result<Page<InboundRow, InboundKey>, Error> {
        Ok(self.state().list_requests(application, filter, &page))
    }

    async fn note_replay(
        &self,
        application: ApplicationKey,
        request: InboundId,
        replay: RequestReplay,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.write(|state| {
            let organization = state.organization_of(application);
            let named = (request.to_string(), state.id_of(application));
            let done = (now, "request.replay");
            state.note(organization, done, named, (None, Some(&replay)));
            Ok(())
        })
    }

    async fn request_job(&self, job: JobKey) -> Result<Option<RequestJob>, Error> {
        Ok(self.state().request_job(job))
    }

    async fn step_request_job(&self, step: RequestStep) -> Result<JobState, Error> {
        self.write(|state| Ok(state.step_request_job(&step)))
    }

    async fn diagnose_request(&self, request: InboundId, diagnosis: &str) -> Result<(), Error> {
        self.write(|state| {
            let found = state.requests.get_mut(&request.key());
            if let Some(found) = found.filter(|found| found.row.id == request) {
                found.row.diagnosis = Some(diagnosis.to_owned());
            }
            Ok(())
        })
    }

    async fn prune_requests(&self, prune: PruneRequests) -> Result<PrunedRequests, Error> {
        self.write(|state| Ok(state.prune_requests(&prune)))
    }
}
