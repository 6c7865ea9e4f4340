//! The local/prod switch and what each target may talk to. [`endpoint`] and [`hosts`]
//! judge by text alone, so that every rule can be tested as text; [`resolve`] adds the
//! look at DNS.

pub mod endpoint;
pub mod hosts;
pub mod resolve;

use std::fmt;

use crate::text;

/// Where a tool acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// services on this machine (the default)
    Local,
    /// the real account and the production database
    Prod,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Prod => "prod",
        })
    }
}

impl Target {
    /// The target that a word likely means that is none: `PROD`.
    #[must_use]
    pub fn meant_by(word: &str) -> Option<&'static str> {
        text::meant(&word.to_lowercase(), ["local", "prod"])
    }

    /// How a line begins that says where a tool acts: nobody takes the one for the other.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Local => "target: local",
            Self::Prod => "target: PROD",
        }
    }

    /// The word that follows a tool's name for this target.
    #[must_use]
    pub fn as_argument(self) -> &'static str {
        match self {
            Self::Local => "",
            Self::Prod => " prod",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_exactly_one_of_two_words() {
        use clap::ValueEnum;
        assert_eq!(Target::from_str("prod", false), Ok(Target::Prod));
        assert_eq!(Target::from_str("local", false), Ok(Target::Local));
        for word in ["nonprod", "production", "PROD", "prod ", "", "pro"] {
            assert!(Target::from_str(word, false).is_err(), "{word}");
        }
    }
}
