//! A provider whose requests a source takes in.
//!
//! It sends a request until it hears an answer, as providers do, and some of them once more after
//! that, with the same bytes or with others. However often it comes, one id is one effect: one
//! message, under the id of the first answer, with the first bytes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use domain::{InboundId, SourceId};
use engine::{PublishError, PublishRequest};
use env::testing::{SeededEntropy, TokioClock};
use env::{Clock as _, Ids};
use store::{
    Application, InboundMarks, InboundVerdict, Mark, NewInbound, NewSource, OnEventId, Receipt,
    Reception, Sealed, Source, SourceToken, Store,
};

use crate::life::Life;
use crate::witness::Witness;
use crate::world::{AGAIN, Ledger, World, now};

/// For how long repeats are noticed: longer than any life.
const WINDOW: Duration = Duration::from_hours(72);

/// Creates the source.
pub(crate) async fn source(
    store: &dyn Store,
    application: &Application,
    id: SourceId,
    clock: &TokioClock,
) -> Source {
    let new = NewSource {
        application: application.key,
        id,
        uid: None,
        name: "simulated".to_owned(),
        provider: "github".to_owned(),
        settings: "{}".to_owned(),
        awaits_handshake: None,
        token: SourceToken {
            hash: [1; 32],
            sealed: Sealed(b"token".to_vec()),
        },
        secrets: vec![Sealed(b"secret".to_vec())],
        sources_max: 1,
        now: clock.now(),
        idempotency: None,
    };
    let created = store.create_source(new).await;
    created.expect("nothing is in its way").into_inner()
}

/// One event of the provider's, and what is needed to send it.
struct Event {
    source: Source,
    /// What the provider calls it.
    id: [u8; 16],
    request: PublishRequest,
    bodies: [Bytes; 2],
    /// Which of the bodies is sent, each after the answer to the one before.
    sends: Vec<usize>,
    ids: Arc<Ids>,
    clock: Arc<TokioClock>,
    entropy: Arc<SeededEntropy>,
}

impl World {
    /// The provider has something to tell.
    pub(crate) fn receive(&mut self) {
        let number = self.next_body;
        self.next_body += 1;
        let padding = "x".repeat(usize::try_from(self.below(300)).expect("it is small"));
        let body = |which| format!(r#"{{"n":{number},"in":{which},"p":"{padding}"}}"#);
        let bodies = [0, 1].map(|which| Bytes::from(body(which)));
        let mut sends = vec![0];
        sends.extend((0..self.below(3)).map(|_| usize::from(self.below(2) == 0)));
        self.witness
            .note(&format!("the provider has {number}, and sends {sends:?}"));
        self.ledger().open += 1;
        self.ledger().never.push(bodies[1].clone());
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let request = PublishRequest {
            on_event_id: OnEventId::AnswerFirst,
            ..self.request(&bodies[..1], false, None, None)
        };
        let event = Event {
            source: self.source.clone(),
            id,
            request,
            bodies,
            sends,
            ids: Arc::clone(&self.ids),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
        };
        let (current, ledger) = (Arc::clone(&self.current), Arc::clone(&self.ledger));
        let witness = Arc::clone(&self.witness);
        tokio::spawn(async move {
            event.tell(&current, &ledger, &witness).await;
            ledger.lock().expect("no panic while it is held").open -= 1;
        });
    }
}

impl Event {
    async fn tell(&self, current: &Mutex<Arc<Life>>, ledger: &Mutex<Ledger>, witness: &Witness) {
        let mut first = None;
        for which in &self.sends {
            let receipt = match self.send(*which, current).await {
                Ok(receipt) => receipt,
                Err(error) => return witness.object(&format!("a request was refused: {error}")),
            };
            let id = receipt.messages.first().map(|message| message.id);
            let Some(id) = id.filter(|_| receipt.messages.len() == 1) else {
                return witness.object("a request is not one message");
            };
            witness.note(&format!("the provider hears {:?}, {id}", receipt.verdict));
            let known = *first.get_or_insert(id);
            let again = ledger
                .lock()
                .expect("no panic while it is held")
                .accepted
                .insert(self.bodies[0].clone(), id.to_string())
                .is_some();
            let is_right = match receipt.verdict {
                InboundVerdict::Accepted => !again && !receipt.marks.body_differs,
                // The answer to the one before may have been lost.
                InboundVerdict::Duplicate => receipt.marks.body_differs == (*which == 1),
                _ => false,
            };
            if !is_right || known != id {
                witness.object(&format!("{known} was received again: {receipt:?}"));
            }
        }
    }

    /// Sends until there is an answer.
    async fn send(
        &self,
        which: usize,
        current: &Mutex<Arc<Life>>,
    ) -> Result<Receipt, PublishError> {
        loop {
            let life = now(current);
            let Some(engine) = life.engine().filter(|_| !life.is_dead()) else {
                life.succession().await;
                continue;
            };
            let answer = tokio::select! {
                biased;
                () = life.death() => continue,
                answer = engine.receive(self.request(which)) => answer,
            };
            match answer {
                Err(PublishError::Busy | PublishError::Full) => tokio::time::sleep(AGAIN).await,
                answer => return answer,
            }
        }
    }

    fn request(&self, which: usize) -> PublishRequest {
        let body = &self.bodies[which];
        let mut hash = self.id;
        hash[15] = u8::try_from(which).expect("one of two");
        let id = self.ids.next(self.clock.now(), &*self.entropy);
        let mut request = self.request.clone();
        request.messages[0].payload.bytes = body.clone();
        request.reception = Some(Box::new(Reception {
            request: NewInbound {
                id: InboundId::from_bits(id),
                source: self.source.key,
                application: self.source.application,
                verdict: InboundVerdict::Accepted,
                reason: None,
                diagnosis: None,
                marks: InboundMarks::default(),
                method: "POST".to_owned(),
                path: "/in/***".to_owned(),
                peer: "192.0.2.1".to_owned(),
                headers: Bytes::new(),
                credentials: None,
                body: body.clone(),
                body_len: body.len() as u64,
                provider_id: None,
            },
            source_version: self.source.version,
            marks: vec![Some(Mark {
                id: self.id,
                body: hash,
            })],
            guard: None,
            window: WINDOW,
            refuses_conflicts: false,
            shares_body: true,
        }));
        request
    }
}
