//! Sentences for a terminal, broken between words; a name or a command in backticks
//! stays whole, so that it can be copied. Pure.

use textwrap::core::Word;
use textwrap::{Options, WordSeparator, WordSplitter};

/// What the lines of one sentence after the first stand in; less where a uuid with a
/// comma behind it has to fit.
const INDENT: &str = "    ";
const NARROW_INDENT: &str = "  ";
const NARROW: u16 = 60;

/// Breaks lines that are wider than `width`. What cannot be broken stays wider.
#[must_use]
pub(super) fn wrapped(text: &str, width: u16) -> String {
    let options = Options::new(width.into())
        .word_separator(WordSeparator::Custom(words))
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false)
        .subsequent_indent(if width < NARROW { NARROW_INDENT } else { INDENT });
    let lines = text.split('\n').map(|line| textwrap::fill(line, &options));
    lines.collect::<Vec<_>>().join("\n")
}

/// The words of a line, each with the spaces behind it; what stands in backticks is
/// one.
fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let mut words = Vec::new();
    let (mut start, mut quoted, mut after_space) = (0, false, false);
    for (at, c) in line.char_indices() {
        if after_space && c != ' ' {
            words.push(Word::from(&line[start..at]));
            start = at;
        }
        quoted ^= c == '`';
        after_space = c == ' ' && !quoted;
    }
    if start < line.len() {
        words.push(Word::from(&line[start..]));
    }
    Box::new(words.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_not_in_commands() {
        let text = "hint: create it with `ddb-schema-load --table x`, or do not";
        assert_eq!(
            wrapped(text, 30),
            "hint: create it with\n  `ddb-schema-load --table x`,\n  or do not"
        );
        assert_eq!(wrapped(text, 200), text);
        assert_eq!(
            wrapped("a\n  b `a command that is longer than it`", 20),
            "a\n  b\n  `a command that is longer than it`"
        );
    }

    #[test]
    fn nothing_is_lost() {
        for text in ["", "\n", "a  b", "  a", "`open", "a\n\nb", "ä ö `ü ß`  é"] {
            assert_eq!(wrapped(text, 80), text);
        }
    }

    #[test]
    fn colours_take_no_room() {
        let text = "\u{1b}[1;31merror:\u{1b}[0m twelve chars";
        assert_eq!(wrapped(text, 19), text);
    }
}
