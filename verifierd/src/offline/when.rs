//! What "today" and "16:00" are where a host stands.
//!
//! A password says its times in UTC, so a host needs no tables of time zones (docs/decisions/0029). Those of the IANA database
//! that this machine has are used, and else those of the library.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use offline_password::{Deadline, DeadlineError};

use crate::clock::UnixTime;

/// A time that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum WhenError {
    /// No such time zone.
    #[error("{name:?} is no time zone: names are those of the IANA database, such as Europe/Vienna")]
    NoZone {
        /// What was given.
        name: String,
    },
    /// Not a time.
    #[error("{text:?} is no time: 2026-11-23T16:00 and 2026-11-23T15:00Z are")]
    Text {
        /// What was given.
        text: String,
    },
    /// The clocks there go forward over it.
    #[error("{text} does not exist in {zone}, where clocks go forward then: say {before} or {after}")]
    Gap {
        /// What was given.
        text: String,
        /// Where.
        zone: String,
        /// As if they had not gone forward yet.
        before: String,
        /// As if they had already.
        after: String,
    },
    /// It comes twice there.
    #[error("{text} comes twice in {zone}, where clocks go back then: say {first} or {second}")]
    Fold {
        /// What was given.
        text: String,
        /// Where.
        zone: String,
        /// The first.
        first: String,
        /// The second.
        second: String,
    },
    /// Before 1970, or later than anybody waits.
    #[error("{text} is none of the times that passwords can have")]
    Outside {
        /// What was given.
        text: String,
    },
    /// The day there ends at no quarter of an hour.
    #[error("the day in {zone} ends at no quarter of an hour: give a start and an end")]
    Day {
        /// Where.
        zone: String,
        /// What is wrong with it.
        source: DeadlineError,
    },
}

/// A time zone.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

impl Zone {
    /// * `name`: of the IANA database.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn named(name: &str) -> Result<Self, WhenError> {
        let found = TimeZone::get(name).map_err(|_| WhenError::NoZone { name: name.to_owned() })?;
        // As the database spells it.
        let spelled = found.iana_name().unwrap_or(name).to_owned();
        Ok(Self { name: spelled, rules: found })
    }

    /// That of this machine; UTC where it does not say.
    pub fn here() -> Self {
        let rules = TimeZone::try_system().unwrap_or(TimeZone::UTC);
        let name = rules.iana_name().unwrap_or("UTC").to_owned();
        Self { name, rules }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When the day of a moment ends there.
    ///
    /// # Errors
    /// See [`WhenError`].
    pub fn end_of_day(&self, now: UnixTime) -> Result<Deadline, WhenError> {
        let outside = || WhenError::Outside { text: now.to_string() };
        let today = timestamp(now).ok_or_else(outside)?.to_zoned(self.rules.clone());
        let tomorrow = today.tomorrow().and_then(|tomorrow| tomorrow.start_of_day());
        let seconds = u64::try_from(tomorrow.map_err(|_| outside())?.timestamp().as_second());
        let seconds = seconds.map_err(|_| outside())?;
        Deadline::new(seconds).map_err(|source| WhenError::Day { zone: self.name.clone(), source })
    }

    /// The moment that a text means: by the clocks there, or by those that it names itself (`Z`, `+01:00`).
    ///
    /// # Errors
    /// See [`WhenError`].
    pub fn moment(&self, text: &str) -> Result<UnixTime, WhenError> {
        let outside = || WhenError::Outside { text: text.to_owned() };
        let moment = match text.parse::<Timestamp>() {
            Ok(moment) => moment,
            Err(_) => self.of_clocks(text)?,
        };
        u64::try_from(moment.as_second()).map_err(|_| outside())
    }

    fn of_clocks(&self, text: &str) -> Result<Timestamp, WhenError> {
        let wrong = || WhenError::Text { text: text.to_owned() };
        // A day alone would be midnight, and not said.
        let civil: DateTime =
            text.parse().ok().filter(|_| text.contains(':') && !text.contains('[')).ok_or_else(wrong)?;
        let (found, zone) = (self.rules.to_ambiguous_timestamp(civil), || self.name.clone());
        let at = |offset: jiff::tz::Offset| {
            let moment = offset.to_timestamp(civil).map(|moment| self.told_of(moment));
            moment.unwrap_or_default()
        };
        match found.offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).map_err(|_| wrong()),
            AmbiguousOffset::Gap { before, after } => Err(WhenError::Gap {
                text: text.to_owned(),
                zone: zone(),
                before: at(after),
                after: at(before),
            }),
            AmbiguousOffset::Fold { before, after } => Err(WhenError::Fold {
                text: text.to_owned(),
                zone: zone(),
                first: at(before),
                second: at(after),
            }),
        }
    }

    /// A moment as the clocks there have it, with how far they are from UTC: `2026-11-23T16:00:00+01:00`.
    pub fn told(&self, moment: UnixTime) -> String {
        timestamp(moment).map(|moment| self.told_of(moment)).unwrap_or_default()
    }

    fn told_of(&self, moment: Timestamp) -> String {
        moment.display_with_offset(self.rules.to_offset(moment)).to_string()
    }
}

fn timestamp(moment: UnixTime) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(moment).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::named(name).unwrap()
    }

    // covers: N6, D05
    #[test]
    fn four_in_the_afternoon_at_the_host_is_three_at_the_server() {
        let [server, host] = ["Europe/Vienna", "Europe/Helsinki"].map(zone);
        let moment = host.moment("2026-11-23T16:00").unwrap();
        assert_eq!(server.told(moment), "2026-11-23T15:00:00+01:00");
        assert_eq!(host.told(moment), "2026-11-23T16:00:00+02:00");
        assert_eq!(server.moment("2026-11-23 15:00").unwrap(), moment);
        for same in ["2026-11-23T14:00Z", "2026-11-23T16:00+02:00", "2026-11-23T16:00:00+02:00"] {
            assert_eq!(server.moment(same).unwrap(), moment, "{same}");
        }
    }

    // covers: N6, D05
    #[test]
    fn an_hour_that_is_left_out_or_comes_twice_is_asked_for_again() {
        let bucharest = zone("Europe/Bucharest");
        let said = |text| bucharest.moment(text).unwrap_err().to_string();
        assert_eq!(
            said("2027-03-28T03:30"),
            "2027-03-28T03:30 does not exist in Europe/Bucharest, where clocks go forward then: say \
             2027-03-28T02:30:00+02:00 or 2027-03-28T04:30:00+03:00"
        );
        assert_eq!(
            said("2027-10-31T03:30"),
            "2027-10-31T03:30 comes twice in Europe/Bucharest, where clocks go back then: say \
             2027-10-31T03:30:00+03:00 or 2027-10-31T03:30:00+02:00"
        );
        let [first, second] = ["2027-10-31T03:30:00+03:00", "2027-10-31T03:30:00+02:00"];
        assert_eq!(bucharest.moment(second).unwrap() - bucharest.moment(first).unwrap(), 3_600);
    }

    // covers: N5, D05
    #[test]
    fn a_day_ends_at_midnight_of_the_host_also_when_it_has_23_or_25_hours() {
        let bucharest = zone("Europe/Bucharest");
        for (noon, hours) in [("2027-03-27", 12), ("2027-03-28", 12), ("2027-10-30", 12), ("2027-10-31", 12)]
        {
            let now = bucharest.moment(&format!("{noon}T12:00")).unwrap();
            let end = bucharest.end_of_day(now).unwrap().seconds();
            assert_eq!(end - now, hours * 3_600, "{noon}");
        }
        let [spring, autumn] =
            ["2027-03-28T00:00", "2027-10-31T00:00"].map(|at| bucharest.moment(at).unwrap());
        assert_eq!(bucharest.end_of_day(spring).unwrap().seconds() - spring, 23 * 3_600);
        assert_eq!(bucharest.end_of_day(autumn).unwrap().seconds() - autumn, 25 * 3_600);
        // No midnight at all: clocks go forward at it.
        let cairo = zone("Africa/Cairo");
        let now = cairo.moment("2027-04-29T12:00").unwrap();
        assert_eq!(cairo.told(cairo.end_of_day(now).unwrap().seconds()), "2027-04-30T01:00:00+03:00");
        let nepal = zone("Asia/Kathmandu");
        let end = nepal.end_of_day(nepal.moment("2026-11-23T23:59").unwrap()).unwrap();
        assert_eq!(nepal.told(end.seconds()), "2026-11-24T00:00:00+05:45");
    }

    // covers: D05
    #[test]
    fn what_is_no_time_or_no_zone_is_refused() {
        for name in ["", "garbage", "Europe/Atlantis", "../../etc/passwd", "/etc/localtime"] {
            assert!(matches!(Zone::named(name), Err(WhenError::NoZone { .. })), "{name:?}");
        }
        assert_eq!(zone("europe/vienna").name(), "Europe/Vienna");
        for text in ["", "16:00", "2026-11-23", "2026-02-30T16:00", "tomorrow", "2026-11-23T25:00"] {
            assert!(matches!(zone("UTC").moment(text), Err(WhenError::Text { .. })), "{text:?}");
        }
        assert!(matches!(zone("UTC").moment("1969-01-01T00:00Z"), Err(WhenError::Outside { .. })));
    }
}
