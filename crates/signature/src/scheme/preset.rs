//! The schemes of providers that are known by name.
//!
//! They are data, in the files of `presets/`; this module reads them. What the documentation says
//! of a provider is in the same place, so that the two cannot drift apart.

use std::sync::OnceLock;

use serde::Deserialize;

use super::Scheme;
use super::challenge::Handshake;

/// A provider: its scheme, and what a person has to know of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The name to write in settings: lower case, with hyphens.
    pub name: String,
    /// The provider's name for people.
    pub title: String,
    /// What the scheme rests on.
    pub confirmation: Confirmation,
    /// What the secret is, and where it is found.
    pub secret: String,
    /// How to set it up at the provider.
    pub setup: String,
    /// What else there is to know; may be empty.
    #[serde(default)]
    pub notes: String,
    /// Whether the body is an array whose items are messages, each with an id of its own.
    #[serde(default)]
    pub split: bool,
    /// The questions that the provider asks.
    #[serde(default)]
    pub handshakes: Vec<Handshake>,
    /// How it signs.
    pub scheme: Scheme,
}

/// What the description of a provider's scheme rests on, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confirmation {
    /// Requests that the provider has published with their signatures are tests here.
    OfficialVector,
    /// Requests that the provider's own library has signed, or accepts, are tests here.
    LibraryVector,
    /// Signatures from the tests of another verifier are tests here.
    PeerVector,
    /// A public standard, or no more than a text that both sides know.
    Standard,
    /// The source of the provider's own libraries.
    Source,
    /// The provider's documentation.
    Documentation,
    /// Several others say so; nothing of the provider's own was compared.
    SecondHand,
    /// Recollection alone.
    Memory,
}

impl Confirmation {
    /// Says whether nothing of the provider's own stands behind it.
    pub const fn is_unconfirmed(self) -> bool {
        matches!(self, Self::SecondHand | Self::Memory)
    }

    /// Returns a sentence for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::OfficialVector => "signatures that the provider has published",
            Self::LibraryVector => "signatures of the provider's own library",
            Self::PeerVector => "signatures in the tests of another verifier",
            Self::Standard => "a public standard",
            Self::Source => "the source of the provider's own libraries",
            Self::Documentation => "the provider's documentation",
            Self::SecondHand => "**unconfirmed**: what several others say",
            Self::Memory => "**unconfirmed**: recollection; try it before you rely on it",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    preset: Vec<Preset>,
}

/// The files, each with the heading that it has in the documentation.
pub(super) const FILES: [(&str, &str); 4] = [
    ("Any sender", include_str!("presets/generic.toml")),
    ("Content systems", include_str!("presets/content.toml")),
    ("Platforms", include_str!("presets/platforms.toml")),
    ("More platforms", include_str!("presets/more.toml")),
];

/// Returns every preset.
pub fn presets() -> &'static [Preset] {
    static PRESETS: OnceLock<Vec<Preset>> = OnceLock::new();
    PRESETS.get_or_init(|| FILES.iter().flat_map(|(_, text)| read(text)).collect())
}

/// Returns the preset of this name.
pub fn preset(name: &str) -> Option<&'static Preset> {
    presets().iter().find(|preset| preset.name == name)
}

/// Reads one file.
pub(super) fn read(text: &str) -> Vec<Preset> {
    let file: File = toml::from_str(text).expect("the files are read by a test");
    file.preset
}
