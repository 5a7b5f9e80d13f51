//! Audit records as CSV, for spreadsheets and other programs. Source: RFC 4180.
//!
//! Names in it are chosen by strangers, and a spreadsheet takes a cell that begins like a formula for one.

use csv::{QuoteStyle, Terminator, Writer, WriterBuilder};
use wire::admin::AuditRecord;

use super::escaping::visible;

/// The columns, by the names that records have for them.
const COLUMNS: [&str; 19] = [
    "sequence",
    "at",
    "reference",
    "event",
    "verdict",
    "reason",
    "rule",
    "rollout",
    "detail",
    "user",
    "service",
    "host",
    "rhost",
    "tty",
    "ruser",
    "token",
    "person",
    "actor",
    "repeats",
];

/// With what a formula may begin, in any spreadsheet: also in the wide forms of these signs, and behind a tab or the end of a
/// line. Source: OWASP, CSV Injection.
const FORMULA: [char; 11] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// A file that grows.
pub(super) struct Export(Writer<Vec<u8>>);

impl Export {
    /// With its first row, the names of its columns.
    pub(super) fn new() -> Self {
        let mut builder = WriterBuilder::new();
        builder.quote_style(QuoteStyle::Always).terminator(Terminator::CRLF);
        let mut export = Self(builder.from_writer(Vec::new()));
        export.row(COLUMNS);
        export
    }

    /// Adds a record.
    pub(super) fn add(&mut self, record: &AuditRecord) {
        let AuditRecord { sequence, at, reference, event, verdict, reason, rule, rollout, detail, .. } =
            record;
        let AuditRecord { user, service, host, rhost, tty, ruser, token, person, actor, repeats, .. } =
            record;
        let maybe = |text: &Option<String>| harmless(text.as_deref().unwrap_or_default());
        let number = |number: u64| if number == 0 { String::new() } else { number.to_string() };
        self.row([
            number(*sequence),
            harmless(at),
            harmless(reference),
            harmless(event),
            maybe(verdict),
            harmless(reason),
            maybe(rule),
            maybe(rollout),
            maybe(detail),
            maybe(user),
            maybe(service),
            maybe(host),
            maybe(rhost),
            maybe(tty),
            maybe(ruser),
            maybe(token),
            maybe(person),
            maybe(actor),
            number(repeats.unwrap_or(0)),
        ]);
    }

    /// The bytes, UTF-8.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("memory takes whatever is written")
    }

    fn row<T: AsRef<[u8]>>(&mut self, cells: [T; COLUMNS.len()]) {
        self.0.write_record(cells).expect("memory takes whatever is written, and each row has every column");
    }
}

/// A cell that no spreadsheet takes for a formula, and in which nothing hides. Where a spreadsheet parts cells at semicolons,
/// each part is a cell of its own.
fn harmless(text: &str) -> String {
    let part = |part: &str| {
        let quote = if part.trim_start_matches(' ').starts_with(FORMULA) { "'" } else { "" };
        format!("{quote}{}", visible(part))
    };
    text.split(';').map(part).collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written of a user's name, read back as other programs do.
    fn read_back(records: &[AuditRecord]) -> Vec<csv::StringRecord> {
        let mut export = Export::new();
        records.iter().for_each(|record| export.add(record));
        let bytes = export.into_bytes();
        assert!(bytes.ends_with(b"\r\n"), "{bytes:?}");
        csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(bytes.as_slice())
            .into_records()
            .map(|row| row.expect("CSV"))
            .collect()
    }

    // covers: I02
    #[test]
    fn no_cell_begins_as_a_formula_does_and_every_other_is_read_as_it_was() {
        let cases = [
            ("alice", "alice"),
            ("", ""),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\\u{9}=1"),
            ("\r=1", "'\\u{d}=1"),
            ("\n=1", "'\\u{a}=1"),
            ("  =1", "'  =1"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("x;=1;y", "x;'=1;y"),
            ("a=1", "a=1"),
            ("say \"hi\", 'all'", "say \"hi\", 'all'"),
            ("\"=1\"", "\"=1\""),
            ("two\r\nlines", "two\\u{d}\\u{a}lines"),
            ("zo\u{eb} \u{202e}gnp.exe", "zo\u{eb} \\u{202e}gnp.exe"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
        ];
        let records: Vec<_> = cases
            .iter()
            .map(|(user, _)| AuditRecord { user: Some((*user).into()), ..AuditRecord::default() })
            .collect();
        let rows = read_back(&records);
        let column = COLUMNS.iter().position(|name| *name == "user").unwrap();
        let read: Vec<_> = rows[1..].iter().map(|row| row[column].to_owned()).collect();
        let expected: Vec<_> = cases.iter().map(|(_, expected)| *expected).collect();
        assert_eq!(read, expected);
    }

    // covers: I02
    #[test]
    fn whatever_field_of_a_record_a_formula_is_in_it_is_none_in_the_file() {
        let nasty = || "=1+1".to_owned();
        let some = || Some(nasty());
        let record = AuditRecord {
            sequence: 7,
            at: nasty(),
            reference: nasty(),
            event: nasty(),
            verdict: some(),
            reason: nasty(),
            rule: some(),
            rollout: some(),
            detail: some(),
            user: some(),
            service: some(),
            host: some(),
            rhost: some(),
            tty: some(),
            ruser: some(),
            token: some(),
            person: some(),
            actor: some(),
            repeats: Some(3),
        };
        let rows = read_back(&[record]);
        assert_eq!(rows[0].iter().collect::<Vec<_>>(), COLUMNS);
        let expected: Vec<_> = COLUMNS
            .iter()
            .map(|name| match *name {
                "sequence" => "7",
                "repeats" => "3",
                _ => "'=1+1",
            })
            .collect();
        assert_eq!(rows[1].iter().collect::<Vec<_>>(), expected);
    }
}
