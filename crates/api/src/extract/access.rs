//! Who is asking.

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::Operation;
use axum::extract::FromRequestParts;
use domain::OrganizationKey;
use http::header::AUTHORIZATION;
use http::request::Parts;
use service::Service;

use crate::error::ApiError;
use crate::problem::Code;

/// A known API key. A handler that has one in its signature cannot be reached without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    /// Whose things the request is about.
    pub(crate) organization: OrganizationKey,
}

impl FromRequestParts<Service> for Access {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, ApiError> {
        let mut given = parts.headers.get_all(AUTHORIZATION).iter();
        // Of two keys nobody can say which one counts.
        let (Some(value), None) = (given.next(), given.next()) else {
            return Err(ApiError::of(Code::AuthenticationFailed));
        };
        let token = bearer(value.as_bytes()).ok_or(ApiError::of(Code::AuthenticationFailed))?;
        let principal = service.authenticate(token).await?;
        // One scope so far; it may do everything in its organization.
        let service::Scope::Admin = principal.scope;
        Ok(Self {
            organization: principal.organization,
        })
    }
}

/// Returns the token of `Bearer <token>`; the scheme's case does not matter.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

impl OperationInput for Access {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        operation
            .security
            .push([("HTTPBearer".to_owned(), Vec::new())].into());
    }
}
