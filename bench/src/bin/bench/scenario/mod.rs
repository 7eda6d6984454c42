//! What is measured, by name.

mod backlog;
mod hung;
mod shape;

use clap::ValueEnum;

use crate::bed::Lab;
use crate::report::Section;
use crate::role::load::Pace;
use shape::Shape;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// 1 KiB, one endpoint, 32 connections
    One,
    /// The same over 128 connections
    #[value(name = "one-128")]
    One128,
    /// Five endpoints
    Five,
    /// 100 messages in each publish
    Batch,
    /// Payloads of 256 B, 1 KiB, 20 KiB and 256 KiB
    Sizes,
    /// 200 messages per second: latency, corrected for coordinated omission
    Quiet,
    /// One delivery in ten is refused the first time
    Fail10,
    /// An endpoint that never answers beside 99 that do
    Hung,
    /// Messages that pile up while the receiver is down
    Backlog,
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Scenario {
    /// Returns every scenario, or those that a relay can do alone.
    pub(crate) fn all(relay_only: bool) -> Vec<Self> {
        let needs_server = |one: &Self| matches!(one, Self::Fail10 | Self::Hung | Self::Backlog);
        let all = Self::value_variants().iter().copied();
        all.filter(|one| !relay_only || !needs_server(one))
            .collect()
    }

    fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::One128 => "one-128",
            Self::Five => "five",
            Self::Batch => "batch",
            Self::Sizes => "sizes",
            Self::Quiet => "quiet",
            Self::Fail10 => "fail10",
            Self::Hung => "hung",
            Self::Backlog => "backlog",
        }
    }

    /// Measures it.
    pub(crate) fn run(self, lab: &mut Lab) -> anyhow::Result<Section> {
        let basic = Shape::new(self.name());
        let shapes = match self {
            Self::One => vec![basic],
            Self::One128 => vec![Shape {
                connections: 128,
                ..basic
            }],
            Self::Five => vec![Shape {
                endpoints: 5,
                ..basic
            }],
            Self::Batch => vec![Shape {
                batch: 100,
                connections: 8,
                ..basic
            }],
            Self::Sizes => [256, 1024, 20 * 1024, 256 * 1024]
                .map(|payload_bytes| Shape {
                    payload_bytes,
                    ..basic.clone()
                })
                .to_vec(),
            Self::Quiet => vec![Shape {
                pace: Pace::Open { per_second: 200 },
                ..basic
            }],
            Self::Fail10 => vec![Shape {
                behaviour: "fail10",
                ..basic
            }],
            Self::Hung => return hung::run(lab),
            Self::Backlog => return backlog::run(lab),
        };
        shape::run(lab, self.name(), &shapes)
    }
}
