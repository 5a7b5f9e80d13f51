//! Where the audit trail goes besides the store, and for how long its records are kept.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use humantime_serde::re::humantime::{format_duration, parse_duration};
use serde::{Deserialize, Serialize};

use crate::audit::class::Class;

/// Records of the last hour are always kept: `postern explain` finds what somebody quotes on the telephone.
pub const KEPT_MIN: Duration = Duration::from_secs(3_600);

/// Says that records are kept as long as there is room.
const FOREVER: &str = "forever";

/// For how long records are kept; for ever where nothing is said.
pub type Retention = BTreeMap<Class, Duration>;

/// Where the audit trail goes besides the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditConfig {
    /// Whether records go to the journal.
    pub journald: bool,
    /// The file that records are appended to, an absolute path; none where there is none.
    pub json_lines: Option<PathBuf>,
    /// For how long records are kept in the store.
    pub retention: Retention,
}

/// As written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAudit {
    journald: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_lines: Option<PathBuf>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    retention: BTreeMap<Class, String>,
}

impl From<&AuditConfig> for RawAudit {
    fn from(config: &AuditConfig) -> Self {
        let written = |(class, kept): (&Class, &Duration)| (*class, format_duration(*kept).to_string());
        Self {
            journald: config.journald,
            json_lines: config.json_lines.clone(),
            retention: config.retention.iter().map(written).collect(),
        }
    }
}

impl RawAudit {
    /// * `state_dir`, `key_file`: what a file of ours may not be.
    pub(super) fn check(
        self,
        state_dir: &Path,
        key_file: Option<&Path>,
        faults: &mut Vec<String>,
    ) -> AuditConfig {
        let Self { journald, json_lines, retention } = self;
        let amiss = |path: &PathBuf| {
            if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
                Some("an absolute path without `..` is needed".into())
            } else if path.starts_with(state_dir) {
                Some(format!("a file outside of state_dir, {state_dir:?}, is needed"))
            } else {
                (Some(path.as_path()) == key_file)
                    .then(|| "that is the key_file; another file is needed".into())
            }
        };
        if let Some((path, said)) = json_lines.as_ref().and_then(|path| Some((path, amiss(path)?))) {
            let said: String = said;
            faults.push(format!("audit.json_lines = {path:?}: {said}"));
        }
        let mut kept = Retention::new();
        for (class, written) in retention.into_iter().filter(|(_, written)| written != FOREVER) {
            match parse_duration(&written).ok().filter(|period| *period >= KEPT_MIN) {
                Some(period) => drop(kept.insert(class, period)),
                None => faults.push(format!(
                    "audit.retention.{} = {written:?}: a time of at least \"1h\" is needed, such as \"400d\", or \"forever\"",
                    class.word()
                )),
            }
        }
        AuditConfig { journald, json_lines, retention: kept }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(&format!("version = 1\n{text}")).map_err(|faults| faults.to_string())
    }

    // covers: P7
    #[test]
    fn a_time_is_said_for_each_class_and_everything_is_kept_where_none_is() {
        assert_eq!(parse("").unwrap().audit, AuditConfig::default());
        let text = "[audit]\njournald = true\njson_lines = \"/var/log/postern/audit.jsonl\"\n\
                    retention.login = \"400d\"\nretention.change = \"forever\"";
        let config = parse(text).unwrap();
        let retention = Retention::from([(Class::Login, Duration::from_secs(400 * 86_400))]);
        let json_lines = Some("/var/log/postern/audit.jsonl".into());
        assert_eq!(config.audit, AuditConfig { journald: true, json_lines, retention });
        assert_eq!(Config::parse(&config.to_text()).unwrap().audit, config.audit);
    }

    // covers: P7
    #[test]
    fn a_time_that_is_none_or_too_short_is_refused_with_the_class() {
        let faults =
            parse("[audit]\njson_lines = \"audit\"\nretention.login = \"59m\"\nretention.session = \"soon\"")
                .unwrap_err();
        for said in [
            "audit.json_lines = \"audit\": an absolute path without `..` is needed",
            "audit.retention.login = \"59m\": a time of at least \"1h\"",
            "audit.retention.session = \"soon\"",
        ] {
            assert!(faults.contains(said), "{faults:?} does not say {said:?}");
        }
        let [state, key] = ["state_dir = \"/var/lib/postern\"", "key_file = \"/etc/postern/key\""];
        for (path, said) in [
            ("/var/lib/postern/store", "outside of state_dir, \"/var/lib/postern\","),
            ("/var/lib/postern", "outside of state_dir"),
            ("/var/lib/./postern//new", "outside of state_dir"),
            ("/var/log/../lib/postern/store", "without `..`"),
            ("/etc/postern/key", "that is the key_file"),
        ] {
            let faults = parse(&format!("{state}\n{key}\n[audit]\njson_lines = {path:?}")).unwrap_err();
            assert!(faults.contains(&format!("audit.json_lines = {path:?}: ")), "{faults}");
            assert!(faults.contains(said), "{path}: {faults}");
        }
        assert!(parse(&format!("{state}\n{key}\n[audit]\njson_lines = \"/var/lib/postern2\"")).is_ok());
        assert!(parse("[audit]\nretention.logins = \"1d\"").unwrap_err().contains("logins"));
        assert!(parse("[audit]\nsyslog = true").unwrap_err().contains("syslog"));
    }
}
