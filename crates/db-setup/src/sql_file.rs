//! A file of SQL that is to run in one transaction: what it may not hold, and
//! where in it an error is. Pure.

/// Something that the file may not hold, with its line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) line: usize,
    pub(crate) why: String,
}

/// Looks for what would end the transaction that the file is to run in, and for
/// what only psql understands. Text in quotes and comments is passed over, as
/// Postgres does it:
/// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>.
pub(crate) fn check(sql: &str) -> Result<(), Refusal> {
    let mut statement = Statement::default();
    let mut line = 1;
    for token in Tokens(sql) {
        match token {
            Token::Word(word) => statement.push(word, line)?,
            Token::Symbol(';') => statement.end(),
            Token::Symbol('\\') => {
                return Err(Refusal {
                    line,
                    why: "holds a backslash command, which only psql understands".into(),
                });
            }
            Token::Symbol(symbol) => statement.symbol(symbol),
            Token::Passed(text) => {
                line += text.matches('\n').count();
                if text.starts_with(['\'', '"', '$', 'E', 'e']) {
                    statement.symbol('\'');
                }
            }
        }
    }
    Ok(())
}

/// The line of the character at `position`, counted from 1, as Postgres reports it.
pub(crate) fn line_of(sql: &str, position: u32) -> usize {
    let before = (position as usize).saturating_sub(1);
    sql.chars().take(before).filter(|c| *c == '\n').count() + 1
}

/// The words of the statement that is being read, as far as they matter.
#[derive(Default)]
struct Statement {
    has_begun: bool,
    first: String,
    previous: String,
    from_seen: bool,
    /// its first words, as far as they tell what it is
    beginning: Vec<String>,
    /// of parentheses
    depth: usize,
    /// inside `BEGIN ATOMIC … END`, the body of an SQL function
    in_body: bool,
}

impl Statement {
    fn push(&mut self, word: &str, line: usize) -> Result<(), Refusal> {
        let word = word.to_ascii_uppercase();
        let begins = !self.has_begun;
        self.has_begun = true;
        if self.in_body {
            // Only an END that begins a statement ends the body; CASE has its own.
            if begins && word == "END" {
                self.in_body = false;
            }
            return Ok(());
        }
        let refuse = |why: String| Err(Refusal { line, why });
        if begins {
            match word.as_str() {
                "BEGIN" | "START" | "COMMIT" | "END" | "ABORT" | "ROLLBACK" => {
                    return refuse(format!(
                        "holds `{word}`: the file runs in one transaction, which it may not begin or end itself"
                    ));
                }
                _ => self.first = word.clone(),
            }
        }
        match (self.first.as_str(), self.previous.as_str(), word.as_str()) {
            ("PREPARE", "PREPARE", "TRANSACTION") => {
                return refuse(
                    "holds `PREPARE TRANSACTION`, which ends the transaction that the file runs in"
                        .into(),
                );
            }
            ("COPY", _, "FROM") => self.from_seen = true,
            ("COPY", _, "STDIN") if self.from_seen => {
                return refuse(
                    "holds `COPY … FROM STDIN`, whose data only psql sends; use INSERT".into(),
                );
            }
            // Elsewhere it is a column and its alias, or an argument's name and type.
            (_, "BEGIN", "ATOMIC") if self.depth == 0 && self.is_routine() => {
                self.in_body = true;
                self.has_begun = false;
            }
            _ => {}
        }
        if self.beginning.len() < 4 {
            self.beginning.push(word.clone());
        }
        self.previous = word;
        Ok(())
    }

    fn is_routine(&self) -> bool {
        let words: Vec<&str> = self.beginning.iter().map(String::as_str).collect();
        matches!(
            words.as_slice(),
            ["CREATE", "FUNCTION" | "PROCEDURE", ..]
                | ["CREATE", "OR", "REPLACE", "FUNCTION" | "PROCEDURE"]
        )
    }

    /// `BEGIN, ATOMIC` is not `BEGIN ATOMIC`.
    fn symbol(&mut self, symbol: char) {
        match symbol {
            '(' => self.depth += 1,
            ')' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.has_begun = true;
        self.previous.clear();
    }

    fn end(&mut self) {
        *self = Self { in_body: self.in_body, ..Self::default() };
    }
}

enum Token<'a> {
    Word(&'a str),
    Symbol(char),
    /// white space, a comment, or anything in quotes
    Passed(&'a str),
}

struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.0;
        let first = rest.chars().next()?;
        let passed = if first.is_whitespace() {
            Some(rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len()))
        } else if rest.starts_with("--") {
            Some(rest.find(['\n', '\r']).unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            Some(block_comment(rest))
        } else if first == '\'' || first == '"' {
            Some(quoted(rest, first, false))
        } else if (rest.starts_with("E'")) || rest.starts_with("e'") {
            Some(1 + quoted(&rest[1..], '\'', true))
        } else if first == '$' {
            dollar_quoted(rest)
        } else {
            None
        };
        if let Some(length) = passed {
            let (token, rest) = rest.split_at(length);
            self.0 = rest;
            return Some(Token::Passed(token));
        }
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let length = if word(first) {
            rest.find(|c: char| !word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, rest) = rest.split_at(length);
        self.0 = rest;
        Some(if word(first) { Token::Word(token) } else { Token::Symbol(first) })
    }
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// A quote within is doubled; with `backslash` it can also be escaped.
fn quoted(text: &str, quote: char, backslash: bool) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c == '\\' && backslash {
            characters.next();
        } else if c == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
            } else {
                return at + quote.len_utf8();
            }
        }
    }
    text.len()
}

/// `$tag$ … $tag$`, or nothing where the dollar begins something else (`$1`).
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag_end = text[1..].find('$')? + 2;
    let tag = &text[..tag_end];
    let name = &tag[1..tag_end - 1];
    let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if !is_name {
        return None;
    }
    Some(text[tag_end..].find(tag).map_or(text.len(), |end| tag_end + end + tag.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_run_in_one_transaction() {
        for sql in [
            "",
            "CREATE TABLE t (a int); -- COMMIT;\n/* BEGIN; /* nested; */ COMMIT; */ SELECT 1",
            "INSERT INTO t VALUES ('; COMMIT; it''s \\ fine', E'\\'; COMMIT;', \"COMMIT\");",
            "DO $$ BEGIN PERFORM 1; END $$; SELECT $1;",
            "CREATE FUNCTION f() RETURNS int AS $f$ BEGIN RETURN 1; END; $f$ LANGUAGE plpgsql;",
            "CREATE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 1;",
            "SELECT commit, \"begin\" FROM t; COPY t FROM '/stdin/x'; COPY t TO STDOUT; PREPARE q AS SELECT 1;",
            "SAVEPOINT s; RELEASE s; SELECT 'é' -- no end",
        ] {
            assert_eq!(check(sql), Ok(()), "{sql}");
        }
    }

    #[test]
    fn files_that_end_their_transaction() {
        for (sql, line, word) in [
            ("BEGIN;\nSELECT 1;\nCOMMIT;", 1, "`BEGIN`"),
            ("SELECT 1;\n\n  commit ;", 3, "`COMMIT`"),
            ("/* a\nb */ ROLLBACK", 2, "`ROLLBACK`"),
            ("SELECT 'a\nb'; END", 2, "`END`"),
            ("START TRANSACTION", 1, "`START`"),
            ("SELECT 1;\nPREPARE TRANSACTION 'x'", 2, "`PREPARE TRANSACTION`"),
            ("SELECT $x$ a $x$;\nABORT", 2, "`ABORT`"),
            ("-- a carriage return ends a comment too\rCOMMIT;", 1, "`COMMIT`"),
            ("CREATE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT 1; END;\nCOMMIT;", 2, "`COMMIT`"),
            ("SELECT 1 AS begin, atomic FROM t;\nCOMMIT;", 2, "`COMMIT`"),
            ("SELECT a begin atomic FROM t;\nCOMMIT;", 2, "`COMMIT`"),
            ("CREATE VIEW v AS SELECT a begin, atomic FROM t;\nCOMMIT;", 2, "`COMMIT`"),
            ("CREATE VIEW v AS SELECT begin atomic FROM t;\nCOMMIT;", 2, "`COMMIT`"),
            ("SELECT replace function, begin atomic FROM t;\nCOMMIT;", 2, "`COMMIT`"),
            (
                "CREATE FUNCTION f(begin atomic) RETURNS int LANGUAGE sql AS '';\nCOMMIT;",
                2,
                "`COMMIT`",
            ),
            (
                "CREATE OR REPLACE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT 1; END;\nCOMMIT;",
                2,
                "`COMMIT`",
            ),
            (
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN \"x\" ATOMIC;\nCOMMIT;",
                2,
                "`COMMIT`",
            ),
        ] {
            let refusal = check(sql).expect_err(sql);
            assert_eq!(refusal.line, line, "{sql}");
            assert!(refusal.why.contains(word), "{refusal:?}");
        }
    }

    #[test]
    fn files_for_psql() {
        for (sql, line) in [
            ("SELECT 1;\n\\connect x", 2),
            ("\\i other.sql", 1),
            ("SELECT 1 \\g", 1),
            ("\nCOPY t (a) FROM stdin;\n1\n\\.\n", 2),
        ] {
            assert_eq!(check(sql).expect_err(sql).line, line, "{sql}");
        }
    }

    #[test]
    fn positions_are_characters() {
        assert_eq!(line_of("é\nx\ny", 1), 1);
        assert_eq!(line_of("é\nx\ny", 3), 2);
        assert_eq!(line_of("é\nx\ny", 5), 3);
    }
}
