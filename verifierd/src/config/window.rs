//! Times of the week: `mon-fri 08:00-18:00`, in UTC or at a fixed distance from it.
//!
//! There is no local time here. What a zone's offset is on a given day is known only by `localtime_r`, which reads the
//! environment of a process with many threads; the `time` crate offers it to processes with one.

use time::UtcOffset;

use crate::clock::UnixTime;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const DAY_MINUTES: u16 = 24 * 60;

/// A part of each week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// By day, Monday first: whether it begins then.
    days: [bool; 7],
    /// Minute of the day at which it begins.
    from: u16,
    /// Minute at which it is over: of the same day where that is later than `from`, else of the next.
    to: u16,
    offset: UtcOffset,
    written: String,
}

impl Window {
    /// Reads `mon-fri 08:00-18:00`: days, then times. Days are single ones and stretches with commas between them, and
    /// may be left out; a time that is not after the one before it is of the next day.
    ///
    /// * `zone`: `UTC`, or a distance from it such as `+01:00`.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str, zone: &str) -> Result<Self, WindowError> {
        let (days, times) = match text.split_once(' ') {
            Some((days, times)) => (parse_days(days).ok_or(WindowError::Time)?, times),
            None => ([true; 7], text),
        };
        let (from, to) = times.split_once('-').ok_or(WindowError::Time)?;
        let from = parse_minute(from).filter(|from| *from < DAY_MINUTES).ok_or(WindowError::Time)?;
        let to = parse_minute(to).filter(|to| *to != from).ok_or(WindowError::Time)?;
        let offset = parse_offset(zone).ok_or(WindowError::Zone)?;
        Ok(Self { days, from, to, offset, written: text.into() })
    }

    /// Whether it holds at `now`: from its first second on, and not in the second at which it is over.
    pub fn holds_at(&self, now: UnixTime) -> bool {
        const DAY_SECONDS: i64 = 86_400;
        /// 1 January 1970 was a Thursday.
        const FIRST_DAY: i64 = 3;
        let local = i64::try_from(now).unwrap_or(i64::MAX).saturating_add(self.offset.whole_seconds().into());
        let (day, second) = (local.div_euclid(DAY_SECONDS) + FIRST_DAY, local.rem_euclid(DAY_SECONDS));
        let begins_on = |day: i64| usize::try_from(day.rem_euclid(7)).is_ok_and(|day| self.days[day]);
        let (from, to) = (i64::from(self.from) * 60, i64::from(self.to) * 60);
        if from < to {
            return begins_on(day) && (from..to).contains(&second);
        }
        (begins_on(day) && second >= from) || (begins_on(day - 1) && second < to)
    }

    /// As it was written, without its zone.
    pub fn text(&self) -> &str {
        &self.written
    }

    /// `UTC`, or the distance from it.
    pub fn zone(&self) -> String {
        let (hours, minutes, _) = self.offset.as_hms();
        match self.offset.is_utc() {
            true => "UTC".into(),
            false if self.offset.is_negative() => format!("-{:02}:{:02}", -hours, -minutes),
            false => format!("+{hours:02}:{minutes:02}"),
        }
    }
}

/// Why a text is no part of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowError {
    /// The days or the times are wrong.
    Time,
    /// The zone is.
    Zone,
}

/// `mon-fri`, `sat`, `mon,wed,fri`; a stretch may go over the end of the week.
fn parse_days(text: &str) -> Option<[bool; 7]> {
    let day = |name: &str| DAYS.iter().position(|day| *day == name);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let count = (last + 7 - first) % 7;
        (0..=count).for_each(|further| days[(first + further) % 7] = true);
    }
    Some(days)
}

/// The minute of `HH:MM`; 24:00 is the end of the day.
fn parse_minute(text: &str) -> Option<u16> {
    let two = |digits: &str| {
        let are_two = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|_| are_two)
    };
    let (hour, minute) = text.split_once(':')?;
    let minute = two(hour)? * 60 + two(minute).filter(|minute| *minute < 60)?;
    (minute <= DAY_MINUTES).then_some(minute)
}

fn parse_offset(zone: &str) -> Option<UtcOffset> {
    /// The farthest zone that is in use, on the Line Islands.
    const HOURS_MAX: u16 = 14;
    if zone == "UTC" {
        return Some(UtcOffset::UTC);
    }
    let (sign, digits) =
        zone.strip_prefix('+').map(|rest| (1, rest)).or(zone.strip_prefix('-').map(|rest| (-1, rest)))?;
    let minutes = parse_minute(digits).filter(|minutes| *minutes <= HOURS_MAX * 60)?;
    UtcOffset::from_whole_seconds(sign * i32::from(minutes) * 60).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Monday, 23 November 2026, 00:00 UTC.
    const MONDAY: UnixTime = 1_795_392_000;

    const HOUR: UnixTime = 3_600;

    fn holds(text: &str, zone: &str, at: UnixTime) -> bool {
        Window::parse(text, zone).unwrap().holds_at(at)
    }

    /// Day and time, from Monday 00:00 on.
    fn at(day: u64, hour: u64) -> UnixTime {
        MONDAY + day * 24 * HOUR + hour * HOUR
    }

    // covers: A10
    #[test]
    fn a_window_holds_from_its_first_second_to_the_one_before_its_end() {
        let office = |at| holds("mon-fri 08:00-18:00", "UTC", at);
        let edges =
            [at(0, 8) - 1, at(0, 8), at(0, 18) - 1, at(0, 18), at(4, 17), at(5, 12), at(6, 12), at(7, 9)];
        assert_eq!(edges.map(office), [false, true, true, false, true, false, false, true]);
        assert!(holds("00:00-24:00", "UTC", at(6, 24) - 1) && holds("00:00-24:00", "UTC", at(2, 0)));
        assert_eq!(
            [at(0, 9), at(2, 9), at(3, 9)].map(|at| holds("mon,wed-wed 09:00-10:00", "UTC", at)),
            [true, true, false]
        );
    }

    // covers: A10
    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let night = |at| holds("fri 22:00-06:00", "UTC", at);
        let hours = [at(4, 5), at(4, 21), at(4, 22), at(5, 0), at(5, 6) - 1, at(5, 6), at(5, 23)];
        assert_eq!(hours.map(night), [false, false, true, true, true, false, false]);
        let weekend = |at| holds("sat-mon 23:00-01:00", "UTC", at);
        assert_eq!(
            [at(6, 23), at(7, 0), at(7, 23), at(8, 0), at(8, 1), at(8, 23)].map(weekend),
            [true, true, true, true, false, false]
        );
        assert!(holds("sun 23:00-01:00", "UTC", at(7, 0)), "the week goes round");
        let until_midnight = |at| holds("fri 22:00-00:00", "UTC", at);
        assert_eq!([at(4, 22), at(4, 24) - 1, at(4, 24)].map(until_midnight), [true, true, false]);
    }

    // covers: A10
    #[test]
    fn a_zone_moves_days_and_times() {
        assert!(holds("mon 00:00-01:00", "+05:30", MONDAY - 5 * HOUR - HOUR / 2));
        assert!(!holds("mon 00:00-01:00", "+05:30", MONDAY));
        assert!(holds("sun 16:00-17:00", "-08:00", MONDAY));
        assert!(holds("thu 00:00-01:00", "UTC", 0) && holds("wed 23:00-24:00", "-01:00", 0));
        for zone in ["UTC", "+05:30", "-08:00", "+14:00"] {
            assert_eq!(Window::parse("08:00-18:00", zone).unwrap().zone(), zone);
        }
    }

    // covers: A10
    #[test]
    fn what_is_no_window_is_refused() {
        for text in [
            "",
            "mon",
            "8:00-18:00",
            "08:00",
            "08:00-08:00",
            "24:00-08:00",
            "08:00-24:01",
            "08:60-09:00",
            "00:00-00:00",
            "Mon 08:00-18:00",
            "mon- 08:00-18:00",
            "mon,, 08:00-18:00",
            "mon  08:00-18:00",
            "mo 08:00-18:00",
            "mon 08:00-18:00 ",
            "+8:00-18:00",
        ] {
            assert_eq!(Window::parse(text, "UTC"), Err(WindowError::Time), "{text:?}");
        }
        for zone in ["", "utc", "CET", "Europe/Berlin", "local", "+1:00", "01:00", "+14:01", "+-1:00"] {
            assert_eq!(Window::parse("08:00-18:00", zone), Err(WindowError::Zone), "{zone:?}");
        }
    }

    proptest! {
        // covers: A10
        #[test]
        fn no_text_panics_and_what_is_read_is_written_as_it_was(
            text in "(mon|sat-tue|sun,wed|x)?[ -]?[0-2][0-9]:[0-6]0[- ][0-2][0-9]:[0-6]0|.{0,20}",
            zone in "UTC|[+-][01][0-9]:[0-5][0-9]|.{0,8}",
            at in any::<UnixTime>(),
        ) {
            if let Ok(window) = Window::parse(&text, &zone) {
                let again = Window::parse(window.text(), &window.zone()).expect("it was read once");
                prop_assert_eq!(again.holds_at(at), window.holds_at(at));
                prop_assert_eq!(again.zone(), window.zone());
            }
        }
    }
}
