//! Times as people type and read them: in their own time zone, and never without it.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Once;

use chrono::{
    DateTime, Datelike, Days, FixedOffset, Local, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta,
    TimeZone, Utc, Weekday,
};
use interim::{Dialect, parse_date_string};

use crate::app::keys::SortTime;
use crate::env;
use crate::ui::Ui;

/// The start of what was typed: `2026-01-31` is its first moment here.
///
/// # Errors
/// Where it is no time, in words for the command line.
pub fn parse_start(text: &str) -> Result<SortTime, String> {
    parse(text, &Local::now()).map(|(start, _)| start)
}

/// The end of what was typed: `2026-01-31` is its last microsecond here.
///
/// # Errors
/// Like [`parse_start`].
pub fn parse_end(text: &str) -> Result<SortTime, String> {
    parse(text, &Local::now()).map(|(_, end)| end)
}

/// The years that a sort key can hold, with four digits: others would not sort
/// as text.
const YEARS: RangeInclusive<i32> = 1..=9999;

/// Whether a sort key can hold the time.
#[must_use]
pub fn is_sortable(time: DateTime<Utc>) -> bool {
    YEARS.contains(&time.year())
}

fn parse(
    text: &str,
    now: &DateTime<impl TimeZone<Offset: Copy>>,
) -> Result<(SortTime, SortTime), String> {
    let (start, end) = parse_any_year(text, now)?;
    if is_sortable(start.time()) && is_sortable(end.time()) {
        return Ok((start, end));
    }
    Err(format!("`{text}` is not in the years 1 to 9999"))
}

fn parse_any_year(
    text: &str,
    now: &DateTime<impl TimeZone<Offset: Copy>>,
) -> Result<(SortTime, SortTime), String> {
    if let Ok(time) = text.parse::<SortTime>() {
        return Ok((time, time));
    }
    for format in
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"]
    {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return here(text, time, &now.timezone()).map(|time| (time, time));
        }
    }
    match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(date) => day(text, date, &now.timezone()),
        Err(_) => parse_said(text, now),
    }
}

/// A time of the person's time zone.
fn here(text: &str, time: NaiveDateTime, zone: &impl TimeZone) -> Result<SortTime, String> {
    known_zone()?;
    // A local time that a clock change skips does not exist; one that it
    // repeats is the earlier of the two.
    let time = zone.from_local_datetime(&time).earliest();
    time.map(|time| SortTime::new(time.with_timezone(&Utc)))
        .ok_or_else(|| format!("`{text}` does not exist in your time zone"))
}

fn known_zone() -> Result<(), String> {
    unknown_zone().map_or(Ok(()), |tz| {
        Err(format!(
            "TZ is `{tz}`, which is not a time zone known here: say the time with its zone, like `2026-01-31T23:59:59Z`"
        ))
    })
}

/// A whole day of the person's time zone.
fn day(text: &str, date: NaiveDate, zone: &impl TimeZone) -> Result<(SortTime, SortTime), String> {
    let next = date.checked_add_days(Days::new(1)).ok_or(EXPECTED)?;
    let start = here(text, date.and_time(NaiveTime::MIN), zone)?;
    let end = here(text, next.and_time(NaiveTime::MIN), zone)?.time() - TimeDelta::microseconds(1);
    Ok((start, SortTime::new(end)))
}

const EXPECTED: &str = "expected a time like `2026-01-31T23:59:59Z`, `2026-01-31T23:59` or `2026-01-31` (your time zone), `1 hour ago`, `yesterday` or `last friday`";

/// A time as people say it. What names a day is the whole of it; a weekday is the last
/// one, or today.
fn parse_said(
    text: &str,
    now: &DateTime<impl TimeZone<Offset: Copy>>,
) -> Result<(SortTime, SortTime), String> {
    let said = text.trim().to_lowercase();
    // The library takes `5` for the year 5, `3/4` for one of two days, and `2026-01-31T25:00`
    // for anything.
    let is_said = said.starts_with(|c: char| c.is_ascii_alphabetic()) || said.ends_with(" ago");
    if !is_said || said.contains(['/', '-']) {
        let ago = parse_date_string(&format!("{said} ago"), *now, Dialect::Uk).is_ok();
        let hint = if ago && !is_said { format!("`{said} ago`? ") } else { String::new() };
        return Err(format!("{hint}{EXPECTED}"));
    }
    // The library takes 12am for noon.
    if said.ends_with("am") || said.ends_with("pm") {
        return Err(format!("hours are 0:00 to 23:59; {EXPECTED}"));
    }
    let clock = said.split_whitespace().find_map(|word| word.split_once(':'));
    let is_clock = |(hour, minute): (&str, &str)| {
        let minute = minute.split(':').next().unwrap_or_default();
        hour.parse().is_ok_and(|hour: u8| hour < 24)
            && minute.parse().is_ok_and(|minute: u8| minute < 60)
    };
    if clock.is_some_and(|clock| !is_clock(clock)) {
        return Err(format!("hours are 0:00 to 23:59; {EXPECTED}"));
    }
    let first = said.split_whitespace().next().unwrap_or_default();
    let is_weekday = first.parse::<Weekday>().is_ok();
    let before = if is_weekday { "last " } else { "" };
    let time = parse_date_string(&format!("{before}{}", text.trim()), *now, Dialect::Uk)
        .map_err(|_| EXPECTED)?;
    let is_day = matches!(&*said, "today" | "yesterday" | "tomorrow")
        || time.naive_local().time() == NaiveTime::MIN && !said.contains(':');
    if is_day {
        let date = time.naive_local().date();
        // The library takes today for it.
        let is_a_week_ago = said.starts_with("last ") && date == now.naive_local().date();
        let date = if is_a_week_ago { date - Days::new(7) } else { date };
        return day(text, date, &now.timezone());
    }
    if said.contains(':') {
        known_zone()?;
    }
    let time = SortTime::new(time.with_timezone(&Utc));
    Ok((time, time))
}

/// A time as a line shows it: local, to the minute, with its offset.
#[must_use]
pub fn local(time: DateTime<Utc>) -> String {
    let time = time.with_timezone(&Local);
    format!("{} {}", time.format(TO_THE_MINUTE), zone(*time.offset()))
}

const TO_THE_MINUTE: &str = "%Y-%m-%d %H:%M";

fn zone(offset: FixedOffset) -> String {
    if offset.local_minus_utc() == 0 { "UTC".to_owned() } else { format!("UTC{offset}") }
}

/// Times that stand below each other. Their offset is in the header where it is the same
/// for all, else with each.
#[derive(Debug)]
pub struct Times {
    offset: Option<FixedOffset>,
}

impl Times {
    /// Of these. Warns where TZ names no time zone: the times are then another's.
    pub fn of(times: impl IntoIterator<Item = DateTime<Utc>>, ui: &Ui) -> Self {
        let mut offsets = times.into_iter().map(|time| *time.with_timezone(&Local).offset());
        let first = offsets.next().unwrap_or_else(|| *Local::now().offset());
        static WARNED: Once = Once::new();
        if let Some(tz) = unknown_zone() {
            WARNED.call_once(|| {
                ui.warn(format_args!(
                    "TZ is `{tz}`, which is not a time zone known here; times are shown in {}",
                    zone(first)
                ));
            });
        }
        Self { offset: offsets.all(|offset| offset == first).then_some(first) }
    }

    /// The header of their column.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        match self.offset {
            Some(offset) => format!("{name} ({})", zone(offset)),
            None => name.to_owned(),
        }
    }

    /// One of them, to the minute.
    #[must_use]
    pub fn cell(&self, time: DateTime<Utc>) -> String {
        match self.offset {
            Some(_) => time.with_timezone(&Local).format(TO_THE_MINUTE).to_string(),
            None => local(time),
        }
    }
}

/// Where the time zones are that chrono knows.
const ZONES: [&str; 4] =
    ["/usr/share/zoneinfo", "/share/zoneinfo", "/etc/zoneinfo", "/usr/share/lib/zoneinfo"];

/// TZ, where it is no time zone. chrono takes another one then, and says nothing.
fn unknown_zone() -> Option<String> {
    let tz = env::var(env::TZ)?;
    let name = tz.strip_prefix(':').unwrap_or(&tz);
    let is_file = ZONES.iter().any(|folder| Path::new(folder).join(name).is_file());
    // These are no file where there are no files at all, in a small container.
    let is_known = is_file || is_rule(name) || matches!(name, "UTC" | "Etc/UTC" | "localtime");
    (!is_known).then_some(tz)
}

/// Whether it is a time zone that says itself what it is, like `<+0545>-5:45` or
/// `CET-1CEST,M3.5.0,M10.5.0/3`:
/// <https://pubs.opengroup.org/onlinepubs/9799919799/basedefs/V1_chap08.html>. A summer
/// time without its days, as in `CET-1CEST`, is one that chrono does not take.
fn is_rule(tz: &str) -> bool {
    let offset = match tz.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>').map(|(_, offset)| offset),
        None => Some(tz.trim_start_matches(|c: char| c.is_ascii_alphabetic())),
    };
    offset.is_some_and(|offset| {
        let digits = offset.trim_start_matches(['+', '-']);
        let summer = digits.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
        let has_days = summer.is_empty() || summer.contains(',');
        offset.len() < tz.len() && digits.starts_with(|c: char| c.is_ascii_digit()) && has_days
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_can_say_itself_what_it_is() {
        for rule in ["EST5", "<+0545>-5:45", "CET-1CEST,M3.5.0,M10.5.0/3", "UTC0"] {
            assert!(is_rule(rule), "{rule}");
        }
        for name in ["Europe/Berlin", "Europa", "<+05", "5", "-5", "", "CET", "CET-1CEST"] {
            assert!(!is_rule(name), "{name}");
        }
    }

    #[test]
    fn an_offset_is_told() {
        let offset = |minutes| FixedOffset::east_opt(minutes * 60).expect("an offset");
        assert_eq!(zone(offset(0)), "UTC");
        assert_eq!(zone(offset(345)), "UTC+05:45");
        assert_eq!(zone(offset(-180)), "UTC-03:00");
    }

    /// On a Wednesday at 19:05:33, five hours west.
    fn range(text: &str) -> Result<(String, String), String> {
        let zone = FixedOffset::west_opt(5 * 3600).expect("offset");
        let now: DateTime<Utc> = "2026-11-26T00:05:33.123456Z".parse().expect("time");
        parse(text, &now.with_timezone(&zone))
            .map(|(start, end)| (start.to_string(), end.to_string()))
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
    fn a_time_as_people_say_it() {
        let time = |text: &str| format!("2026-11-{text}+00:00");
        for (said, expected) in [
            ("now", "26T00:05:33.123456"),
            ("1 hour ago", "25T23:05:33.123456"),
            ("90 min ago", "25T22:35:33.123456"),
            ("3h ago", "25T21:05:33.123456"),
            ("2 days ago", "24T00:05:33.123456"),
            ("Yesterday 14:00", "24T19:00:00.000000"),
            ("friday 10:00", "20T15:00:00.000000"),
        ] {
            assert_eq!(range(said), Ok((time(expected), time(expected))), "{said}");
        }
        for (said, date) in [
            ("today", 25),
            ("yesterday", 24),
            ("last friday", 20),
            // The one before, not the one to come.
            ("friday", 20),
            ("Wed", 25),
            ("last Wed", 18),
            ("Nov 3", 3),
        ] {
            let (start, end) = (format!("{date:02}T05:00:00.000000"), date + 1);
            let end = format!("{end:02}T04:59:59.999999");
            assert_eq!(range(said), Ok((time(&start), time(&end))), "{said}");
        }
    }

    #[test]
    fn what_could_be_two_times_is_none() {
        for text in [
            "5",
            "2026",
            "3/4",
            "31/01/2026",
            "1 hour",
            "15 mins",
            "x",
            "soon",
            "ago",
            "yesterday 12am",
        ] {
            assert!(range(text).is_err(), "{text}: {:?}", range(text));
        }
        assert!(range("1 hour").expect_err("the future").starts_with("`1 hour ago`? "));
    }

    #[test]
    fn anything_else_is_an_error() {
        for text in [
            "",
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
