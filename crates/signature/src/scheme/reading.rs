//! What a request says of itself, whether it is the provider's or not.

use super::Scheme;
use super::location::Location;
use super::request::{Request, View};
use super::verify::Verified;

impl Scheme {
    /// Reads the ids and the event type of a request that was not verified, or of one item of it.
    ///
    /// Ids that cannot be trusted to be one text are left out.
    pub fn read(&self, request: &Request<'_>) -> Verified {
        let view = View::new(*request, &self.signature);
        Verified {
            key: 0,
            ids: self.found_ids(&view).unwrap_or_default(),
            event: self.event_type(&view),
            signed_at: None,
        }
    }

    /// Reads the texts at some places of a request, in their order; an empty one is none.
    pub fn texts_at(&self, request: &Request<'_>, places: &[Location]) -> Vec<Option<String>> {
        let view = View::new(*request, &self.signature);
        let text = |place: &Location| {
            let found = place.find(&view).ok().flatten()?;
            Some(found.into_owned()).filter(|text| !text.is_empty())
        };
        places.iter().map(text).collect()
    }
}
