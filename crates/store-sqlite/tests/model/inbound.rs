//! Sources and what they receive, as random operations.

use std::time::Duration;

use domain::{InboundId, SourceId};
use proptest::prelude::*;
use store::conformance::descending;
use store::{
    Guard, InboundFilter, InboundMarks, InboundVerdict, Mark, NewInbound, NewSource, PruneRequests,
    Reception, Sealed, Source, SourceChange, SourceRef, SourceToken,
};

use super::Pair;

/// What sources do.
#[derive(Clone, Debug)]
pub(super) enum Inbound {
    Receive {
        /// Of each message the id and the body; without an id it is not deduplicated.
        messages: Vec<(Option<u8>, u8)>,
        to: u8,
        guard: Option<(u8, bool)>,
        refuses_conflicts: bool,
        /// The source was changed after the request was judged.
        stale: bool,
        minutes: u8,
    },
    Note,
    /// Raises the version, or makes another source.
    Change {
        replace: bool,
    },
    Prune {
        rows: u16,
        hours: u8,
    },
}

pub(super) fn operation() -> impl Strategy<Value = Inbound> {
    let message = (proptest::option::weighted(0.8, 0u8..4), 0u8..2);
    let guard = proptest::option::weighted(0.3, (0u8..3, any::<bool>()));
    prop_oneof![
        8 => (proptest::collection::vec(message, 1..4), 0u8..8, guard, any::<bool>(),
              proptest::bool::weighted(0.1), 1u8..200)
            .prop_map(|(messages, to, guard, refuses_conflicts, stale, minutes)| {
                Inbound::Receive { messages, to, guard, refuses_conflicts, stale, minutes }
            }),
        1 => Just(Inbound::Note),
        2 => any::<bool>().prop_map(|replace| Inbound::Change { replace }),
        2 => (1u16..20, 0u8..8).prop_map(|(rows, hours)| Inbound::Prune { rows, hours }),
    ]
}

impl Pair {
    pub(super) async fn create_source(&mut self) -> Source {
        let id = SourceId::from_bits(self.bits());
        let mut hash = [0; 32];
        hash[..16].copy_from_slice(&id.bits().to_be_bytes());
        let new = NewSource {
            application: self.application.key,
            id,
            uid: None,
            name: "Source".into(),
            provider: "github".into(),
            settings: "{}".into(),
            awaits_handshake: None,
            token: SourceToken {
                hash,
                sealed: Sealed(vec![1]),
            },
            secrets: vec![Sealed(vec![2])],
            sources_max: 1_000,
            now: self.now,
            idempotency: None,
        };
        let made = both!(self, store => store.create_source(new.clone()));
        made.unwrap().into_inner()
    }

    pub(super) async fn run_inbound(&mut self, operation: Inbound) {
        match operation {
            Inbound::Receive { .. } => self.receive(operation).await,
            Inbound::Note => {
                let request = self.request(InboundVerdict::Rejected);
                both!(self, store => store.note_requests(vec![request.clone()])).unwrap();
                both!(self, store => store.diagnose_request(request.id, "another secret")).unwrap();
            }
            Inbound::Change { replace } => self.change_source(replace).await,
            Inbound::Prune { rows, hours } => self.prune_requests(rows, hours).await,
        }
    }

    async fn receive(&mut self, operation: Inbound) {
        let Inbound::Receive {
            messages,
            to,
            guard,
            refuses_conflicts,
            stale,
            minutes,
        } = operation
        else {
            unreachable!("it is received");
        };
        let marks = messages.iter().map(|(id, body)| {
            id.map(|id| Mark {
                id: [id; 16],
                body: [*body; 16],
            })
        });
        let reception = Reception {
            source_version: self.source.version - u64::from(stale),
            marks: marks.collect(),
            guard: guard.map(|(seal, refuses)| Guard {
                seal: [100 + seal; 16],
                refuses,
            }),
            window: Duration::from_secs(u64::from(minutes) * 60),
            refuses_conflicts,
            shares_body: messages.len() == 1,
            request: self.request(InboundVerdict::Accepted),
        };
        let messages = messages.iter().map(|_| self.message(to)).collect();
        let mut publish = self.new_publish(messages).await;
        publish.on_event_id = store::OnEventId::AnswerFirst;
        publish.reception = Some(Box::new(reception));
        self.publish(publish).await;
    }

    fn request(&mut self, verdict: InboundVerdict) -> NewInbound {
        NewInbound {
            id: InboundId::from_bits(self.bits()),
            source: self.source.key,
            application: self.application.key,
            verdict,
            reason: (verdict == InboundVerdict::Rejected).then(|| "unverified".into()),
            diagnosis: None,
            marks: InboundMarks::default(),
            method: "POST".into(),
            path: "/in/***".into(),
            peer: "192.0.2.1".into(),
            headers: "x-id: 1\n".into(),
            credentials: None,
            body: "body".into(),
            body_len: 4,
            provider_id: Some("1".into()),
        }
    }

    async fn change_source(&mut self, replace: bool) {
        let named = SourceRef::Id(self.source.id);
        let application = self.application.key;
        if replace {
            both!(self, store => store.delete_source(application, &named, self.now)).unwrap();
            self.source = self.create_source().await;
            return;
        }
        let change = SourceChange {
            name: Some("Changed".into()),
            now: self.now,
            ..SourceChange::default()
        };
        let changed = both!(self, store => {
            store.update_source(application, &named, change.clone())
        });
        self.source = changed.unwrap();
    }

    /// As with messages, how much a call does is a store's own.
    async fn prune_requests(&self, rows: u16, hours: u8) {
        for store in &self.stores {
            for round in 0.. {
                assert!(round < 10_000, "there was always more to prune");
                let prune = PruneRequests {
                    before: self.now.minus(Duration::from_hours(hours.into())),
                    now: self.now,
                    rows,
                };
                if !store.prune_requests(prune).await.unwrap().more {
                    break;
                }
            }
        }
        self.level().await;
    }

    pub(super) async fn compare_inbound(&self) {
        let application = self.application.key;
        let filter = InboundFilter::default();
        let listed = both!(self, store => {
            store.requests(application, &filter, descending(250, None))
        });
        for row in listed.unwrap().items {
            both!(self, store => store.request(application, row.id)).unwrap();
        }
        both!(self, store => store.source_by_key(self.source.key)).unwrap();
    }
}
