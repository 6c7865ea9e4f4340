//! Words about numbers, sizes and names, and text from outside made fit to be shown.
//! Pure.

/// One line of text from outside: each control character becomes U+FFFD, a line
/// break `⏎`, a tab a space.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => '⏎',
            '\t' => ' ',
            c if moves_text(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

/// Whether a terminal takes a character for more than one to show: control
/// characters, those that end a line, and those that turn the direction of what
/// follows.
#[must_use]
pub fn moves_text(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text of several lines: as [`printable`], and line breaks stay.
#[must_use]
pub fn cleaned(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// `1 item`, `2 items`. A number that this machine cannot count to is its largest.
#[must_use]
pub fn count(number: impl TryInto<usize>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(usize::MAX);
    match (number, noun) {
        (1, _) => format!("1 {noun}"),
        (_, "person") => format!("{number} people"),
        (_, "activity") => format!("{number} activities"),
        _ => format!("{number} {noun}s"),
    }
}

/// Consumed capacity units as people read them: `0.5`, `12`.
#[must_use]
pub fn units(units: f64) -> String {
    let text = format!("{units:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// A size as people read it: `512 bytes`, `1.5 MiB`.
#[must_use]
pub fn bytes(bytes: i64) -> String {
    let mut size = bytes as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            let digits = usize::from(unit != "bytes");
            return format!("{size:.digits$} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

/// The names nearest to `name`, best first, at most `limit`.
#[must_use]
pub fn nearest<'a>(
    name: &str,
    names: impl IntoIterator<Item = &'a str>,
    limit: usize,
) -> Vec<&'a str> {
    let mut scored: Vec<(f64, &str)> =
        names.into_iter().map(|other| (strsim::jaro_winkler(name, other), other)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.into_iter().take(limit).map(|(_, name)| name).collect()
}

/// The name that a mistyped one likely means.
#[must_use]
pub fn meant<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |other: &&str| strsim::jaro_winkler(name, other) > 0.8;
    nearest(name, names, 1).into_iter().find(near)
}

/// Names in backticks, separated by commas.
#[must_use]
pub fn quoted<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    let quoted = |name: S| format!("`{}`", printable(name.as_ref()));
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

/// What a formula begins with, as spreadsheets read CSV:
/// <https://owasp.org/www-community/attacks/CSV_Injection>.
const FORMULA_STARTS: [char; 11] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// A text for a cell of CSV that no spreadsheet takes for a formula.
#[must_use]
pub fn for_spreadsheet(text: &str) -> String {
    if text.starts_with(FORMULA_STARTS) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(
            printable("a\u{1b}[2Jb\r\nc\td é 🦀\u{9b}\u{7f}"),
            "a\u{fffd}[2Jb\u{fffd}⏎c d é 🦀\u{fffd}\u{fffd}"
        );
        assert_eq!(cleaned("a\r\n\u{1b}b\n"), "a\u{fffd}\n\u{fffd}b\n");
    }

    #[test]
    fn nearest_names_come_first() {
        let names = ["orders", "cruddur-messages", "cruddur-message-archive"];
        assert_eq!(
            nearest("crudur-messages", names, 2),
            ["cruddur-messages", "cruddur-message-archive"]
        );
    }

    #[test]
    fn sizes_are_short() {
        let sizes = [0, 1023, 1024, 1_572_864, 3 << 40];
        let words = ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 MiB", "3.0 TiB"];
        assert_eq!(sizes.map(bytes), words);
    }

    #[test]
    fn only_what_is_near_is_meant() {
        let names = ["orders", "cruddur-messages"];
        assert_eq!(meant("crudur-mesages", names), Some("cruddur-messages"));
        assert_eq!(meant("order", names), Some("orders"));
        assert_eq!(meant("people", names), None);
    }

    #[test]
    fn units_lose_an_empty_fraction() {
        assert_eq!([units(0.5), units(12.0), units(0.0)], ["0.5", "12", "0"]);
    }
}
