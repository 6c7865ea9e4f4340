//! Output of data to a terminal, which must not take any of it for a command.

use std::io::{self, Write};

use crate::text::moves_text;

/// A writer of UTF-8 that a terminal may be behind: then what [`moves_text`], but
/// line breaks, is written as JSON escapes it (`\u009b`), so that JSON stays JSON.
#[derive(Debug)]
pub struct TerminalSafe<W: Write> {
    out: W,
    is_terminal: bool,
    /// what such a character may begin with, until its last byte comes
    held: Vec<u8>,
}

/// What such characters of more than one byte begin with in UTF-8: C1, and U+2000 to
/// U+207F.
const BEGINNINGS: [&[u8]; 4] = [&[0xc2], &[0xe2], &[0xe2, 0x80], &[0xe2, 0x81]];

impl<W: Write> TerminalSafe<W> {
    /// Passes all on as it is where there is no terminal.
    pub fn new(out: W, is_terminal: bool) -> Self {
        Self { out, is_terminal, held: Vec::new() }
    }
}

impl<W: Write> Write for TerminalSafe<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if !self.is_terminal {
            return self.out.write(text);
        }
        for &byte in text {
            self.held.push(byte);
            if !BEGINNINGS.contains(&self.held.as_slice())
                && self.held.len() > 1
                && str::from_utf8(&self.held).is_err()
            {
                // Not UTF-8: what began so is none of them, and this byte may be one.
                let rest = self.held.len() - 1;
                self.out.write_all(&self.held[..rest])?;
                self.held.drain(..rest);
            }
            if BEGINNINGS.contains(&self.held.as_slice()) {
                continue;
            }
            let character = str::from_utf8(&self.held).ok().and_then(|text| text.chars().next());
            match character {
                Some(c) if c != '\n' && moves_text(c) => {
                    write!(self.out, "\\u{:04x}", u32::from(c))?;
                }
                _ => self.out.write_all(&self.held)?,
            }
            self.held.clear();
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
        let text =
            "{\"a\u{7f}\":\"\u{9b}2J é © \u{a0} 🦀 € “\u{202e}\u{2066}” \u{2028}\u{2070}\"}\n";
        // Cut anywhere: a character's two bytes can come in two calls.
        for at in 0..=text.len() {
            let mut out = Vec::new();
            let mut safe = TerminalSafe::new(&mut out, true);
            safe.write_all(&text.as_bytes()[..at]).expect("write");
            safe.write_all(&text.as_bytes()[at..]).expect("write");
            let out = String::from_utf8(out).expect("UTF-8");
            assert!(!out.contains(|c: char| moves_text(c) && c != '\n'), "{out:?}");
            let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
            assert_eq!(json(&out), json(text));
        }
        let mut out = Vec::new();
        TerminalSafe::new(&mut out, true).write_all(b"\xc2\x1b\xe2\x80\x1b[").expect("write");
        assert_eq!(out, b"\xc2\\u001b\xe2\x80\\u001b[");
        let mut out = Vec::new();
        TerminalSafe::new(&mut out, false).write_all(text.as_bytes()).expect("write");
        assert_eq!(out, text.as_bytes());
    }
}
