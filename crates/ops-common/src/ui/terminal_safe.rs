//! Output of data to a terminal, which must not take any of it for a command.

use std::io::{self, Write};

/// A writer of UTF-8 that a terminal may be behind: then control characters but
/// line breaks are written as JSON escapes them (`\u009b`), so that JSON stays JSON.
#[derive(Debug)]
pub struct TerminalSafe<W: Write> {
    out: W,
    is_terminal: bool,
    /// the last byte was the first of two, and C1 begins with it
    held: bool,
}

/// What C1 characters begin with in UTF-8; the second byte is the character.
const C1_FIRST: u8 = 0xc2;

impl<W: Write> TerminalSafe<W> {
    /// Passes all on as it is where there is no terminal.
    pub fn new(out: W, is_terminal: bool) -> Self {
        Self { out, is_terminal, held: false }
    }
}

impl<W: Write> Write for TerminalSafe<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if !self.is_terminal {
            return self.out.write(text);
        }
        for &byte in text {
            if self.held {
                self.held = false;
                if (0x80..0xa0).contains(&byte) {
                    write!(self.out, "\\u{byte:04x}")?;
                    continue;
                }
                self.out.write_all(&[C1_FIRST])?;
            }
            match byte {
                C1_FIRST => self.held = true,
                b'\n' => self.out.write_all(b"\n")?,
                0..0x20 | 0x7f => write!(self.out, "\\u{byte:04x}")?,
                _ => self.out.write_all(&[byte])?,
            }
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_on_a_terminal_stays_json() {
        let text = "{\"a\u{7f}\":\"\u{9b}2J é © \u{a0} 🦀\"}\n";
        // Cut anywhere: a character's two bytes can come in two calls.
        for at in 0..=text.len() {
            let mut out = Vec::new();
            let mut safe = TerminalSafe::new(&mut out, true);
            safe.write_all(&text.as_bytes()[..at]).expect("write");
            safe.write_all(&text.as_bytes()[at..]).expect("write");
            let out = String::from_utf8(out).expect("UTF-8");
            assert!(!out.contains(|c: char| c.is_control() && c != '\n'), "{out:?}");
            let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
            assert_eq!(json(&out), json(text));
        }
        let mut out = Vec::new();
        TerminalSafe::new(&mut out, false).write_all(text.as_bytes()).expect("write");
        assert_eq!(out, text.as_bytes());
    }
}
