//! Runs jobs in small steps, round and round, so that none waits for another.
//!
//! Each step is one short transaction of the store, which moves the job's cursor with what it
//! does: a crash loses nothing and repeats nothing. Between steps others get their commits. An
//! endpoint that has enough to do is passed over until it has caught up, so what a replay makes
//! due never piles up before what is new, and canceling leaves little behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{EndpointKey, JobKey};
use store::{JobKind, JobState, JobStep, RunningJob};
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// Deliveries that one step makes due, or payloads that it erases.
const ROOM: u16 = 100;
/// Messages that one step looks at.
const ROWS: u16 = 500;
/// An endpoint with so many due deliveries is passed over.
const BUSY: u16 = 1_000;
/// Jobs that take turns; further ones come next.
const AT_ONCE: u16 = 64;
/// Pause between two rounds, so that others get their commits in between.
const BREATH: Duration = Duration::from_millis(5);
/// How long to wait when every job waits for its endpoints or its rate.
const WAIT: Duration = Duration::from_millis(100);
/// How often to look for jobs when none is known.
const POLL: Duration = Duration::from_secs(30);

/// Runs jobs until `stop` fires.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut rounds = Rounds::default();
    loop {
        let pause = if shared.is_full() {
            WAIT
        } else {
            rounds.go_round(&shared).await
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = shared.jobs_changed.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Where the jobs stand that take turns. Forgetting it costs nothing but fairness.
#[derive(Default)]
struct Rounds {
    turns: HashMap<JobKey, Turn>,
    /// The last job of the last round, when there were more.
    after: Option<JobKey>,
}

struct Turn {
    /// The target that was taken last.
    target: Option<EndpointKey>,
    /// What the rate allows now.
    allowance: f64,
    /// When that was counted, on the monotonic clock.
    counted: Duration,
}

impl Rounds {
    /// Makes a step of each running job, and returns how long to wait before the next round.
    async fn go_round(&mut self, shared: &Arc<Shared>) -> Duration {
        let running = match shared.store.running_jobs(self.after, AT_ONCE).await {
            Ok(running) => running,
            Err(error) => {
                tracing::warn!(%error, "Jobs cannot be read; trying again");
                return Duration::from_secs(1);
            }
        };
        let more = running.len() == usize::from(AT_ONCE);
        let began_late = self.after.is_some();
        self.after = running.last().map(|job| job.key).filter(|_| more);
        if !more && !began_late {
            self.turns
                .retain(|key, _| running.iter().any(|job| job.key == *key));
        }
        let mut moved = false;
        let own = running
            .iter()
            .filter(|job| job.kind != JobKind::ReplayRequests);
        for job in own {
            moved |= self.step(shared, job).await;
        }
        if moved {
            BREATH
        } else if running.is_empty() && !began_late {
            POLL
        } else {
            WAIT
        }
    }

    /// Makes one step; says whether it moved anything.
    async fn step(&mut self, shared: &Arc<Shared>, job: &RunningJob) -> bool {
        let now = shared.monotonic();
        let turn = self.turns.entry(job.key).or_insert(Turn {
            target: None,
            allowance: 1.0,
            counted: now,
        });
        let room = turn.room(job.rate, now);
        if room == 0 {
            return false;
        }
        let step = JobStep {
            job: job.key,
            after: turn.target,
            room,
            rows: ROWS,
            busy: BUSY,
            due: shared.schedule_now(),
            now: shared.now(),
        };
        match shared.store.step_job(step).await {
            Ok(stepped) => {
                turn.target = stepped.target;
                turn.allowance -= f64::from(stepped.done);
                if !stepped.canceled.is_empty() {
                    crate::expunge::forget(shared, stepped.canceled);
                }
                if !stepped.promoted.is_empty() {
                    crate::dispatch::wake(shared, &stepped.promoted, stepped.commit).await;
                }
                if let Some(target) = stepped.target.filter(|_| stepped.done > 0 && !stepped.busy)
                    && target != EndpointKey(0)
                {
                    crate::dispatch::wake(shared, &[target], stepped.commit).await;
                }
                if stepped.state == JobState::Finished {
                    tracing::info!(job.key = job.key.0, "Job finished");
                }
                !stepped.busy
            }
            Err(error) => {
                if error == store::Error::Full {
                    shared.set_full(true);
                }
                tracing::warn!(job.key = job.key.0, %error, "A job's step failed; trying again");
                false
            }
        }
    }
}

impl Turn {
    /// Returns how much the next step may do.
    fn room(&mut self, rate: Option<u32>, now: Duration) -> u16 {
        let Some(rate) = rate.map(f64::from) else {
            self.allowance = 0.0;
            return ROOM;
        };
        let passed = now.saturating_sub(self.counted).as_secs_f64();
        self.counted = now;
        // What was not used within a second is not made up for.
        self.allowance = (self.allowance + passed * rate).min(rate.max(1.0));
        let whole = self.allowance.floor().clamp(0.0, f64::from(ROOM));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the room"
        )]
        let room = whole as u16;
        room
    }
}
