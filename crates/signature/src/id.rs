//! What may stand in the signed content as a message's id.

/// The most bytes that a signed id may have.
///
/// Ids in use have 20 to 40; the limit keeps a hostile header from being carried any further.
pub const WEBHOOK_ID_LEN_MAX: usize = 256;

/// The text cannot be the id of a signed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhookId {
    /// There is no text.
    #[error("is empty")]
    Empty,
    /// The text has a full stop, which is what separates the parts of the signed content.
    #[error("has a full stop")]
    FullStop,
    /// The text has more than [`WEBHOOK_ID_LEN_MAX`] bytes.
    #[error("is longer than {WEBHOOK_ID_LEN_MAX} bytes")]
    TooLong,
}

/// Says whether `id` can be signed, and be accepted in a signed message.
///
/// An id with a full stop would let bytes move between id, timestamp and body while the signature
/// stays valid: `a.1` at second `2` and `a` at second `1` with a body that starts `2.` are signed
/// alike.
pub fn check_webhook_id(id: &str) -> Result<(), InvalidWebhookId> {
    if id.is_empty() {
        Err(InvalidWebhookId::Empty)
    } else if id.len() > WEBHOOK_ID_LEN_MAX {
        Err(InvalidWebhookId::TooLong)
    } else if id.as_bytes().contains(&b'.') {
        Err(InvalidWebhookId::FullStop)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use domain::MessageId;

    use super::*;

    #[test]
    fn our_own_message_ids_can_be_signed() {
        for bits in [0, 1, u128::MAX] {
            let id = MessageId::from_bits(bits).to_string();

            assert_eq!(check_webhook_id(&id), Ok(()));
        }
    }

    #[test]
    fn empty_long_and_dotted_ids_cannot() {
        let longest = "x".repeat(WEBHOOK_ID_LEN_MAX);

        assert_eq!(check_webhook_id(&longest), Ok(()));
        assert_eq!(
            check_webhook_id(&(longest + "x")),
            Err(InvalidWebhookId::TooLong)
        );
        assert_eq!(check_webhook_id(""), Err(InvalidWebhookId::Empty));
        assert_eq!(check_webhook_id("msg_1."), Err(InvalidWebhookId::FullStop));
    }
}
