//! The row of a delivery, and what it means together with its endpoint.

use domain::{CancelReason, DeliveryState, EndpointKey, FailReason};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::codec::{invalid, small};

/// A row of `delivery` with what its endpoint says about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) state: DeliveryState,
    /// Pending, but not due before an earlier delivery of its line has ended.
    pub(crate) waiting: bool,
    pub(crate) due: i64,
    pub(crate) first_due: Option<i64>,
    pub(crate) attempts: u16,
    pub(crate) scheduled: u16,
    pub(crate) back: Option<Back>,
    pub(crate) reason: Option<i64>,
    /// Canceled by the endpoint's own row: of an earlier generation, or the endpoint is deleted.
    pub(crate) canceled: Option<CancelReason>,
}

/// What a manual attempt returns to when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Back {
    /// No row: delivered before, or never a delivery.
    Nothing,
    /// Pending, due then or waiting in line.
    Pending { due: i64, waiting: bool },
    /// Ended in this state.
    Ended(DeliveryState),
}

/// The stored state of a delivery that waits in line; it is pending to everybody else.
pub(crate) const WAITING: i64 = 5;

impl Back {
    pub(crate) const fn code(self) -> i64 {
        match self {
            Self::Nothing => 0,
            Self::Pending { waiting: true, .. } => WAITING,
            Self::Pending { .. } => DeliveryState::Pending.code(),
            Self::Ended(state) => state.code(),
        }
    }

    pub(crate) const fn due(self) -> Option<i64> {
        match self {
            Self::Pending { due, .. } => Some(due),
            Self::Nothing | Self::Ended(_) => None,
        }
    }
}

/// The state that callers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effective {
    /// No delivery of its own: what the attempts say.
    None,
    Pending,
    Fail(FailReason),
    Canceled(CancelReason),
}

impl Delivery {
    /// The stored state.
    const fn code(&self) -> i64 {
        match (self.state, self.waiting) {
            (DeliveryState::Pending, true) => WAITING,
            (state, _) => state.code(),
        }
    }

    /// What this row means. Canceling a manual attempt brings back what was before, unless that
    /// was itself still pending.
    pub(crate) fn effective(&self) -> rusqlite::Result<Effective> {
        match (self.state, self.canceled, self.back) {
            (DeliveryState::Pending, None, _) => Ok(Effective::Pending),
            (DeliveryState::Pending, Some(_), Some(Back::Nothing)) => Ok(Effective::None),
            (DeliveryState::Pending, Some(_), Some(Back::Ended(state))) => self.ended(state),
            (DeliveryState::Pending, Some(reason), _) => Ok(Effective::Canceled(reason)),
            (state, _, _) => self.ended(state),
        }
    }

    fn ended(&self, state: DeliveryState) -> rusqlite::Result<Effective> {
        match (state, self.reason) {
            (DeliveryState::Fail, Some(1)) => Ok(Effective::Fail(FailReason::Exhausted)),
            (DeliveryState::Fail, Some(2)) => Ok(Effective::Fail(FailReason::EndpointUnavailable)),
            (DeliveryState::Canceled, Some(1)) => {
                Ok(Effective::Canceled(CancelReason::EndpointDisabled))
            }
            (DeliveryState::Canceled, Some(2)) => {
                Ok(Effective::Canceled(CancelReason::EndpointDeleted))
            }
            (DeliveryState::Canceled, Some(3)) => {
                Ok(Effective::Canceled(CancelReason::PayloadExpunged))
            }
            _ => Err(invalid("delivery")),
        }
    }
}

pub(crate) const fn fail_code(reason: FailReason) -> i64 {
    match reason {
        FailReason::Exhausted => 1,
        FailReason::EndpointUnavailable => 2,
    }
}

pub(crate) const fn cancel_code(reason: CancelReason) -> i64 {
    match reason {
        CancelReason::EndpointDisabled => 1,
        CancelReason::EndpointDeleted => 2,
        CancelReason::PayloadExpunged => 3,
    }
}

/// Columns of [`from_row`]; `d` is the delivery, `e` its endpoint, `a` the application.
const SELECT: &str = "
    SELECT d.state, d.due, d.first_due, d.attempts, d.scheduled, d.back, d.back_due, d.reason,
           d.generation < e.generation,
           e.key IS NULL OR a.key IS NULL OR e.deleted IS NOT NULL OR a.deleted IS NOT NULL
      FROM delivery d LEFT JOIN endpoint e ON e.key = d.endpoint
      LEFT JOIN application a ON a.key = e.application
     WHERE d.message = ?1 AND d.endpoint = ?2";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let state = |code| match code {
        WAITING => Ok(DeliveryState::Pending),
        code => DeliveryState::from_code(code).ok_or_else(|| invalid("delivery")),
    };
    let back = match row.get::<_, Option<i64>>(5)? {
        None => None,
        Some(0) => Some(Back::Nothing),
        Some(code @ (1 | WAITING)) => Some(Back::Pending {
            due: row.get(6)?,
            waiting: code == WAITING,
        }),
        Some(code) => Some(Back::Ended(state(code)?)),
    };
    let earlier: Option<bool> = row.get(8)?;
    let canceled = if earlier == Some(true) {
        Some(CancelReason::EndpointDisabled)
    } else if row.get(9)? {
        Some(CancelReason::EndpointDeleted)
    } else {
        None
    };
    let code = row.get(0)?;
    Ok(Delivery {
        state: state(code)?,
        waiting: code == WAITING,
        due: row.get(1)?,
        first_due: row.get(2)?,
        attempts: small(row, 3)?,
        scheduled: small(row, 4)?,
        back,
        reason: row.get(7)?,
        canceled,
    })
}

/// Reads one delivery's row.
pub(crate) fn load(
    connection: &Connection,
    message: i64,
    endpoint: i64,
) -> rusqlite::Result<Option<Delivery>> {
    connection
        .prepare_cached(SELECT)?
        .query_row([message, endpoint], from_row)
        .optional()
}

/// Writes a row back, all but its generation.
pub(crate) fn update(
    connection: &Connection,
    message: i64,
    endpoint: i64,
    delivery: &Delivery,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE delivery SET state = ?3, due = ?4, first_due = ?5, attempts = ?6,
                    scheduled = ?7, back = ?8, back_due = ?9, reason = ?10
              WHERE message = ?1 AND endpoint = ?2",
        )?
        .execute(params![
            message,
            endpoint,
            delivery.code(),
            delivery.due,
            delivery.first_due,
            delivery.attempts,
            delivery.scheduled,
            delivery.back.map(Back::code),
            delivery.back.and_then(Back::due),
            delivery.reason,
        ])
        .map(drop)
}

/// Lets a delivery that was made just now wait in line.
pub(crate) fn hold(
    connection: &Connection,
    (message, endpoint): (i64, i64),
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE delivery SET state = 5 WHERE message = ?1 AND endpoint = ?2")?
        .execute([message, endpoint])
        .map(drop)
}

pub(crate) fn erase(connection: &Connection, message: i64, endpoint: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM delivery WHERE message = ?1 AND endpoint = ?2")?
        .execute([message, endpoint])
        .map(drop)
}

/// Cancels a delivery because its payload goes; says whether it was canceled already. A manual
/// attempt goes back to what was before, unless that was itself pending.
pub(crate) fn cancel(
    connection: &Connection,
    message: i64,
    endpoint: i64,
) -> rusqlite::Result<bool> {
    let Some(mut row) = load(connection, message, endpoint)? else {
        return Ok(false);
    };
    if row.effective()? != Effective::Pending {
        settle(connection, message, endpoint)?;
        return Ok(true);
    }
    match row.back.take() {
        Some(Back::Nothing) => {
            erase(connection, message, endpoint)?;
            return Ok(false);
        }
        Some(Back::Ended(state)) => row.state = state,
        Some(Back::Pending { .. }) | None => {
            row.state = DeliveryState::Canceled;
            row.reason = Some(cancel_code(CancelReason::PayloadExpunged));
        }
    }
    update(connection, message, endpoint, &row)?;
    Ok(false)
}

/// Writes down what a delivery already reads as.
pub(crate) fn settle(connection: &Connection, message: i64, endpoint: i64) -> rusqlite::Result<()> {
    let Some(mut row) = load(connection, message, endpoint)? else {
        return Ok(());
    };
    (row.state, row.reason) = match row.effective()? {
        Effective::None => return erase(connection, message, endpoint),
        Effective::Pending => return Ok(()),
        Effective::Fail(reason) => (DeliveryState::Fail, Some(fail_code(reason))),
        Effective::Canceled(reason) => (DeliveryState::Canceled, Some(cancel_code(reason))),
    };
    row.back = None;
    update(connection, message, endpoint, &row)
}

/// Says whether canceled deliveries of an endpoint still say pending.
pub(crate) fn is_unsettled(
    connection: &Connection,
    endpoint: EndpointKey,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM delivery
              WHERE endpoint = ?1 AND state = 1
                AND generation < (SELECT generation FROM endpoint WHERE key = ?1)
              UNION ALL
             SELECT 1 FROM delivery
              WHERE endpoint = ?1 AND state = 5 AND state <> 1
                AND generation < (SELECT generation FROM endpoint WHERE key = ?1)",
        )?
        .exists([endpoint.0])
}
