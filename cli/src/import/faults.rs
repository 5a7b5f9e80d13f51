//! Faulty rows: the first ones on stderr, all of them as JSON. A secret stands in neither.

use serde::Serialize;
use wire::admin::ImportFault;

use crate::failure::Failure;
use crate::output::{Answer, Format};

/// How many faults are listed on a terminal: what fits on a screen.
const LISTED_MAX: usize = 20;

/// All faults, as JSON.
#[derive(Serialize)]
struct FaultList<'a> {
    api_version: u16,
    kind: &'static str,
    items: &'a [ImportFault],
}

/// Says what is wrong, row by row, and fails.
///
/// * `rows_named`: what a row is in this file: `line` or `package`.
pub fn report(faults: &[ImportFault], rows_named: &str, format: Format) -> Result<Answer, Failure> {
    let document = FaultList { api_version: wire::API_VERSION, kind: "import_fault_list", items: faults };
    let answer = Answer::list(format, &document, faults, String::new)?;
    let failure = Failure::ImportFaults { count: faults.len() };
    Ok(match format {
        Format::Table => answer.noting(lines(faults, rows_named)).failing(failure),
        Format::Json | Format::Ndjson => answer.failing(failure),
    })
}

fn lines(faults: &[ImportFault], rows_named: &str) -> Vec<String> {
    let line = |fault: &ImportFault| match fault.serial.as_str() {
        "" => format!("{rows_named} {}: {}", fault.row, fault.reason),
        serial => format!("{rows_named} {}, serial {serial}: {}", fault.row, fault.reason),
    };
    let more = faults.len().saturating_sub(LISTED_MAX);
    let more = (more > 0).then(|| format!("... and {more} more; --reject-file lists them all"));
    let hint = faults.iter().any(is_of_format).then(|| FORMAT_HINT.to_owned());
    faults.iter().take(LISTED_MAX).map(line).chain(more).chain(hint).collect()
}

const FORMAT_HINT: &str = "--serial-format says what serial numbers look like: # a digit, @ a capital letter, the rest \
                           itself; or any";

/// Whether the daemon found that a serial number has another format than the one that was named. It knows nothing of
/// our flags.
fn is_of_format(fault: &ImportFault) -> bool {
    ["the serial number is not 13 digits", "the serial number does not look like"]
        .iter()
        .any(|words| fault.reason.starts_with(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(row: u64, serial: &str) -> ImportFault {
        ImportFault { row, serial: serial.into(), reason: "the secret is missing".into() }
    }

    #[test]
    fn the_first_faults_are_listed_and_the_rest_counted() {
        assert_eq!(lines(&[fault(3, "")], "line"), ["line 3: the secret is missing"]);
        assert_eq!(lines(&[fault(3, "S1")], "package"), ["package 3, serial S1: the secret is missing"]);
        let many: Vec<ImportFault> = (1..=25).map(|row| fault(row, "S")).collect();
        let listed = lines(&many, "line");
        assert_eq!(listed.len(), 21);
        assert_eq!(listed[20], "... and 5 more; --reject-file lists them all");
    }

    #[test]
    fn a_serial_of_another_format_is_answered_with_the_flag() {
        for reason in [
            "the serial number is not 13 digits; give another format, or \"any\"",
            "the serial number does not look like \"@@##\" (# a digit, @ an upper-case letter)",
        ] {
            let listed = lines(&[ImportFault { reason: reason.into(), ..fault(3, "S1") }], "line");
            assert_eq!(listed.len(), 2);
            assert!(listed[1].starts_with("--serial-format says"), "{listed:?}");
        }
    }
}
