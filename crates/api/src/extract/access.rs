//! Who is asking.

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::Operation;
use axum::extract::{FromRequestParts, MatchedPath};
use http::header::AUTHORIZATION;
use http::request::Parts;
use service::{Caller, RequestId, Service};

use crate::error::ApiError;
use crate::permissions;
use crate::problem::Code;
use crate::rate_limit::Slot;

/// A known API key that allows the route. A handler that has one in its signature cannot be
/// reached without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    /// Who asks, and for whose things.
    pub(crate) caller: Caller,
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
        let mut caller = service.authenticate(token).await?;
        caller.request = parts.extensions.get::<RequestId>().copied();
        let route = parts.extensions.get::<MatchedPath>();
        let permission = route.and_then(|path| permissions::of(&parts.method, path.as_str()));
        // A route that nobody listed is open to nobody.
        if !permission.is_some_and(|permission| permission.allows(&caller)) {
            return Err(ApiError::of(Code::InsufficientPermissions));
        }
        if let Some(standing) = service.admit(&caller)?
            && let Some(slot) = parts.extensions.get::<Slot>()
        {
            slot.put(standing);
        }
        Ok(Self { caller })
    }
}

/// Returns the token of `Bearer <token>`; the scheme's case does not matter.
pub(crate) fn bearer(value: &[u8]) -> Option<&[u8]> {
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
