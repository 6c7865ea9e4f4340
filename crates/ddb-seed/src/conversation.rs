//! The file of a conversation: one message a line. Pure.

use ops_common::app::records::{MessageText, NotAMessage};

/// As many lines as a conversation file may have. The uuids of seeded messages
/// are derived from group and line, so this is also how far back an earlier
/// seed can be recognised.
pub(crate) const MAX_LINES: usize = 10_000;

/// Whose message a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// `Person 1`
    Mine,
    /// `Person 2`
    Other,
}

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) speaker: Speaker,
    pub(crate) text: String,
}

/// A line that is not what it should be; no line where the file as a whole is not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    pub(crate) line: Option<usize>,
    pub(crate) why: String,
}

/// Parses the file. A BOM, CRLF, and blank lines at the end are accepted.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Line>, BadLine> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        BadLine { line: Some(line), why: "not UTF-8 text".into() }
    })?;
    let text = text.trim_end();
    if text.is_empty() {
        return Err(BadLine { line: None, why: "it is empty".into() });
    }
    let lines: Vec<Line> = text
        .lines()
        .enumerate()
        .map(|(index, line)| {
            parse_line(line.trim_end()).map_err(|why| BadLine { line: Some(index + 1), why })
        })
        .collect::<Result<_, _>>()?;
    if lines.len() > MAX_LINES {
        return Err(BadLine {
            line: Some(MAX_LINES + 1),
            why: format!("a conversation has at most {MAX_LINES} messages"),
        });
    }
    Ok(lines)
}

fn parse_line(line: &str) -> Result<Line, String> {
    let expected = "expected `Person 1: …` or `Person 2: …`";
    if line.is_empty() {
        return Err(format!("a blank line between messages; {expected}"));
    }
    let (speaker, text) = if let Some(text) = line.strip_prefix("Person 1:") {
        (Speaker::Mine, text)
    } else if let Some(text) = line.strip_prefix("Person 2:") {
        (Speaker::Other, text)
    } else {
        return Err(expected.to_owned());
    };
    let text: MessageText = text.trim().parse().map_err(|error: NotAMessage| error.to_string())?;
    Ok(Line { speaker, text: text.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(speaker: Speaker, text: &str) -> Line {
        Line { speaker, text: text.to_owned() }
    }

    fn bad(line: usize, why: &str) -> Result<Vec<Line>, BadLine> {
        Err(BadLine { line: Some(line), why: why.to_owned() })
    }

    #[test]
    fn the_compiled_in_conversation_parses() {
        let lines = parse(crate::CONVERSATION).expect("conversation");
        assert_eq!(lines.len(), 104);
        assert!(lines.iter().any(|line| line.speaker == Speaker::Other));
    }

    #[test]
    fn one_message_a_line() {
        let expected = [line(Speaker::Mine, "hi: there"), line(Speaker::Other, "Person 1: no")];
        for text in [
            "Person 1: hi: there\nPerson 2: Person 1: no",
            "Person 1: hi: there\nPerson 2: Person 1: no\n\n  \n",
            "\u{feff}Person 1: hi: there\r\nPerson 2:Person 1: no  \r\n",
        ] {
            assert_eq!(parse(text.as_bytes()).as_deref(), Ok(&expected[..]), "{text:?}");
        }
    }

    #[test]
    fn a_bad_line_is_named() {
        let expected = "expected `Person 1: …` or `Person 2: …`";
        assert_eq!(parse(b"Person 1: a\nPerson 3: b"), bad(2, expected));
        assert_eq!(parse(b"hello"), bad(1, expected));
        assert_eq!(parse(b"person 1: a"), bad(1, expected));
        assert_eq!(
            parse(b"Person 1: a\n\nPerson 2: b"),
            bad(2, &format!("a blank line between messages; {expected}"))
        );
        assert_eq!(parse(b"Person 1: a\nPerson 2:  "), bad(2, "the message is empty"));
        assert_eq!(parse(b"Person 1: a\nPerson 2: \xff"), bad(2, "not UTF-8 text"));
        for empty in ["", "\n\n", "\u{feff}\r\n"] {
            assert_eq!(
                parse(empty.as_bytes()),
                Err(BadLine { line: None, why: "it is empty".into() })
            );
        }
    }

    #[test]
    fn the_limit_is_in_characters() {
        let text = |n: usize| format!("Person 1: {}", "é".repeat(n));
        assert!(parse(text(1024).as_bytes()).is_ok());
        assert_eq!(
            parse(text(1025).as_bytes()),
            bad(1, "the message has 1025 characters, and at most 1024 are allowed")
        );
    }

    #[test]
    fn the_number_of_lines_is_bounded() {
        assert!(parse("Person 1: a\n".repeat(MAX_LINES).as_bytes()).is_ok());
        assert_eq!(
            parse("Person 1: a\n".repeat(MAX_LINES + 1).as_bytes())
                .map(|lines| lines.len())
                .map_err(|e| e.line),
            Err(Some(MAX_LINES + 1))
        );
    }
}
