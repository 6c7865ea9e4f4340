//! Times as people type and read them. Pure, but for the local time zone.

use std::ops::RangeInclusive;

use chrono::{
    DateTime, Datelike, Days, Local, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc,
};

use crate::app::keys::SortTime;

/// The start of what was typed: `2026-01-31` is its first moment here.
///
/// # Errors
/// Where it is no time, in words for the command line.
pub fn parse_start(text: &str) -> Result<SortTime, String> {
    parse(text, &Local).map(|(start, _)| start)
}

/// The end of what was typed: `2026-01-31` is its last microsecond here.
///
/// # Errors
/// Like [`parse_start`].
pub fn parse_end(text: &str) -> Result<SortTime, String> {
    parse(text, &Local).map(|(_, end)| end)
}

/// The years that a sort key can hold, with four digits: others would not sort
/// as text.
const YEARS: RangeInclusive<i32> = 1..=9999;

/// Whether a sort key can hold the time.
#[must_use]
pub fn is_sortable(time: DateTime<Utc>) -> bool {
    YEARS.contains(&time.year())
}

fn parse<Zone: TimeZone>(text: &str, zone: &Zone) -> Result<(SortTime, SortTime), String> {
    let (start, end) = parse_any_year(text, zone)?;
    if is_sortable(start.time()) && is_sortable(end.time()) {
        return Ok((start, end));
    }
    Err(format!("`{text}` is not in the years 1 to 9999"))
}

fn parse_any_year<Zone: TimeZone>(text: &str, zone: &Zone) -> Result<(SortTime, SortTime), String> {
    if let Ok(time) = text.parse::<SortTime>() {
        return Ok((time, time));
    }
    let here = |time: NaiveDateTime| {
        // A local time that a clock change skips does not exist; one that it
        // repeats is the earlier of the two.
        let time = zone.from_local_datetime(&time).earliest();
        time.map(|time| SortTime::new(time.with_timezone(&Utc)))
            .ok_or_else(|| format!("`{text}` does not exist in the local time zone"))
    };
    for format in
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"]
    {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return here(time).map(|time| (time, time));
        }
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        && let Some(next) = date.checked_add_days(Days::new(1))
    {
        let start = here(date.and_time(NaiveTime::MIN))?;
        let end = here(next.and_time(NaiveTime::MIN))?.time() - TimeDelta::microseconds(1);
        return Ok((start, SortTime::new(end)));
    }
    Err("expected a time like `2026-01-31T23:59:59Z`, `2026-01-31T23:59` or `2026-01-31` (local)"
        .to_owned())
}

/// A time as a table shows it: local, to the minute.
#[must_use]
pub fn local(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local).format("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::FixedOffset;

    fn range(text: &str) -> Result<(String, String), String> {
        let zone = FixedOffset::west_opt(5 * 3600).expect("offset");
        parse(text, &zone).map(|(start, end)| (start.to_string(), end.to_string()))
    }

    #[test]
    fn a_moment_is_its_own_start_and_end() {
        let at = |text: &str| (text.to_owned(), text.to_owned());
        assert_eq!(range("2026-01-31T23:59:59Z"), Ok(at("2026-01-31T23:59:59.000000+00:00")));
        assert_eq!(range("2026-01-31T18:30"), Ok(at("2026-01-31T23:30:00.000000+00:00")));
        assert_eq!(range("2026-01-31 18:30:01.5"), Ok(at("2026-01-31T23:30:01.500000+00:00")));
    }

    #[test]
    fn a_date_is_the_whole_day() {
        let day =
            ("2026-01-31T05:00:00.000000+00:00".into(), "2026-02-01T04:59:59.999999+00:00".into());
        assert_eq!(range("2026-01-31"), Ok(day));
    }

    #[test]
    fn anything_else_is_an_error() {
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-02-30",
            "31.01.2026",
            "2026-01-31T25:00",
            "+262142-12-31T23:59",
            "10000-01-01",
            "9999-12-31",
        ] {
            assert!(range(text).is_err(), "{text}");
        }
    }
}
