//! URLs that messages are sent to, parsed once.

/// (placeholder until the egress work lands)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUrl {
    text: Box<str>,
}
/// Why a URL was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTargetUrl {
    /// Something.
    #[error("is not a URL")]
    Malformed,
}
impl TargetUrl {
    /// Parse.
    pub fn parse(text: &str) -> Result<Self, InvalidTargetUrl> {
        Ok(Self { text: text.into() })
    }
    /// Text as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}
