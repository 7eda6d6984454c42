//! The contract of sources and requests: each method goes to the writer or to a reader.

use async_trait::async_trait;
use domain::{ApplicationKey, InboundId, InboundKey, JobKey, SourceId, SourceKey, Timestamp};
use store::{
    Error, InboundFilter, InboundRow, InboundStore, JobState, NewInbound, NewSource, Page,
    PageRequest, PruneRequests, PrunedRequests, RequestJob, RequestReplay, RequestStep,
    ResealedSource, Source, SourceChange, SourceRef, SourceTokens, Write,
};

use crate::{SqliteStore, request, request_job, source};

#[async_trait]
impl InboundStore for SqliteStore {
    async fn create_source(&self, new: NewSource) -> Result<Write<Source>, Error> {
        self.write(move |tx| source::create(tx, &new)).await
    }

    async fn source(
        &self,
        application: ApplicationKey,
        source: &SourceRef,
    ) -> Result<Option<Source>, Error> {
        let named = source.clone();
        self.read(move |c, _| Ok(source::load(c, application, &named)?))
            .await
    }

    async fn source_by_key(&self, key: SourceKey) -> Result<Option<Source>, Error> {
        self.read(move |c, _| Ok(source::by_key(c, key)?)).await
    }

    async fn sources(
        &self,
        application: ApplicationKey,
        page: PageRequest<SourceId>,
    ) -> Result<Page<Source>, Error> {
        self.read(move |c, _| source::list(c, application, &page))
            .await
    }

    async fn source_tokens(
        &self,
        after: SourceKey,
        limit: u16,
    ) -> Result<Vec<SourceTokens>, Error> {
        self.read(move |c, _| source::tokens(c, after, limit)).await
    }

    async fn update_source(
        &self,
        application: ApplicationKey,
        source: &SourceRef,
        change: SourceChange,
    ) -> Result<Source, Error> {
        let named = source.clone();
        self.write(move |tx| source::update(tx, application, &named, &change))
            .await
    }

    async fn delete_source(
        &self,
        application: ApplicationKey,
        source: &SourceRef,
        now: Timestamp,
    ) -> Result<Source, Error> {
        let named = source.clone();
        self.write(move |tx| source::delete(tx, application, &named, now))
            .await
    }

    async fn sources_sealed(&self, after: SourceKey, limit: u16) -> Result<Vec<Source>, Error> {
        self.read(move |c, _| source::sealed(c, after, limit)).await
    }

    async fn reseal_sources(&self, resealed: Vec<ResealedSource>) -> Result<u64, Error> {
        self.write(move |tx| source::reseal(tx, &resealed)).await
    }

    async fn note_requests(&self, requests: Vec<NewInbound>) -> Result<(), Error> {
        self.write(move |tx| request::note(tx, &requests)).await
    }

    async fn request(
        &self,
        application: ApplicationKey,
        request: InboundId,
    ) -> Result<Option<InboundRow>, Error> {
        self.read(move |c, _| request::load(c, application, request))
            .await
    }

    async fn requests(
        &self,
        application: ApplicationKey,
        filter: &InboundFilter,
        page: PageRequest<InboundKey>,
    ) -> Result<Page<InboundRow, InboundKey>, Error> {
        let filter = filter.clone();
        self.read(move |c, _| request::list(c, application, &filter, &page))
            .await
    }

    async fn note_replay(
        &self,
        application: ApplicationKey,
        request: InboundId,
        replay: RequestReplay,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.write(move |tx| request_job::note_replay(tx, application, request, replay, now))
            .await
    }

    async fn request_job(&self, job: JobKey) -> Result<Option<RequestJob>, Error> {
        self.read(move |c, _| request_job::load(c, job)).await
    }

    async fn step_request_job(&self, step: RequestStep) -> Result<JobState, Error> {
        self.write(move |tx| request_job::step(tx, &step)).await
    }

    async fn diagnose_request(&self, request: InboundId, diagnosis: &str) -> Result<(), Error> {
        let text = diagnosis.to_owned();
        self.write(move |tx| request::diagnose(tx, request, &text))
            .await
    }

    async fn prune_requests(&self, prune: PruneRequests) -> Result<PrunedRequests, Error> {
        self.write(move |tx| request::prune(tx, &prune)).await
    }
}
