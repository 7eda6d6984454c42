//! Which messages an endpoint gets.

use crate::{Channel, EventType, EventTypeFilter};

/// What an endpoint subscribed to: `None` means everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Event types by name or by pattern, of which one must match.
    pub event_types: Option<Vec<EventTypeFilter>>,
    /// Channels, of which a message must have at least one.
    pub channels: Option<Vec<Channel>>,
}

impl Subscription {
    /// Says whether a message of this event type and these channels belongs here.
    ///
    /// An endpoint with channels gets only messages that name one of them; an endpoint without
    /// gets messages whatever their channels.
    pub fn matches(&self, event_type: &EventType, channels: &[Channel]) -> bool {
        self.matches_event_type(event_type) && self.matches_channels(channels)
    }

    /// Says whether a message of this event type belongs here, whatever its channels.
    pub fn matches_event_type(&self, event_type: &EventType) -> bool {
        let wanted = self.event_types.as_ref();
        wanted.is_none_or(|all| all.iter().any(|filter| filter.matches(event_type)))
    }

    /// Says whether a message of these channels belongs here, whatever its event type.
    pub fn matches_channels(&self, channels: &[Channel]) -> bool {
        let wanted = self.channels.as_ref();
        wanted.is_none_or(|all| all.iter().any(|channel| channels.contains(channel)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(types: &[&str], channels: &[&str]) -> Subscription {
        let event_types: Vec<_> = types
            .iter()
            .map(|name| EventTypeFilter::parse(name).expect("valid"))
            .collect();
        let channels: Vec<_> = channels
            .iter()
            .map(|name| Channel::parse(name).expect("valid"))
            .collect();
        Subscription {
            event_types: Some(event_types).filter(|all| !all.is_empty()),
            channels: Some(channels).filter(|all| !all.is_empty()),
        }
    }

    #[test]
    fn both_filters_must_let_a_message_through() {
        let published = EventType::parse("content.published").expect("valid");
        let blog = [Channel::parse("blog").expect("valid")];

        for (types, channels, expected) in [
            (&[][..], &[][..], true),
            (&["content.published"], &[], true),
            (&["content"], &[], false),
            (&["shop.**", "content.*"], &["blog"], true),
            (&["content.*"], &["shop"], false),
            (&[], &["blog", "shop"], true),
            (&[], &["shop"], false),
            (&["content.published"], &["shop"], false),
        ] {
            let found = subscription(types, channels).matches(&published, &blog);
            assert_eq!(found, expected, "{types:?} {channels:?}");
        }
        assert!(!subscription(&[], &["blog"]).matches(&published, &[]));
    }
}
