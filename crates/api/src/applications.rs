//! `/api/v1/app`: applications.

use std::collections::BTreeMap;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use domain::ApplicationId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::{Application, ApplicationInput, ApplicationPatch, Order, Service};

use crate::answer::{Answer, Found, NoContent, Upserted};
use crate::error::ApiError;
use crate::extract::{Access, AppPath, Body, Path, Query};
use crate::list::{ListResponse, OrderQuery, PageQuery};
use crate::openapi::Docs;
use crate::wire::double_option;

const DOCS: Docs = Docs("Application");

pub(crate) fn routes() -> ApiRouter<Service> {
    let create_docs = DOCS.post("v1.application.create", "Create an application");
    let put_docs = DOCS.op("v1.application.update", "Replace or create an application");
    let patch_docs = DOCS.op("v1.application.patch", "Change an application");
    let delete_docs = DOCS.op("v1.application.delete", "Delete an application");
    ApiRouter::new()
        .api_route(
            "/api/v1/app",
            get_with(list, DOCS.op("v1.application.list", "List applications"))
                .post_with(create, create_docs),
        )
        .api_route(
            "/api/v1/app/{app_id}",
            get_with(get, DOCS.op("v1.application.get", "Get an application"))
                .put_with(put, put_docs)
                .patch_with(patch, patch_docs)
                .delete_with(delete, delete_docs),
        )
}

/// An application to create, or to replace one by.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApplicationIn {
    /// A name for people
    name: String,
    /// Your own name for it, which works in place of its id
    uid: Option<String>,
    /// Messages per second over all its endpoints
    throttle_rate: Option<u16>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// Fields of an application to change; those left out stay.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::option_option,
    reason = "a patch has three cases: leave, clear, set"
)]
struct ApplicationPatchIn {
    name: Option<String>,
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<String>")]
    uid: Option<Option<String>>,
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<u16>")]
    throttle_rate: Option<Option<u16>>,
    metadata: Option<BTreeMap<String, String>>,
}

/// An application.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ApplicationOut {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    throttle_rate: Option<u16>,
    metadata: BTreeMap<String, String>,
    created_at: String,
    updated_at: String,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct CreateQuery {
    /// Answer the application with this uid if it exists
    #[serde(default)]
    get_if_exists: bool,
}

impl From<ApplicationIn> for ApplicationInput {
    fn from(body: ApplicationIn) -> Self {
        Self {
            name: body.name,
            uid: body.uid,
            throttle_rate: body.throttle_rate,
            metadata: body.metadata,
        }
    }
}

impl From<ApplicationPatchIn> for ApplicationPatch {
    fn from(body: ApplicationPatchIn) -> Self {
        Self {
            name: body.name,
            uid: body.uid,
            throttle_rate: body.throttle_rate,
            metadata: body.metadata,
        }
    }
}

impl From<Application> for ApplicationOut {
    fn from(application: Application) -> Self {
        Self {
            id: application.id.to_string(),
            uid: application.uid.map(|uid| uid.to_string()),
            name: application.name,
            throttle_rate: application.throttle_rate,
            metadata: application.metadata,
            created_at: application.created.to_string(),
            updated_at: application.updated.to_string(),
        }
    }
}

async fn list(
    State(service): State<Service>,
    access: Access,
    Query(page): Query<PageQuery>,
    Query(order): Query<OrderQuery>,
) -> Result<Found<ListResponse<ApplicationOut>>, ApiError> {
    let request = page.request::<ApplicationId>(order.or(Order::Ascending))?;
    let found = service.applications(access.caller, request.clone()).await?;
    let list = ListResponse::new(&request, found, |item| item.id, ApplicationOut::from);
    Ok(Answer(list))
}

async fn create(
    State(service): State<Service>,
    access: Access,
    Query(query): Query<CreateQuery>,
    body: Body<ApplicationIn>,
) -> Result<Upserted<ApplicationOut>, ApiError> {
    let input = body.parse::<ApplicationIn>()?.into();
    let idempotency = body.idempotency(&service, access)?;
    let caller = access.caller;
    let answer = if query.get_if_exists {
        service
            .get_or_create_application(caller, input, idempotency)
            .await?
    } else {
        let created = service
            .create_application(caller, input, idempotency)
            .await?;
        service::Upserted::Created(created)
    };
    Ok(Upserted::from(answer, ApplicationOut::from))
}

async fn get(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
) -> Result<Found<ApplicationOut>, ApiError> {
    let application = service
        .application(access.caller, &path.application()?)
        .await?;
    Ok(Answer(application.into()))
}

async fn put(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    body: Body<ApplicationIn>,
) -> Result<Upserted<ApplicationOut>, ApiError> {
    let input = body.parse::<ApplicationIn>()?.into();
    let put = service
        .put_application(access.caller, &path.application()?, input)
        .await?;
    Ok(Upserted::from(put, ApplicationOut::from))
}

async fn patch(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    body: Body<ApplicationPatchIn>,
) -> Result<Found<ApplicationOut>, ApiError> {
    let patch = body.parse::<ApplicationPatchIn>()?.into();
    let application = service
        .patch_application(access.caller, &path.application()?, patch)
        .await?;
    Ok(Answer(application.into()))
}

async fn delete(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
) -> Result<NoContent, ApiError> {
    service
        .delete_application(access.caller, &path.application()?)
        .await?;
    Ok(NoContent)
}
