//! Lists of tokens as CSV.
//!
//! A list has the columns `serial,secret,type,digits,period|counter,algorithm`. Where a cell of its first row is
//! `serial`, that row names the columns, in any order; `seed` is another name of `secret`, and the fifth may be
//! called `period`, `counter` or `period|counter`: it is the period of a TOTP token and the counter of a HOTP
//! token. Where there is both a `period` and a `counter`, each serves its own. A list without such a row has the
//! columns in the order above, which is also that of privacyIDEA's OATH CSV. Lines that begin with `#` are
//! comments.
//!
//! Empty cells mean 6 digits, 30 seconds, counter 0 and SHA1. Cells are separated by commas; where the first line
//! has none, by its semicolons or else its tabs. Does not know Yubico's or other vendors' lists.
//!
//! In a faulty row any cell may be the secret: columns are swapped, a quote is not closed. So serial and secret are
//! looked at first, and a cell is told of only when the secret was found where it belongs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use csv::{ByteRecord, ReaderBuilder};
use zeroize::Zeroizing;

use crate::problem::{Fault, Problem};
use crate::secret_text;
use crate::token::{
    Algorithm, DIGITS_DEFAULT, TIME_INTERVAL_DEFAULT, TokenRow, TokenType, checked_counter, checked_digits,
    checked_serial, checked_time_interval, shown_word,
};
use crate::{FILE_BYTES_MAX, TOKENS_MAX};

/// What a list holds.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    /// Its rows in order, each with its token or with what is wrong. A row's number is its line.
    pub rows: Vec<Result<TokenRow, Fault>>,
}

/// Why a list cannot be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// Larger than [`FILE_BYTES_MAX`].
    #[error("the file is larger than 512 MiB")]
    TooLarge,
    /// More than [`TOKENS_MAX`].
    #[error("the file holds more than 1000000 tokens")]
    TooMany,
    /// No rows.
    #[error("the list holds no tokens")]
    Empty,
    /// A heading that means nothing to us.
    #[error(
        "the heading of column {number} is {found}; known are serial, secret, type, digits, period, counter, \
         period|counter and algorithm"
    )]
    Heading {
        /// Which column, from 1.
        number: usize,
        /// What stands there.
        found: String,
    },
    /// Two columns for one thing.
    #[error("two columns are headed {name}")]
    HeadingTwice {
        /// For what.
        name: &'static str,
    },
    /// A column without which there is no token.
    #[error("no column is headed {name}")]
    HeadingMissing {
        /// Which one.
        name: &'static str,
    },
    /// The rest of the list cannot be told apart into rows.
    #[error("the list cannot be read from line {line} on")]
    Unreadable {
        /// Where.
        line: u64,
    },
}

/// A list to fill in: its heading, and rows that are examples for everybody to see.
pub fn template() -> &'static str {
    "serial,secret,type,digits,period|counter,algorithm\n\
     # One token a line. The secret is hexadecimal or base32; the fifth column is the period of a totp token in\n\
     # seconds, and the next counter of a hotp token. Take the two examples out.\n\
     EXAMPLE-TOTP,00000000000000000000000000000000000000aa,totp,6,30,SHA1\n\
     EXAMPLE-HOTP,EXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAM,hotp,6,0,SHA1\n"
}

/// Reads a list of tokens.
///
/// # Errors
/// What concerns the list as a whole. Whatever concerns one row is a [`Fault`] with its line; a serial that
/// stands there twice is the fault of the later row.
pub fn read(bytes: &[u8]) -> Result<List, CsvError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(CsvError::TooLarge);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .delimiter(separator(bytes))
        .from_reader(bytes);
    let mut record = ByteRecord::new();
    let mut columns = None;
    let mut rows = Rows::default();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => return Err(CsvError::Unreadable { line: reader.position().line() }),
        }
        if rows.read.len() == TOKENS_MAX {
            return Err(CsvError::TooMany);
        }
        let line = record.position().map_or(0, |position| first_line(bytes, position));
        let is_heading =
            columns.is_none() && record.iter().any(|cell| cell.trim_ascii().eq_ignore_ascii_case(b"serial"));
        if is_heading {
            columns = Some(Columns::named_by(&record)?);
        } else {
            rows.take(line, &record, columns.get_or_insert(Columns::IN_ORDER));
        }
    }
    if rows.read.is_empty() { Err(CsvError::Empty) } else { Ok(List { rows: rows.read }) }
}

/// What separates the cells, as the first line that is neither empty nor a comment tells.
fn separator(bytes: &[u8]) -> u8 {
    let mut lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(b"#")).unwrap_or_default();
    let found = [b',', b';', b'\t'].into_iter().find(|separator| first.contains(separator));
    found.unwrap_or(b',')
}

/// Where each cell stands.
struct Columns {
    serial: usize,
    secret: usize,
    token_type: usize,
    digits: Option<usize>,
    period: Option<usize>,
    counter: Option<usize>,
    algorithm: Option<usize>,
    /// Fewest cells of a row.
    cells_min: usize,
    /// Most cells of a row.
    cells_max: usize,
}

impl Columns {
    /// Those of a list that names none.
    const IN_ORDER: Self = Self {
        serial: 0,
        secret: 1,
        token_type: 2,
        digits: Some(3),
        period: Some(4),
        counter: Some(4),
        algorithm: Some(5),
        cells_min: 3,
        cells_max: 6,
    };

    fn named_by(heading: &ByteRecord) -> Result<Self, CsvError> {
        let mut places: HashMap<&'static str, usize> = HashMap::new();
        for place in 0..heading.len() {
            let found = String::from_utf8_lossy(cell(heading, Some(place))).to_ascii_lowercase();
            let name = match found.as_str() {
                "serial" => "serial",
                "secret" | "seed" => "secret",
                "type" => "type",
                "digits" => "digits",
                "period" => "period",
                "counter" => "counter",
                "period|counter" => "period|counter",
                "algorithm" => "algorithm",
                _ => return Err(CsvError::Heading { number: place + 1, found: shown_word(&found) }),
            };
            if places.insert(name, place).is_some() {
                return Err(CsvError::HeadingTwice { name });
            }
        }
        let place = |name| places.get(name).copied();
        let needed = |name| place(name).ok_or(CsvError::HeadingMissing { name });
        let either = place("period|counter");
        if either.is_some() && (place("period").is_some() || place("counter").is_some()) {
            return Err(CsvError::HeadingTwice { name: "period|counter" });
        }
        Ok(Self {
            serial: needed("serial")?,
            secret: needed("secret")?,
            token_type: needed("type")?,
            digits: place("digits"),
            period: either.or(place("period")).or(place("counter")),
            counter: either.or(place("counter")).or(place("period")),
            algorithm: place("algorithm"),
            cells_min: heading.len(),
            cells_max: heading.len(),
        })
    }
}

#[derive(Default)]
struct Rows {
    read: Vec<Result<TokenRow, Fault>>,
    /// In which line each serial stands.
    serials: HashMap<String, u64>,
}

impl Rows {
    fn take(&mut self, line: u64, record: &ByteRecord, columns: &Columns) {
        let read = match read_identity(record, columns) {
            Err(reason) => Err(Fault { row: line, serial: String::new(), reason }),
            Ok(identity) => {
                let serial = identity.serial.clone();
                let read = read_rest(line, record, columns, identity).and_then(|row| self.unless_twice(row));
                read.map_err(|reason| Fault { row: line, serial, reason })
            }
        };
        self.read.push(read);
    }

    fn unless_twice(&mut self, row: TokenRow) -> Result<TokenRow, Problem> {
        match self.serials.entry(row.serial.clone()) {
            Entry::Occupied(first) => Err(Problem::SerialTwice { first: format!("line {}", first.get()) }),
            Entry::Vacant(place) => {
                place.insert(row.row);
                Ok(row)
            }
        }
    }
}

/// A serial and a secret that stand in the right places.
struct Identity {
    serial: String,
    secret: Zeroizing<Vec<u8>>,
}

fn read_identity(record: &ByteRecord, columns: &Columns) -> Result<Identity, Problem> {
    if record.len() < columns.cells_min {
        return Err(Problem::RowShort { found: record.len(), wanted: columns.cells_min });
    }
    if record.len() > columns.cells_max {
        return Err(Problem::RowLong { found: record.len(), wanted: columns.cells_max });
    }
    if record.iter().any(|cell| std::str::from_utf8(cell).is_err()) {
        return Err(Problem::RowEncoding);
    }
    let serial = checked_serial(text(record, Some(columns.serial))?)?;
    Ok(Identity { serial, secret: secret_text::parse(text(record, Some(columns.secret))?)? })
}

fn read_rest(
    line: u64,
    record: &ByteRecord,
    columns: &Columns,
    Identity { serial, secret }: Identity,
) -> Result<TokenRow, Problem> {
    let text = |place| text(record, place);
    let token_type = TokenType::by_name(text(Some(columns.token_type))?)?;
    let digits = text(columns.digits)?;
    let digits = if digits.is_empty() { DIGITS_DEFAULT } else { checked_digits(digits)? };
    let algorithm = text(columns.algorithm)?;
    let algorithm = if algorithm.is_empty() { Algorithm::Sha1 } else { Algorithm::by_name(algorithm)? };
    let (mut time_interval, mut counter) = (None, None);
    match token_type {
        TokenType::Totp => time_interval = Some(read_period(text(columns.period)?)?),
        TokenType::Hotp => counter = Some(read_counter(text(columns.counter)?)?),
    }
    Ok(TokenRow {
        row: line,
        serial,
        token_type,
        secret,
        algorithm,
        digits,
        time_interval,
        counter,
        time_drift: None,
    })
}

fn read_period(text: &str) -> Result<u32, Problem> {
    match text {
        "" => Ok(TIME_INTERVAL_DEFAULT),
        text => text
            .parse()
            .ok()
            .map_or_else(|| Err(Problem::TimeInterval { found: shown_word(text) }), checked_time_interval),
    }
}

fn read_counter(text: &str) -> Result<u64, Problem> {
    match text {
        "" => Ok(0),
        text => text
            .parse()
            .ok()
            .map_or_else(|| Err(Problem::Counter { found: shown_word(text) }), checked_counter),
    }
}

/// The line in which a record begins. The parser tells where it began to look for it, which is before line ends,
/// empty lines and comments.
fn first_line(bytes: &[u8], position: &csv::Position) -> u64 {
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let mut rest = bytes.get(start..).unwrap_or_default();
    let mut line = position.line();
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'\n' => {
                line += 1;
                after
            }
            b'\r' => after,
            b'#' => after.iter().position(|byte| *byte == b'\n').map_or(&[], |end| &after[end..]),
            _ => break,
        };
    }
    line
}

/// A cell without space around it; empty where there is none.
fn cell(record: &ByteRecord, place: Option<usize>) -> &[u8] {
    place.and_then(|place| record.get(place)).unwrap_or_default().trim_ascii()
}

fn text(record: &ByteRecord, place: Option<usize>) -> Result<&str, Problem> {
    std::str::from_utf8(cell(record, place)).map_err(|_| Problem::RowEncoding)
}
