//! What the last requests found out, so that the next ones need not ask again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Whoever changes what is behind it sees the change after so long at most.
const FOR: Duration = Duration::from_secs(60);
/// As many are remembered at once.
const MOST: usize = 10_000;

/// What was found by its key, for a minute. What was not there is not remembered: it may
/// come at any time.
pub(crate) struct Remembered<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Remembered<K, V> {
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, value) = known.get(key)?;
        (at.elapsed() < FOR).then(|| value.clone())
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, (Instant::now(), value));
    }
}
