//! What a content pipeline publishes.

use serde_json::{Value, json};

/// The life of an article, event by event.
pub(super) fn article() -> [(&'static str, Value); 4] {
    let event = |name: &str, status: &str, revision: u32| {
        json!({
            "type": name,
            "timestamp": "2026-01-12T09:30:00Z",
            "data": {
                "content": {
                    "id": "art-1042",
                    "kind": "article",
                    "title": "Letters by night coach",
                    "slug": "letters-by-night-coach",
                    "locale": "en",
                    "status": status,
                    "revision": revision,
                    "tags": ["history", "post"],
                },
                "source": {"system": "custom", "event": name},
            },
        })
    };
    [
        ("content.created", event("content.created", "draft", 1)),
        ("content.updated", event("content.updated", "draft", 2)),
        ("content.approved", event("content.approved", "approved", 2)),
        (
            "content.published",
            event("content.published", "published", 2),
        ),
    ]
}

/// A later change of the article.
pub(super) fn revision(number: usize) -> Value {
    json!({
        "type": "content.updated",
        "timestamp": "2026-01-12T10:00:00Z",
        "data": {"content": {"id": "art-1042", "status": "published", "revision": 2 + number}},
    })
}
