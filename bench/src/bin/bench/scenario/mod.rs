//! What is measured, by name.

mod backlog;
mod herd;
mod hung;
mod inbound;
mod prune;
mod shape;
mod stored;

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
    /// 1, 100 and 10,000 endpoints in one application, each with an event type of its own
    Filters,
    /// An endpoint that never answers beside 99 that do
    Hung,
    /// One that hangs, drips, resets, never ends a TLS handshake or never has an address, beside 99
    /// healthy ones
    Bad,
    /// 9,900 endpoints that never answer beside 99 healthy ones
    #[value(name = "hung-many")]
    HungMany,
    /// Rates and pages with many messages stored, beside an empty store
    Stored,
    /// Publishes while all that is stored is pruned, beside one that keeps it
    Prune,
    /// Messages that pile up while the receiver is down
    Backlog,
    /// Messages for 500 endpoints whose receiver is down, and then comes back
    Herd,
    /// Webhooks taken in at a source beside publishes, what refusing one costs, and a flood
    Inbound,
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Scenario {
    /// Returns every scenario, or those that a relay can do alone.
    pub(crate) fn all(relay_only: bool) -> Vec<Self> {
        let needs_server = |one: &Self| {
            !matches!(
                one,
                Self::One | Self::One128 | Self::Five | Self::Batch | Self::Sizes | Self::Quiet
            )
        };
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
            Self::Filters => "filters",
            Self::Hung => "hung",
            Self::Bad => "bad",
            Self::HungMany => "hung-many",
            Self::Stored => "stored",
            Self::Prune => "prune",
            Self::Backlog => "backlog",
            Self::Herd => "herd",
            Self::Inbound => "inbound",
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
            Self::Filters => [1, 100, if lab.options.short { 200 } else { 10_000 }]
                .map(|endpoints| Shape {
                    endpoints,
                    filtered: true,
                    ..basic.clone()
                })
                .to_vec(),
            Self::Hung => return hung::one(lab),
            Self::Bad => return hung::each(lab),
            Self::HungMany => return hung::many(lab),
            Self::Stored => return stored::run(lab),
            Self::Prune => return prune::run(lab),
            Self::Backlog => return backlog::run(lab),
            Self::Herd => return herd::run(lab),
            Self::Inbound => return inbound::run(lab),
        };
        shape::run(lab, self.name(), &shapes)
    }
}
