//! The partition and sort keys of the messages table, as types. Pure.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use uuid::Uuid;

/// The partition key's attribute.
pub const PK: &str = "pk";
/// The sort key's attribute.
pub const SK: &str = "sk";

/// The partition of one person's conversations (MessageGroup rows).
///
/// ```
/// use ops_common::app::keys::InboxKey;
/// let user = "0b7e11ad-6a2f-4f24-9c0b-0f4c3a0f1c11".parse().unwrap();
/// assert_eq!(InboxKey(user).to_string(), "GRP#0b7e11ad-6a2f-4f24-9c0b-0f4c3a0f1c11");
/// assert_eq!("GRP#0b7e11ad-6a2f-4f24-9c0b-0f4c3a0f1c11".parse(), Ok(InboxKey(user)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InboxKey(pub Uuid);

/// The partition of one conversation's messages (Message rows).
///
/// ```
/// use ops_common::app::keys::ConversationKey;
/// let group = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399".parse().unwrap();
/// assert_eq!(ConversationKey(group).to_string(), "MSG#5ae290ed-55d1-47a0-bc6d-fe2bc2700399");
/// assert_eq!("MSG#5ae290ed-55d1-47a0-bc6d-fe2bc2700399".parse(), Ok(ConversationKey(group)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConversationKey(pub Uuid);

/// The one row by which two people have one conversation, whoever writes first: it
/// holds the conversation's uuid, and only one writer can create it.
///
/// ```
/// use ops_common::app::keys::PairKey;
/// let a = "4f0c2b1e-7d3a-4a55-9c1e-2b6a8d9e0f11".parse().unwrap();
/// let b = "9a7d5c3b-1e2f-4b68-8d47-5f3c1a2e6b22".parse().unwrap();
/// let key = "PAIR#4f0c2b1e-7d3a-4a55-9c1e-2b6a8d9e0f11#9a7d5c3b-1e2f-4b68-8d47-5f3c1a2e6b22";
/// assert_eq!(PairKey::new(a, b).to_string(), key);
/// assert_eq!(PairKey::new(b, a), PairKey::new(a, b));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PairKey {
    first: Uuid,
    second: Uuid,
}

impl PairKey {
    /// The sort key of its one row.
    pub const SORT_KEY: &str = "conversation";

    /// Of two people, in any order.
    #[must_use]
    pub fn new(one: Uuid, other: Uuid) -> Self {
        Self { first: one.min(other), second: one.max(other) }
    }
}

impl fmt::Display for PairKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PAIR#{}#{}", self.first, self.second)
    }
}

const USER_PREFIX: &str = "GRP#";
const GROUP_PREFIX: &str = "MSG#";

/// A sort key: a time in UTC to the microsecond, written with exactly six
/// fraction digits and `+00:00` so that keys sort as text. Reading accepts any
/// RFC 3339 form.
///
/// ```
/// use ops_common::app::keys::SortTime;
/// let time: SortTime = "2026-01-31T18:59:59.5-05:00".parse().unwrap();
/// assert_eq!(time.to_string(), "2026-01-31T23:59:59.500000+00:00");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortTime(DateTime<Utc>);

impl SortTime {
    /// The time, cut to the microsecond that a key can hold.
    #[must_use]
    pub fn new(time: DateTime<Utc>) -> Self {
        Self(time.trunc_subsecs(6))
    }

    /// The time.
    #[must_use]
    pub fn time(self) -> DateTime<Utc> {
        self.0
    }
}

/// A text that is not a key of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {expected}")]
pub struct NotAKey {
    found: String,
    expected: &'static str,
}

fn parse_prefixed(text: &str, prefix: &str, expected: &'static str) -> Result<Uuid, NotAKey> {
    text.strip_prefix(prefix)
        .and_then(|uuid| uuid.parse().ok())
        .ok_or_else(|| NotAKey { found: text.to_owned(), expected })
}

impl fmt::Display for InboxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{USER_PREFIX}{}", self.0)
    }
}

impl FromStr for InboxKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        parse_prefixed(text, USER_PREFIX, "`GRP#` and a user's uuid").map(Self)
    }
}

impl fmt::Display for ConversationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{GROUP_PREFIX}{}", self.0)
    }
}

impl FromStr for ConversationKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        parse_prefixed(text, GROUP_PREFIX, "`MSG#` and a message group's uuid").map(Self)
    }
}

impl fmt::Display for SortTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, false))
    }
}

impl FromStr for SortTime {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        DateTime::parse_from_rfc3339(text).map(|time| Self::new(time.with_timezone(&Utc))).map_err(
            |_| NotAKey {
                found: text.to_owned(),
                expected: "a time like `2026-01-31T23:59:59.123456+00:00`",
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_second_keeps_its_six_digits() {
        let time: SortTime = "2026-01-31T23:59:59Z".parse().expect("time");
        assert_eq!(time.to_string(), "2026-01-31T23:59:59.000000+00:00");
    }

    #[test]
    fn nanoseconds_are_cut_so_that_a_key_reads_back_equal() {
        let time: SortTime = "2026-01-31T23:59:59.123456789Z".parse().expect("time");
        assert_eq!(time.to_string(), "2026-01-31T23:59:59.123456+00:00");
        assert_eq!(time.to_string().parse(), Ok(time));
    }

    #[test]
    fn keys_sort_as_times_do() {
        let times =
            ["2026-01-31T23:59:59.9Z", "2026-02-01T00:00:00Z", "2026-02-01T00:00:00.000001Z"];
        let keys: Vec<String> =
            times.iter().map(|t| t.parse::<SortTime>().expect("time").to_string()).collect();
        assert!(keys.is_sorted());
    }

    #[test]
    fn other_texts_are_not_keys() {
        let uuid = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399";
        assert!(format!("GRP#{uuid}").parse::<ConversationKey>().is_err());
        assert!(format!("MSG#{uuid}").parse::<InboxKey>().is_err());
        assert!("MSG#1".parse::<ConversationKey>().is_err());
        assert_eq!(
            "yesterday".parse::<SortTime>().expect_err("no time").to_string(),
            "`yesterday` is not a time like `2026-01-31T23:59:59.123456+00:00`"
        );
    }
}
