//! Replays: `…/app/{app_id}/replay`, and an endpoint's `recover`, `replay-missing`, `bulk-replay`.

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{Channel, EventType, JobId, Tag, Timestamp};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::{
    EndpointRef, Job, JobAction, JobFilter, JobKind, JobState, Order, ReplayInput, ReplayOf,
    ReplayPreview, RequestCriteria, Service,
};

use crate::answer::{Accepted, Answer, Found, json};
use crate::background_tasks::TaskOut;
use crate::error::ApiError;
use crate::extract::{
    Access, AppPath, Body, EndpointPath, JobPath, NoBody, Parsed, Path, Query, endpoint_ref,
};
use crate::list::{ListResponse, OrderQuery, PageQuery};
use crate::openapi::Docs;

const DOCS: Docs = Docs("Replay");
const ENDPOINT: Docs = Docs("Endpoint");

pub(crate) fn routes() -> ApiRouter<Service> {
    let recover_docs = ENDPOINT.post(
        "v1.endpoint.recover",
        "Send again what failed or was canceled",
    );
    let missing_docs = ENDPOINT.post(
        "v1.endpoint.replay-missing",
        "Send what the endpoint never got",
    );
    let bulk_docs = ENDPOINT.post("v1.endpoint.bulk-replay", "Send again what is asked for");
    let create_docs = DOCS.post(
        "v1.replay.create",
        "Begin a replay, or count what it would send",
    );
    let list_docs = DOCS.op(
        "v1.replay.list",
        "List replays and other jobs, newest first",
    );
    let of_endpoint = "/api/v1/app/{app_id}/endpoint/{endpoint_id}";
    let replay = "/api/v1/app/{app_id}/replay";
    ApiRouter::new()
        .api_route(
            &format!("{of_endpoint}/recover"),
            post_with(recover, recover_docs),
        )
        .api_route(
            &format!("{of_endpoint}/replay-missing"),
            post_with(replay_missing, missing_docs),
        )
        .api_route(
            &format!("{of_endpoint}/bulk-replay"),
            post_with(bulk_replay, bulk_docs),
        )
        .api_route(
            replay,
            post_with(create, create_docs).get_with(list, list_docs),
        )
        .api_route(
            &format!("{replay}/{{job_id}}"),
            get_with(get, DOCS.op("v1.replay.get", "Get a replay")),
        )
        .api_route(
            &format!("{replay}/{{job_id}}/pause"),
            post_with(pause, DOCS.post("v1.replay.pause", "Pause a replay")),
        )
        .api_route(
            &format!("{replay}/{{job_id}}/resume"),
            post_with(resume, DOCS.post("v1.replay.resume", "Resume a replay")),
        )
        .api_route(
            &format!("{replay}/{{job_id}}/cancel"),
            post_with(cancel, DOCS.post("v1.replay.cancel", "Cancel a replay")),
        )
}

/// A time to begin at, and perhaps one to end at.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "RecoverIn")]
struct SinceIn {
    /// Messages published then or later
    since: Parsed<Timestamp>,
    /// Messages published before; now when left out
    until: Option<Parsed<Timestamp>>,
}

/// What to send again to one endpoint.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct BulkReplayIn {
    /// Messages published then or later
    since: Parsed<Timestamp>,
    /// Messages published before; now when left out
    until: Option<Parsed<Timestamp>>,
    /// Only of these event types
    event_types: Option<Vec<Parsed<EventType>>>,
    /// Only with this channel
    channel: Option<Parsed<Channel>>,
    /// Only with this tag
    tag: Option<Parsed<Tag>>,
    /// Only whose delivery stands so: 0 success, 2 failed or canceled, 4 canceled; all three when
    /// left out
    status: Option<u8>,
    /// Only whose last answer had a status of this hundred; 0 for no answer
    status_code_class: Option<u16>,
}

/// What to send again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ReplayIn {
    /// At these endpoints, by id or uid; at all that are not disabled when left out
    endpoints: Option<Vec<String>>,
    /// Messages published then or later
    since: Option<Parsed<Timestamp>>,
    /// Messages published before; now when left out
    until: Option<Parsed<Timestamp>>,
    /// Only of these event types
    event_types: Option<Vec<Parsed<EventType>>>,
    /// Only with this channel
    channel: Option<Parsed<Channel>>,
    /// Only with this tag
    tag: Option<Parsed<Tag>>,
    /// Only whose delivery ended so; failed and canceled when left out
    statuses: Option<Vec<Status>>,
    /// Only whose last answer had a status of this hundred; 0 for no answer
    status_code_class: Option<u16>,
    /// At most so many messages per second
    rate: Option<u32>,
    /// Only count what would be sent
    #[serde(default)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "ReplayStatus")]
#[serde(rename_all = "lowercase")]
enum Status {
    Success,
    Failed,
    Canceled,
    /// The endpoint never got it, although it subscribes to it now
    Missing,
    All,
}

/// What a replay would send.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ReplayPreviewOut {
    dry_run: bool,
    /// Deliveries that would be made
    matched: u64,
    /// Everything was looked at; otherwise there may be more
    complete: bool,
}

/// A replay or another job.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ReplayOut {
    id: String,
    /// What was asked for: `replay`, `recover`, `replay_missing`, `bulk_replay`, `purge_content`,
    /// `replay_requests`
    kind: &'static str,
    /// `running`, `paused`, `finished` or `canceled`
    status: &'static str,
    /// The endpoint, when it is only one
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    until: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_types: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    statuses: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code_class: Option<u16>,
    /// Which requests are put in again, and how
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<RequestsOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    progress: ProgressOut,
    created_at: String,
    updated_at: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Which requests a job puts in again, and how.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RequestsOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    source_id: Option<String>,
    verdicts: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// They are verified, or taken as the provider's whatever their signatures say
    verify: bool,
    /// What came before is a duplicate
    deduplicate: bool,
}

impl From<&RequestCriteria> for RequestsOut {
    fn from(criteria: &RequestCriteria) -> Self {
        Self {
            source_id: criteria.source.map(|id| id.to_string()),
            verdicts: criteria.verdicts.iter().map(|one| one.slug()).collect(),
            reason: criteria.reason.clone(),
            verify: criteria.replay.verify,
            deduplicate: criteria.replay.deduplicate,
        }
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProgressOut {
    /// Messages or requests looked at
    examined: u64,
    /// Deliveries made, payloads erased, or requests that became messages
    done: u64,
    /// Requests that had come before
    #[serde(default, skip_serializing_if = "is_zero")]
    duplicates: u64,
    /// Requests that were refused again, or are not there any more as they came
    #[serde(default, skip_serializing_if = "is_zero")]
    refused: u64,
    /// Endpoints to go through
    endpoints: u64,
    /// Endpoints that are gone through
    endpoints_done: u64,
}

impl From<&Job> for ProgressOut {
    fn from(job: &Job) -> Self {
        Self {
            examined: job.examined,
            done: job.done,
            duplicates: job.tally.duplicates,
            refused: job.tally.refused,
            endpoints: job.targets,
            endpoints_done: job.targets_done,
        }
    }
}

impl From<Job> for ReplayOut {
    fn from(job: Job) -> Self {
        let criteria = &job.criteria;
        let event_types = criteria.event_types.as_ref();
        Self {
            progress: (&job).into(),
            id: job.id.to_string(),
            kind: job.kind.slug(),
            status: match job.state {
                JobState::Running => "running",
                JobState::Paused => "paused",
                JobState::Finished => "finished",
                JobState::Canceled => "canceled",
            },
            endpoint_id: job.endpoint.map(|id| id.to_string()),
            since: criteria.since.map(|at| at.to_string()),
            until: criteria.until.to_string(),
            event_types: event_types.map(|types| types.iter().map(ToString::to_string).collect()),
            channel: criteria.channel.as_ref().map(ToString::to_string),
            tag: criteria.tag.as_ref().map(ToString::to_string),
            statuses: criteria.of.iter().map(|of| of.slug()).collect(),
            status_code_class: criteria.status_class,
            requests: job.requests.as_ref().map(Into::into),
            rate: job.rate,
            created_at: job.created.to_string(),
            updated_at: job.updated.to_string(),
        }
    }
}

impl Status {
    fn of(self) -> Vec<ReplayOf> {
        match self {
            Self::Success => vec![ReplayOf::Success],
            Self::Failed => vec![ReplayOf::Failed],
            Self::Canceled => vec![ReplayOf::Canceled],
            Self::Missing => vec![ReplayOf::Missing],
            Self::All => ReplayOf::ALL.to_vec(),
        }
    }
}

impl SinceIn {
    fn into_input(self, kind: JobKind, endpoint: EndpointRef, of: &[ReplayOf]) -> ReplayInput {
        ReplayInput {
            kind,
            endpoints: Some(vec![endpoint]),
            since: Some(self.since.0),
            until: self.until.map(|Parsed(at)| at),
            event_types: None,
            channel: None,
            tag: None,
            of: of.to_vec(),
            status_class: None,
            rate: None,
        }
    }
}

fn parsed<T>(given: Option<Vec<Parsed<T>>>) -> Option<Vec<T>> {
    given.map(|all| all.into_iter().map(|Parsed(one)| one).collect())
}

impl BulkReplayIn {
    fn into_input(self, endpoint: EndpointRef) -> Result<ReplayInput, ApiError> {
        let of = match self.status {
            None => vec![ReplayOf::Success, ReplayOf::Failed, ReplayOf::Canceled],
            Some(0) => vec![ReplayOf::Success],
            Some(2) => vec![ReplayOf::Failed, ReplayOf::Canceled],
            Some(4) => vec![ReplayOf::Canceled],
            Some(_) => {
                let msg = "must be 0, 2 or 4: what waits or is being sent needs no replay";
                return Err(ApiError::field(&["body", "status"], msg));
            }
        };
        Ok(ReplayInput {
            kind: JobKind::BulkReplay,
            endpoints: Some(vec![endpoint]),
            since: Some(self.since.0),
            until: self.until.map(|Parsed(at)| at),
            event_types: parsed(self.event_types),
            channel: self.channel.map(|Parsed(channel)| channel),
            tag: self.tag.map(|Parsed(tag)| tag),
            of,
            status_class: self.status_code_class,
            rate: None,
        })
    }
}

impl ReplayIn {
    fn into_input(self) -> Result<ReplayInput, ApiError> {
        const ENDPOINTS_MAX: usize = 256;
        let endpoints = self.endpoints.as_deref();
        if endpoints.is_some_and(|all| all.is_empty() || all.len() > ENDPOINTS_MAX) {
            let msg = format!("must have 1 to {ENDPOINTS_MAX} items, or be left out for all");
            return Err(ApiError::field(&["body", "endpoints"], msg));
        }
        let endpoints = endpoints.map(|all| all.iter().map(|one| endpoint_ref(one)));
        let statuses = self
            .statuses
            .unwrap_or(vec![Status::Failed, Status::Canceled]);
        let mut of: Vec<_> = statuses.into_iter().flat_map(Status::of).collect();
        of.sort_unstable();
        of.dedup();
        Ok(ReplayInput {
            kind: JobKind::Replay,
            endpoints: endpoints.map(Iterator::collect).transpose()?,
            since: self.since.map(|Parsed(at)| at),
            until: self.until.map(|Parsed(at)| at),
            event_types: parsed(self.event_types),
            channel: self.channel.map(|Parsed(channel)| channel),
            tag: self.tag.map(|Parsed(tag)| tag),
            of,
            status_class: self.status_code_class,
            rate: self.rate,
        })
    }
}

async fn recover(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
    body: Body<SinceIn>,
) -> Result<Accepted<TaskOut>, ApiError> {
    let (application, endpoint) = path.parse()?;
    let of = [ReplayOf::Failed, ReplayOf::Canceled];
    let input = body.parse::<SinceIn>()?;
    let input = input.into_input(JobKind::Recover, endpoint, &of);
    let idempotency = body.idempotency(&service, access)?;
    let job = service
        .replay(access.caller, &application, input, idempotency)
        .await?;
    Ok(Answer((&job).into()))
}

async fn replay_missing(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
    body: Body<SinceIn>,
) -> Result<Accepted<TaskOut>, ApiError> {
    let (application, endpoint) = path.parse()?;
    let input = body.parse::<SinceIn>()?;
    let input = input.into_input(JobKind::ReplayMissing, endpoint, &[ReplayOf::Missing]);
    let idempotency = body.idempotency(&service, access)?;
    let job = service
        .replay(access.caller, &application, input, idempotency)
        .await?;
    Ok(Answer((&job).into()))
}

async fn bulk_replay(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
    body: Body<BulkReplayIn>,
) -> Result<Accepted<TaskOut>, ApiError> {
    let (application, endpoint) = path.parse()?;
    let input = body.parse::<BulkReplayIn>()?.into_input(endpoint)?;
    let idempotency = body.idempotency(&service, access)?;
    let job = service
        .replay(access.caller, &application, input, idempotency)
        .await?;
    Ok(Answer((&job).into()))
}

/// 202 with the replay that began, or 200 with a count.
pub(crate) enum Begun {
    Replay(Box<Job>),
    Preview(ReplayPreview),
}

impl IntoResponse for Begun {
    fn into_response(self) -> Response {
        match self {
            Self::Replay(job) => json(StatusCode::ACCEPTED, &ReplayOut::from(*job)),
            Self::Preview(preview) => json(
                StatusCode::OK,
                &ReplayPreviewOut {
                    dry_run: true,
                    matched: preview.matched,
                    complete: preview.complete,
                },
            ),
        }
    }
}

impl aide::OperationOutput for Begun {
    type Inner = Self;

    fn inferred_responses(
        ctx: &mut aide::generate::GenContext,
        _: &mut aide::openapi::Operation,
    ) -> Vec<(Option<u16>, aide::openapi::Response)> {
        let preview = crate::answer::docs::<ReplayPreviewOut>(ctx, "With `dryRun`: a count");
        let begun = crate::answer::docs::<ReplayOut>(ctx, "It began");
        vec![(Some(200), preview), (Some(202), begun)]
    }
}

async fn create(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    body: Body<ReplayIn>,
) -> Result<Begun, ApiError> {
    let application = path.application()?;
    let given = body.parse::<ReplayIn>()?;
    let dry_run = given.dry_run;
    let input = given.into_input()?;
    if dry_run {
        let preview = service.preview_replay(access.caller, &application, &input);
        return Ok(Begun::Preview(preview.await?));
    }
    let idempotency = body.idempotency(&service, access)?;
    let job = service.replay(access.caller, &application, input, idempotency);
    Ok(Begun::Replay(Box::new(job.await?)))
}

async fn list(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    Query(page): Query<PageQuery>,
    Query(order): Query<OrderQuery>,
) -> Result<Found<ListResponse<ReplayOut>>, ApiError> {
    let request = page.request::<JobId>(order.or(Order::Descending))?;
    let application = path.application()?;
    let all = JobFilter::default();
    let found = service
        .jobs(access.caller, Some(&application), all, request.clone())
        .await?;
    let list = ListResponse::new(&request, found, |job| job.id, ReplayOut::from);
    Ok(Answer(list))
}

async fn get(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<JobPath>,
) -> Result<Found<ReplayOut>, ApiError> {
    let (application, job) = path.parse()?;
    let job = service.job(access.caller, Some(&application), job).await?;
    Ok(Answer(job.into()))
}

/// Doing it twice is doing it once, so the idempotency key needs no looking at.
async fn change(
    service: &Service,
    access: Access,
    (path, body): (&JobPath, &NoBody),
    action: JobAction,
) -> Result<Found<ReplayOut>, ApiError> {
    let (application, job) = path.parse()?;
    let key = body.idempotency(service, access)?;
    let change = service.change_job(access.caller, &application, job, action);
    let today = service.job(access.caller, Some(&application), job);
    Ok(Answer(service.once(key, change, today).await?.into()))
}

async fn pause(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<JobPath>,
    body: NoBody,
) -> Result<Found<ReplayOut>, ApiError> {
    change(&service, access, (&path, &body), JobAction::Pause).await
}

async fn resume(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<JobPath>,
    body: NoBody,
) -> Result<Found<ReplayOut>, ApiError> {
    change(&service, access, (&path, &body), JobAction::Resume).await
}

async fn cancel(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<JobPath>,
    body: NoBody,
) -> Result<Found<ReplayOut>, ApiError> {
    change(&service, access, (&path, &body), JobAction::Cancel).await
}
