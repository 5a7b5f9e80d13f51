//! Rows on their way to the daemon: in requests that it takes, each wiped when it was sent.

use std::vec;

use data_encoding::HEXLOWER;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use serde::Serialize;
use wire::admin::{IMPORT_ROWS_MAX, Import, ImportCheck, ImportFault, ImportRow, NewImport, TokenType};
use zeroize::{Zeroize, Zeroizing};

use crate::client::{encode, segment};
use crate::failure::Failure;
use crate::verbs::Session;

/// Begins an import; returns its id.
pub async fn begin(session: &Session, serial_format: Option<String>) -> Result<String, Failure> {
    let import: Import = session.client.post("/v1/imports", &NewImport { serial_format }).await?;
    Ok(import.id)
}

/// Sends all rows; returns the faults that the daemon found.
pub async fn send(
    session: &Session,
    import: &str,
    rows: Vec<pskc::TokenRow>,
) -> Result<Vec<ImportFault>, Failure> {
    let path = format!("/v1/imports/{}/rows", segment(import));
    let bar = bar(rows.len(), session.quiet);
    let mut faults = Vec::new();
    let mut rest = rows.into_iter();
    while let Some(request) = next_request(&mut rest)? {
        let check: ImportCheck = session.client.post_json(&path, request.json).await?;
        faults.extend(check.faults);
        bar.inc(request.rows as u64);
    }
    Ok(faults)
}

/// A bar on stderr; nothing where stderr is no terminal, or quiet is wanted.
fn bar(rows: usize, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template("checking {bar:40} {pos}/{len} tokens, {eta} left");
    let bar = ProgressBar::with_draw_target(Some(rows as u64), target);
    // Also when the import ends before its end.
    let bar = bar.with_finish(ProgressFinish::AndClear);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Rows as the daemon takes them, and not as a copy of them: the same JSON as [`wire::admin::ImportRows`].
#[derive(Serialize)]
struct Rows<'a> {
    rows: &'a [ImportRow],
}

/// The body of the next request, with the number of its rows; nothing at the end.
///
/// As many rows as one request may have also fit into its bytes, however long they are.
fn next_request(rest: &mut vec::IntoIter<pskc::TokenRow>) -> Result<Option<Request>, Failure> {
    let mut rows: Vec<ImportRow> = rest.by_ref().take(IMPORT_ROWS_MAX).map(|row| on_the_wire(&row)).collect();
    let json = encode(&Rows { rows: &rows });
    rows.iter_mut().for_each(|row| row.secret.zeroize());
    Ok((!rows.is_empty()).then_some(Request { rows: rows.len(), json: json? }))
}

/// A part of the rows, on its way.
struct Request {
    rows: usize,
    json: Zeroizing<Vec<u8>>,
}

fn on_the_wire(row: &pskc::TokenRow) -> ImportRow {
    ImportRow {
        row: row.row,
        serial: row.serial.clone(),
        token_type: match row.token_type {
            pskc::TokenType::Totp => TokenType::Totp,
            pskc::TokenType::Hotp => TokenType::Hotp,
        },
        secret: HEXLOWER.encode(&row.secret),
        algorithm: match row.algorithm {
            pskc::Algorithm::Sha1 => "SHA1",
            pskc::Algorithm::Sha256 => "SHA256",
            pskc::Algorithm::Sha512 => "SHA512",
        }
        .to_owned(),
        digits: row.digits,
        time_interval: row.time_interval,
        counter: row.counter,
        time_drift: row.time_drift,
    }
}

#[cfg(test)]
mod tests {
    use wire::admin::ImportRows;

    use super::*;

    fn rows(count: u64, serial_filler: &str, secret_bytes: usize) -> Vec<pskc::TokenRow> {
        let row = |number: u64| pskc::TokenRow {
            row: number,
            serial: format!("{number:08}{serial_filler}"),
            token_type: pskc::TokenType::Hotp,
            secret: Zeroizing::new(vec![7; secret_bytes]),
            algorithm: pskc::Algorithm::Sha256,
            digits: 8,
            time_interval: None,
            counter: Some(9),
            time_drift: None,
        };
        (1..=count).map(row).collect()
    }

    /// Every row comes once, in order, in requests within both limits; returns how many rows each has.
    fn check(rows: Vec<pskc::TokenRow>) -> Vec<usize> {
        let wanted: Vec<u64> = rows.iter().map(|row| row.row).collect();
        let mut rest = rows.into_iter();
        let (mut sent, mut counts) = (Vec::new(), Vec::new());
        while let Some(Request { rows, json }) = next_request(&mut rest).expect("rows are JSON") {
            assert!(json.len() <= wire::BODY_BYTES_MAX && rows <= IMPORT_ROWS_MAX, "{rows} {}", json.len());
            let read: ImportRows = serde_json::from_slice(&json).expect("what the daemon reads");
            assert_eq!(read.rows.len(), rows);
            sent.extend(read.rows.iter().map(|row| row.row));
            counts.push(rows);
        }
        assert_eq!(sent, wanted);
        counts
    }

    #[test]
    fn requests_hold_as_many_rows_as_the_daemon_takes() {
        assert_eq!(check(rows(0, "", 20)), [0; 0]);
        assert_eq!(check(rows(250, "", 20)), [100, 100, 50]);
    }

    #[test]
    fn the_longest_rows_fit_too() {
        for longest in ["\u{10348}".repeat(56), "\"".repeat(56)] {
            assert_eq!(check(rows(200, &longest, 128)), [100, 100]);
        }
    }

    #[test]
    fn a_row_travels_as_it_is() {
        let row = on_the_wire(&rows(1, "", 16)[0]);
        assert_eq!(row.secret, "07".repeat(16));
        assert_eq!((row.algorithm.as_str(), row.digits, row.counter), ("SHA256", 8, Some(9)));
        assert_eq!((row.token_type, row.time_interval), (TokenType::Hotp, None));
    }
}
