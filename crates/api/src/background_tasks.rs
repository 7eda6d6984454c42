//! `/api/v1/background-task`: jobs, as clients of this API know them.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use domain::JobId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::{Job, JobFilter, JobKind, JobState, Order, Service};

use crate::answer::{Answer, Found};
use crate::error::ApiError;
use crate::extract::{Access, Path, Query, TaskPath};
use crate::list::{ListResponse, OrderQuery, PageQuery};
use crate::openapi::Docs;
use crate::replay::ProgressOut;

const DOCS: Docs = Docs("Background Task");

pub(crate) fn routes() -> ApiRouter<Service> {
    ApiRouter::new()
        .api_route(
            "/api/v1/background-task",
            get_with(
                list,
                DOCS.op("v1.background-task.list", "List tasks, newest first"),
            ),
        )
        .api_route(
            "/api/v1/background-task/{task_id}",
            get_with(get, DOCS.op("v1.background-task.get", "Get a task")),
        )
}

/// A task that was begun.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskOut {
    id: String,
    /// `running`, `finished`, or `failed` when it was canceled
    status: &'static str,
    /// What it does
    task: &'static str,
    updated_at: String,
}

/// A task and how far it is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct BackgroundTaskOut {
    #[serde(flatten)]
    task: TaskOut,
    data: TaskData,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TaskData {
    /// The endpoint, when it is only one
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_id: Option<String>,
    progress: ProgressOut,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
struct TasksQuery {
    /// Only those that stand so
    status: Option<TaskStatus>,
    /// Only those that do this
    task: Option<TaskKind>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum TaskStatus {
    Running,
    Finished,
    Failed,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
enum TaskKind {
    #[serde(rename = "endpoint.replay")]
    EndpointReplay,
    #[serde(rename = "endpoint.recover")]
    EndpointRecover,
    #[serde(rename = "endpoint.bulk-replay")]
    EndpointBulkReplay,
    #[serde(rename = "application.purge_content")]
    ApplicationPurgeContent,
    #[serde(rename = "application.stats")]
    ApplicationStats,
    #[serde(rename = "message.broadcast")]
    MessageBroadcast,
    #[serde(rename = "sdk.generate")]
    SdkGenerate,
    #[serde(rename = "event-type.aggregate")]
    EventTypeAggregate,
}

impl From<&Job> for TaskOut {
    fn from(job: &Job) -> Self {
        Self {
            id: job.id.to_string(),
            status: match job.state {
                JobState::Running | JobState::Paused => "running",
                JobState::Finished => "finished",
                JobState::Canceled => "failed",
            },
            task: match job.kind {
                JobKind::Recover => "endpoint.recover",
                JobKind::ReplayMissing => "endpoint.replay",
                JobKind::Replay | JobKind::BulkReplay => "endpoint.bulk-replay",
                JobKind::PurgeContent => "application.purge_content",
                // Known to no client of this list, which leaves them out.
                JobKind::ReplayRequests => "request.replay",
            },
            updated_at: job.updated.to_string(),
        }
    }
}

impl From<Job> for BackgroundTaskOut {
    fn from(job: Job) -> Self {
        Self {
            task: (&job).into(),
            data: TaskData {
                endpoint_id: job.endpoint.map(|id| id.to_string()),
                progress: (&job).into(),
            },
        }
    }
}

impl From<TasksQuery> for JobFilter {
    fn from(query: TasksQuery) -> Self {
        let states = query.status.map(|status| match status {
            TaskStatus::Running => vec![JobState::Running, JobState::Paused],
            TaskStatus::Finished => vec![JobState::Finished],
            TaskStatus::Failed => vec![JobState::Canceled],
        });
        let kinds = query.task.map(|task| match task {
            TaskKind::EndpointReplay => vec![JobKind::ReplayMissing],
            TaskKind::EndpointRecover => vec![JobKind::Recover],
            TaskKind::EndpointBulkReplay => vec![JobKind::Replay, JobKind::BulkReplay],
            TaskKind::ApplicationPurgeContent => vec![JobKind::PurgeContent],
            // Tasks that are never made here.
            TaskKind::ApplicationStats
            | TaskKind::MessageBroadcast
            | TaskKind::SdkGenerate
            | TaskKind::EventTypeAggregate => Vec::new(),
        });
        let known = |kind: &JobKind| *kind != JobKind::ReplayRequests;
        let kinds = kinds.or_else(|| Some(JobKind::ALL.into_iter().filter(known).collect()));
        Self {
            application: None,
            kinds,
            states,
        }
    }
}

async fn list(
    State(service): State<Service>,
    access: Access,
    Query(page): Query<PageQuery>,
    Query(order): Query<OrderQuery>,
    Query(query): Query<TasksQuery>,
) -> Result<Found<ListResponse<BackgroundTaskOut>>, ApiError> {
    let request = page.request::<JobId>(order.or(Order::Descending))?;
    let found = service
        .jobs(access.caller, None, query.into(), request.clone())
        .await?;
    let list = ListResponse::new(&request, found, |job| job.id, BackgroundTaskOut::from);
    Ok(Answer(list))
}

async fn get(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<TaskPath>,
) -> Result<Found<BackgroundTaskOut>, ApiError> {
    let job = service.job(access.caller, None, path.parse()?).await?;
    Ok(Answer(job.into()))
}
