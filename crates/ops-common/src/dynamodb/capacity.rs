//! A limit on the capacity units that a run consumes a second.
//!
//! What a request costs is known once DynamoDB has answered. So a request takes
//! an estimate before it is sent and settles the difference after, and what
//! an estimated unit really costs is learnt: an index makes a write dearer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::types::{BillingMode, TableDescription};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::target::Target;
use crate::text;
use crate::ui::Ui;

/// For how many seconds' worth of units a run may save up while it is idle.
const SAVED_SECS: f64 = 0.1;
/// For how many seconds' worth of units one request may ask.
const REQUEST_SECS: f64 = 0.5;
/// How fast a cost that was too high is forgotten.
const FORGETTING: f64 = 0.1;
const LONGEST_PAUSE_SECS: f64 = 60.0;

/// A token bucket of capacity units.
#[derive(Debug)]
pub struct Bucket {
    per_second: f64,
    state: Mutex<State>,
    settled: Notify,
}

#[derive(Debug)]
struct State {
    balance: f64,
    at: Instant,
    /// units that one estimated unit costs; none: no request was answered yet
    cost: Option<f64>,
    /// the first request is on its way
    learning: bool,
}

/// What a request has taken and not yet settled.
#[derive(Debug)]
#[must_use]
pub struct Taken(f64);

/// The limit that a person named; else in `prod` half of what a provisioned
/// table has, which is announced; else none.
#[must_use]
pub fn limit(
    named: Option<f64>,
    target: Target,
    table: &TableDescription,
    units: Units,
    ui: &Ui,
) -> Option<Bucket> {
    if let Some(named) = named {
        return Some(Bucket::new(named));
    }
    let on_demand = table.billing_mode_summary().and_then(|billing| billing.billing_mode())
        == Some(&BillingMode::PayPerRequest);
    let throughput = table.provisioned_throughput()?;
    let (provisioned, name, option) = match units {
        Units::Read => (throughput.read_capacity_units()?, "read", "--max-rcu"),
        Units::Write => (throughput.write_capacity_units()?, "write", "--max-wcu"),
    };
    if target == Target::Local || on_demand || provisioned <= 0 {
        return None;
    }
    let half = provisioned as f64 / 2.0;
    ui.note(format_args!(
        "limit: {} {name} units a second, half of what the table has ({option} N sets another)",
        text::units(half)
    ));
    Some(Bucket::new(half))
}

/// Which capacity units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// of reads
    Read,
    /// of writes
    Write,
}

enum Attempt {
    Taken(Taken),
    Wait(Duration),
    /// the first request's answer has to come first
    Learning,
}

impl Bucket {
    /// A bucket that gives so many units a second.
    #[must_use]
    pub fn new(per_second: f64) -> Self {
        let state = State { balance: 0.0, at: Instant::now(), cost: None, learning: false };
        Self { per_second, state: Mutex::new(state), settled: Notify::new() }
    }

    /// As much as one request should ask for, in estimated units. A request that
    /// cannot be smaller may ask for more.
    #[must_use]
    pub fn request_limit(&self) -> f64 {
        self.per_second * REQUEST_SECS / self.state().cost.unwrap_or(1.0)
    }

    /// Whether a request was answered already.
    #[must_use]
    pub fn knows_cost(&self) -> bool {
        self.state().cost.is_some()
    }

    /// Waits until there is something in the bucket and takes the estimate, on
    /// credit where it is more than there is.
    pub async fn take(&self, estimate: f64) -> Taken {
        loop {
            let settled = self.settled.notified();
            match self.attempt(Instant::now(), estimate) {
                Attempt::Taken(taken) => return taken,
                Attempt::Wait(pause) => sleep(pause).await,
                Attempt::Learning => settled.await,
            }
        }
    }

    fn attempt(&self, now: Instant, estimate: f64) -> Attempt {
        let mut state = self.state();
        let earned = now.saturating_duration_since(state.at).as_secs_f64() * self.per_second;
        state.balance = (state.balance + earned).min(self.per_second * SAVED_SECS);
        state.at = now;
        // Many at once before the cost of one is known could be far too much.
        if state.cost.is_none() && state.learning {
            return Attempt::Learning;
        }
        if state.balance < 0.0 {
            let pause = (-state.balance / self.per_second).min(LONGEST_PAUSE_SECS);
            return Attempt::Wait(Duration::from_secs_f64(pause));
        }
        let units = estimate * state.cost.unwrap_or(1.0);
        state.balance -= units;
        state.learning = true;
        Attempt::Taken(Taken(units))
    }

    /// Settles what a request really cost. `estimate`: of the part that was
    /// carried out.
    pub fn settle(&self, taken: Taken, estimate: f64, units: f64) {
        let mut state = self.state();
        // A server that does not say what it cost.
        let units = if estimate > 0.0 && units <= 0.0 { taken.0 } else { units };
        state.balance += taken.0 - units;
        if estimate > 0.0 && units > 0.0 {
            let seen = units / estimate;
            state.cost = Some(match state.cost {
                Some(cost) if seen < cost => cost + (seen - cost) * FORGETTING,
                _ => seen,
            });
        }
        state.learning = false;
        drop(state);
        self.settled.notify_waiters();
    }

    /// Settles a request of which nothing is known: it may have been carried out.
    pub fn settle_unknown(&self, taken: Taken) {
        let units = taken.0;
        self.settle(taken, 0.0, units);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENCY: Duration = Duration::from_millis(10);
    const SECONDS: f64 = 40.0;

    /// Sixteen writers whose requests each cost `cost` times what is estimated;
    /// returns when how many units were consumed. Time is counted, not waited for.
    fn simulate(per_second: f64, estimate: f64, cost: f64) -> Vec<(f64, f64)> {
        let bucket = Bucket::new(per_second);
        let start = bucket.state().at;
        let mut writers: Vec<_> = std::iter::repeat_with(|| (start, None)).take(16).collect();
        let mut consumed = Vec::new();
        loop {
            let (now, writer) = writers
                .iter()
                .enumerate()
                .map(|(index, (at, _))| (*at, index))
                .min()
                .expect("writers");
            let at = (now - start).as_secs_f64();
            if at > SECONDS {
                return consumed;
            }
            if let Some((asked, taken)) = writers[writer].1.take() {
                consumed.push((at, asked * cost));
                bucket.settle(taken, asked, asked * cost);
            }
            let asked = estimate.min(bucket.request_limit()).max(1.0);
            writers[writer] = match bucket.attempt(now, asked) {
                Attempt::Taken(taken) => (now + LATENCY, Some((asked, taken))),
                Attempt::Wait(pause) => (now + pause.max(Duration::from_micros(1)), None),
                Attempt::Learning => (now + LATENCY, None),
            };
        }
    }

    #[test]
    fn no_ten_seconds_take_more_than_the_limit() {
        for (per_second, estimate, cost) in [
            (5.0, 25.0, 1.0),
            (2.5, 25.0, 3.0),
            (100.0, 25.0, 1.0),
            (1000.0, 25.0, 2.0),
            (20000.0, 25.0, 1.0),
            (1.0, 1.0, 1.0),
        ] {
            let consumed = simulate(per_second, estimate, cost);
            let largest = consumed.iter().map(|(_, units)| *units).fold(0.0, f64::max);
            let mut windows = vec![0.0; 301];
            for (at, units) in &consumed {
                for (tenth, sum) in windows.iter_mut().enumerate() {
                    let from = tenth as f64 / 10.0;
                    if *at >= from && *at < from + 10.0 {
                        *sum += units;
                    }
                }
            }
            let most = windows.into_iter().fold(0.0, f64::max);
            let limit = 10.0 * 1.05 * per_second + largest;
            assert!(most <= limit, "{per_second}: {most} units in ten seconds, {limit} allowed");
            let sum: f64 = consumed.iter().map(|(_, units)| units).sum();
            assert!(sum >= 0.9 * per_second * SECONDS, "{per_second}: only {sum} units");
        }
    }
}
