//! For how long a code given at a terminal counts, service by service.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest time that a code may count: a day's work. Longer, and whoever finds the terminal open has it for as long.
pub const REMEMBER_MAX: Duration = Duration::from_secs(12 * 3_600);

/// Services and for how long.
pub type Remember = BTreeMap<String, Duration>;

/// A time as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct RawPeriod(#[serde(with = "humantime_serde")] Duration);

/// As written.
pub(super) type RawRemember = BTreeMap<String, RawPeriod>;

/// * `table`: as the file calls it.
pub(super) fn check_remember(table: &str, raw: RawRemember, faults: &mut Vec<String>) -> Remember {
    let mut checked = Remember::new();
    for (service, RawPeriod(period)) in raw {
        let written = humantime_serde::re::humantime::format_duration(period);
        if service.is_empty() || service.chars().any(|letter| letter.is_control() || letter == '/') {
            faults.push(format!("{table}: {service:?} is no PAM service, such as sudo"));
        } else if period > REMEMBER_MAX {
            faults.push(format!(
                "{table}.{service} = \"{written}\": at most \"12h\" is possible; \"0s\" is never"
            ));
        } else {
            checked.insert(service, period);
        }
    }
    checked
}

pub(super) fn written(remember: &Remember) -> RawRemember {
    remember.iter().map(|(service, period)| (service.clone(), RawPeriod(*period))).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::config::Config;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(&format!("version = 1\n{text}")).map_err(|faults| faults.to_string())
    }

    // covers: P4
    #[test]
    fn a_time_is_said_for_each_service_and_bounded() {
        let config =
            parse("[remember]\nsudo = \"10m\"\nsu = \"0s\"\n[group.web.remember]\nsudo = \"1h\"").unwrap();
        assert_eq!(config.remember["sudo"], Duration::from_secs(600));
        assert_eq!(config.remember["su"], Duration::ZERO);
        assert!(parse("").unwrap().remember.is_empty());
        let again = Config::parse(&config.to_text()).unwrap();
        assert_eq!((again.remember, again.groups), (config.remember, config.groups));
        let faults = parse("[remember]\nsudo = \"13h\"\n\"\" = \"1m\"\n[host.web1.remember]\nsu = \"2d\"")
            .unwrap_err();
        for said in [
            "remember.sudo = \"13h\": at most \"12h\"",
            "\"\" is no PAM service",
            "host.web1.remember.su = \"2days\"",
        ] {
            assert!(faults.contains(said), "{faults:?} does not say {said:?}");
        }
        assert!(parse("[remember]\nsudo = 10").is_err() && parse("[remember]\nsudo = \"soon\"").is_err());
    }
}
