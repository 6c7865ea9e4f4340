//! Waiting for a change of a table that DynamoDB makes in its own time.
//!
//! The SDK's own waiters poll every 20 seconds; this starts at 100 ms and doubles to
//! 2 s.

use std::time::Duration;

use tokio::time::{Instant, sleep};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The pauses between two looks, until a deadline.
#[derive(Debug)]
pub struct Poll {
    deadline: Instant,
    pause: Duration,
}

impl Poll {
    /// Polls for so long.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { deadline: Instant::now() + timeout, pause: FIRST_PAUSE }
    }

    /// Waits until the next look is due. `false`: the deadline comes before.
    pub async fn next(&mut self) -> bool {
        if Instant::now() + self.pause > self.deadline {
            return false;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }
}
