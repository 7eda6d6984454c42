//! How an endpoint asks to be called: its own retry schedule, timeout and concurrency.

use std::time::Duration;

use domain::{DeliverAs, HeaderFilter, Limits, RetrySchedule, Tuning};
use store::Scope;

use crate::caller::Caller;
use crate::error::Error;
use crate::fields::Fields;

/// An endpoint's own settings as a caller gives them: `None` leaves one as it is, `Some(None)`
/// leaves it to the server's settings again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TuningInput {
    /// Seconds to wait before each attempt; the first must be 0.
    pub retry_schedule: Option<Option<Vec<u32>>>,
    /// Seconds for one attempt.
    pub timeout_seconds: Option<Option<u32>>,
    /// Attempts in flight at once.
    pub max_concurrency: Option<Option<u16>>,
    /// Send the older names of the headers too.
    pub svix_headers: Option<bool>,
    /// `message` or `request`: in which form it gets what a source received.
    pub deliver_as: Option<Option<String>>,
    /// The only headers of received requests that it gets.
    pub forward_headers: Option<Option<Vec<String>>>,
}

/// The same, checked.
#[derive(Debug)]
#[expect(
    clippy::option_option,
    reason = "a setting has three cases: leave, clear, set"
)]
pub(crate) struct TuningPatch {
    retry_schedule: Option<Option<RetrySchedule>>,
    timeout: Option<Option<Duration>>,
    concurrency: Option<Option<u16>>,
    svix_headers: Option<bool>,
    deliver_as: Option<DeliverAs>,
    forward_headers: Option<Option<HeaderFilter>>,
}

impl TuningInput {
    /// Refuses what customers do not set for themselves: what a provider told the operator in
    /// headers, and what it signed, is not theirs to ask for.
    pub(crate) fn check_portal(&self, caller: Caller) -> Result<(), Error> {
        let mut fields = Fields::default();
        let given = [
            ("deliverAs", self.deliver_as.is_some()),
            ("forwardHeaders", self.forward_headers.is_some()),
        ];
        for (field, _) in given.into_iter().filter(|(_, given)| *given) {
            if caller.scope == Scope::Portal {
                fields.fault(&[field], "is not set from the portal; leave it out");
            }
        }
        fields.check()
    }

    /// Checks each of them against the limits.
    pub(crate) fn check(&self, fields: &mut Fields, limits: &Limits) -> TuningPatch {
        let seconds = u32::try_from(limits.endpoint_timeout.as_secs()).unwrap_or(u32::MAX);
        let timeout = self.timeout_seconds.flatten();
        if timeout.is_some_and(|given| given == 0 || given > seconds) {
            fields.fault(&["timeoutSeconds"], format!("must be 1 to {seconds}"));
        }
        let most = limits.endpoint_concurrency;
        let concurrency = self.max_concurrency.flatten();
        if concurrency.is_some_and(|given| given == 0 || given > most) {
            fields.fault(&["maxConcurrency"], format!("must be 1 to {most}"));
        }
        let schedule = self.retry_schedule.as_ref();
        TuningPatch {
            retry_schedule: schedule.map(|given| check_schedule(fields, limits, given.as_deref()?)),
            timeout: self
                .timeout_seconds
                .map(|given| given.map(|given| Duration::from_secs(given.into()))),
            concurrency: self.max_concurrency,
            svix_headers: self.svix_headers,
            deliver_as: self.check_form(fields),
            forward_headers: self.forward_headers.as_ref().map(|given| {
                let parsed = HeaderFilter::parse(given.as_deref()?);
                fields.take(&["forwardHeaders"], parsed)
            }),
        }
    }

    fn check_form(&self, fields: &mut Fields) -> Option<DeliverAs> {
        let Some(slug) = self.deliver_as.as_ref()? else {
            return Some(DeliverAs::default());
        };
        let form = DeliverAs::from_slug(slug);
        if form.is_none() {
            fields.fault(&["deliverAs"], "must be `message` or `request`");
        }
        form
    }
}

fn check_schedule(fields: &mut Fields, limits: &Limits, given: &[u32]) -> Option<RetrySchedule> {
    const FIELD: &str = "retrySchedule";
    let most = limits.retry_attempts.min(RetrySchedule::ENTRIES_MAX);
    if given.is_empty() || given.len() > most {
        let msg = format!("has {} entries; 1 to {most} are allowed", given.len());
        fields.fault(&[FIELD], msg);
        return None;
    }
    if given[0] != 0 {
        let msg =
            "must be 0: the first attempt follows at once (a message's `deliverAt` delays it)";
        fields.fault(&[FIELD, "0"], msg);
    }
    let waits: Vec<Duration> = given
        .iter()
        .map(|seconds| Duration::from_secs((*seconds).into()))
        .collect();
    let total: Duration = waits.iter().sum();
    if total > limits.retry_total {
        let (total, most) = (total.as_secs(), limits.retry_total.as_secs());
        let msg = format!("lasts {total} seconds in all; at most {most} are allowed");
        fields.fault(&[FIELD], msg);
    }
    fields.take(&[FIELD], RetrySchedule::new(waits))
}

impl TuningPatch {
    /// Returns what becomes of an endpoint's settings; `None` when nothing was given.
    pub(crate) fn over(self, current: &Tuning) -> Option<Tuning> {
        let Self {
            retry_schedule,
            timeout,
            concurrency,
            svix_headers,
            deliver_as,
            forward_headers,
        } = self;
        let own = retry_schedule.is_some() || timeout.is_some() || concurrency.is_some();
        let forwarding = deliver_as.is_some() || forward_headers.is_some();
        if !own && !forwarding && svix_headers.is_none() {
            return None;
        }
        Some(Tuning {
            retry_schedule: retry_schedule.unwrap_or_else(|| current.retry_schedule.clone()),
            timeout: timeout.unwrap_or(current.timeout),
            concurrency: concurrency.unwrap_or(current.concurrency),
            svix_headers: svix_headers.unwrap_or(current.svix_headers),
            deliver_as: deliver_as.unwrap_or(current.deliver_as),
            forward_headers: forward_headers.unwrap_or_else(|| current.forward_headers.clone()),
        })
    }
}
