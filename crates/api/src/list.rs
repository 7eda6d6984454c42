//! Lists: a page of things, and opaque texts that say where the next and the previous begin.

use std::fmt::Write as _;

use domain::{
    ApiKeyId, ApplicationId, EndpointId, EndpointKey, EventType, InboundId, InboundKey, JobId,
    MessageId, MessageKey, SourceId, Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::{AttemptCursor, Cursor, Order, Page, PageRequest};

use crate::error::ApiError;

const LIMIT_DEFAULT: u16 = 50;
const LIMIT_MAX: u16 = 250;
/// Of one number in a position.
const HEX_DIGITS: usize = 16;

/// Which part of a list is wanted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct PageQuery {
    /// At most so many items, 1 to 250; 50 when not given
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of an earlier answer
    iterator: Option<String>,
}

/// Which end a list begins with.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct OrderQuery {
    /// Which end the list begins with
    order: Option<Ordering>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Ordering {
    Ascending,
    Descending,
}

impl OrderQuery {
    pub(crate) fn or(&self, default: Order) -> Order {
        match self.order {
            None => default,
            Some(Ordering::Ascending) => Order::Ascending,
            Some(Ordering::Descending) => Order::Descending,
        }
    }
}

impl PageQuery {
    /// Turns the query into what the store is asked.
    pub(crate) fn request<C: CursorText>(&self, order: Order) -> Result<PageRequest<C>, ApiError> {
        let range = 1..=u64::from(LIMIT_MAX);
        let limit = match self.limit {
            None => LIMIT_DEFAULT,
            Some(limit) if range.contains(&limit) => u16::try_from(limit).expect("at most 250"),
            Some(_) => {
                let msg = format!("must be between 1 and {LIMIT_MAX}");
                return Err(ApiError::field(&["query", "limit"], msg));
            }
        };
        let cursor = self.iterator.as_deref().map(parse_cursor).transpose()?;
        Ok(PageRequest {
            limit,
            order,
            cursor,
        })
    }
}

fn parse_cursor<C: CursorText>(text: &str) -> Result<Cursor<C>, ApiError> {
    let (text, make): (_, fn(C) -> Cursor<C>) = match text.strip_prefix('-') {
        Some(rest) => (rest, Cursor::Before),
        None => (text, Cursor::After),
    };
    C::from_text(text)
        .map(make)
        .ok_or_else(|| ApiError::field(&["query", "iterator"], "is not one of this list"))
}

/// A position in a list, as text without a minus sign in front.
pub(crate) trait CursorText: Sized {
    fn to_text(&self) -> String;
    fn from_text(text: &str) -> Option<Self>;
}

macro_rules! by_id {
    ($($id:ty),+) => {
        $(impl CursorText for $id {
            fn to_text(&self) -> String {
                self.to_string()
            }

            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        })+
    };
}

by_id!(ApiKeyId, ApplicationId, EndpointId, JobId, SourceId);

impl CursorText for EventType {
    fn to_text(&self) -> String {
        self.to_string()
    }

    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

/// A message's id works as well, because that is what users of the API know.
impl CursorText for MessageKey {
    fn to_text(&self) -> String {
        hex(&[self.0])
    }

    fn from_text(text: &str) -> Option<Self> {
        if let Ok(id) = text.parse::<MessageId>() {
            return Some(id.key());
        }
        let [key] = unhex(text)?;
        Some(Self(key))
    }
}

/// A request's id works as well.
impl CursorText for InboundKey {
    fn to_text(&self) -> String {
        hex(&[self.0])
    }

    fn from_text(text: &str) -> Option<Self> {
        if let Ok(id) = text.parse::<InboundId>() {
            return Some(id.key());
        }
        let [key] = unhex(text)?;
        Some(Self(key))
    }
}

impl CursorText for EndpointKey {
    fn to_text(&self) -> String {
        hex(&[self.0])
    }

    fn from_text(text: &str) -> Option<Self> {
        let [key] = unhex(text)?;
        Some(Self(key))
    }
}

impl CursorText for AttemptCursor {
    fn to_text(&self) -> String {
        let number = i64::from(self.number);
        hex(&[self.at.as_micros(), self.message.0, self.endpoint.0, number])
    }

    fn from_text(text: &str) -> Option<Self> {
        let [at, message, endpoint, number] = unhex(text)?;
        Some(Self {
            at: Timestamp::from_micros(at),
            message: MessageKey(message),
            endpoint: EndpointKey(endpoint),
            number: number.try_into().ok()?,
        })
    }
}

fn hex(numbers: &[i64]) -> String {
    let mut text = String::with_capacity(numbers.len() * HEX_DIGITS);
    for number in numbers {
        write!(text, "{number:016x}").expect("a string takes what is written");
    }
    text
}

fn unhex<const N: usize>(text: &str) -> Option<[i64; N]> {
    if text.len() != N * HEX_DIGITS || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut numbers = [0; N];
    for (number, at) in numbers.iter_mut().zip((0..).step_by(HEX_DIGITS)) {
        let digits = &text[at..at + HEX_DIGITS];
        *number = u64::from_str_radix(digits, 16).ok()?.cast_signed();
    }
    Some(numbers)
}

/// A page of a list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListResponse<T> {
    data: Vec<T>,
    /// Where the next page begins
    iterator: Option<String>,
    /// Where the previous page ends
    prev_iterator: Option<String>,
    /// Nothing follows in the direction that was asked for
    done: bool,
}

impl<T> ListResponse<T> {
    /// Makes the answer to `request` from a page of the store.
    pub(crate) fn new<U, C: CursorText, R: CursorText>(
        request: &PageRequest<C>,
        page: Page<U, R>,
        cursor_of: impl Fn(&U) -> C,
        into: impl FnMut(U) -> T,
    ) -> Self {
        let at = |item: Option<&U>| item.map(|item| cursor_of(item).to_text());
        let (first, last) = (at(page.items.first()), at(page.items.last()));
        // A page that ended early goes on where it ended, which may be beyond its last item.
        let resume = page.resume.map(|resume| resume.to_text());
        let (first, last) = match request.cursor {
            Some(Cursor::Before(_)) => (resume.or(first), last),
            Some(Cursor::After(_)) | None => (first, resume.or(last)),
        };
        Self {
            data: page.items.into_iter().map(into).collect(),
            iterator: last,
            prev_iterator: first.map(|first| format!("-{first}")),
            done: page.done,
        }
    }
}

/// The number of an entry.
impl CursorText for i64 {
    fn to_text(&self) -> String {
        self.to_string()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number| *number > 0)
    }
}

/// Lists that are always full to their limit have nowhere to resume.
impl CursorText for () {
    fn to_text(&self) -> String {
        String::new()
    }

    fn from_text(_: &str) -> Option<Self> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(limit: Option<u64>, iterator: Option<&str>) -> PageQuery {
        PageQuery {
            limit,
            iterator: iterator.map(str::to_owned),
        }
    }

    #[test]
    fn a_position_reads_back_from_its_text_in_both_directions() {
        let cursor = AttemptCursor {
            at: Timestamp::from_micros(-1),
            message: MessageKey(i64::MAX),
            endpoint: EndpointKey(7),
            number: u16::MAX,
        };
        let text = cursor.to_text();

        let after = request(None, Some(&text)).request(Order::Descending);
        let before = request(None, Some(&format!("-{text}"))).request(Order::Descending);

        assert_eq!(after.unwrap().cursor, Some(Cursor::After(cursor)));
        assert_eq!(before.unwrap().cursor, Some(Cursor::Before(cursor)));
    }

    #[test]
    fn a_foreign_position_and_a_limit_out_of_range_are_refused() {
        for (limit, iterator) in [
            (Some(0), None),
            (Some(251), None),
            (None, Some("msg_1")),
            (None, Some("")),
            (None, Some("+00000000000000f")),
            (None, Some("0000000000000000é")),
        ] {
            let refused = request(limit, iterator).request::<MessageKey>(Order::Ascending);
            assert!(refused.is_err(), "{limit:?} {iterator:?}");
        }
        assert_eq!(
            request(None, None)
                .request::<MessageKey>(Order::Ascending)
                .unwrap()
                .limit,
            50
        );
    }

    #[test]
    fn a_page_that_ended_early_goes_on_where_it_ended() {
        let page = |resume| Page {
            items: vec![MessageKey(3), MessageKey(2)],
            done: false,
            resume,
        };
        let texts = |iterator: Option<&str>, resume| {
            let request = request(None, iterator).request(Order::Descending).unwrap();
            let list = ListResponse::new(&request, page(resume), |key| *key, |_| ());
            (list.iterator.unwrap(), list.prev_iterator.unwrap())
        };
        let text = |key: i64| MessageKey(key).to_text();

        assert_eq!(texts(None, None), (text(2), format!("-{}", text(3))));
        assert_eq!(
            texts(None, Some(MessageKey(1))),
            (text(1), format!("-{}", text(3)))
        );
        let backwards = format!("-{}", text(1));
        assert_eq!(
            texts(Some(&backwards), Some(MessageKey(9))),
            (text(2), format!("-{}", text(9)))
        );
    }
}
