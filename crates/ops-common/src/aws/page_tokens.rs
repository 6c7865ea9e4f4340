//! The tokens by which a service leads from page to page. Pure.

/// Notices a listing that goes in a circle, which would never end.
///
/// Only one token is kept, a later one each time that twice as many have been seen
/// (Brent's way): a circle is noticed at the latest when it has been gone round
/// three times, in the memory of one token however long the listing is.
#[derive(Debug, Clone)]
pub struct PageTokens<Token> {
    kept: Option<Token>,
    seen: u64,
}

impl<Token> Default for PageTokens<Token> {
    fn default() -> Self {
        Self { kept: None, seen: 0 }
    }
}

/// A token that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it leads to the same page again")]
pub struct RepeatedToken;

impl<Token: PartialEq + Clone> PageTokens<Token> {
    /// Takes the next token.
    ///
    /// # Errors
    /// Where it was there before.
    pub fn next(&mut self, token: &Token) -> Result<(), RepeatedToken> {
        if self.kept.as_ref() == Some(token) {
            return Err(RepeatedToken);
        }
        self.seen += 1;
        if self.seen.is_power_of_two() {
            self.kept = Some(token.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_of_any_length_is_noticed() {
        for before in 0..20 {
            for length in 1..20 {
                let mut tokens = PageTokens::default();
                let at = |step: u64| {
                    if step < before { step } else { before + (step - before) % length }
                };
                let noticed = (0..).find(|step| tokens.next(&at(*step)).is_err());
                assert!(
                    noticed.is_some_and(|step| step <= 3 * (before + length)),
                    "{before} {length} {noticed:?}"
                );
            }
        }
    }

    #[test]
    fn a_long_way_is_no_circle() {
        let mut tokens = PageTokens::default();
        assert!((0..100_000_u32).all(|token| tokens.next(&token).is_ok()));
    }
}
