//! The SQLite database: its settings, its tables, and the statements on single rows.
//!
//! The only file that speaks SQL. Does not decide what is written, or when.
//!
//! Settings. WAL with `synchronous=FULL`: one fsync per commit, and it is part of the commit. Exclusive locking:
//! no other program opens the file while we have it, and no index file is shared. No automatic checkpoints: they
//! would fall into a commit. SQLite from 3.51.3: earlier ones may lose commits when a log starts over.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, params};

use super::error::LedgerOpenError;
use super::format1;
use super::keys::RowKeys;
use crate::mac::Mac;

/// Kind and key of a record.
pub(super) type RecordKey = (u8, Vec<u8>);

/// "PSTN", where SQLite files say what program they belong to.
const APPLICATION_ID: i64 = 0x5053_544e;
/// The format of the tables and of what is in them.
pub(super) const FORMAT: i64 = 2;

const SQLITE_VERSION_MIN: i32 = 3_051_003;
const SQLITE_VERSION_MIN_TEXT: &str = "3.51.3";

/// Name and text of a part of a schema.
pub(super) type SchemaPart = (&'static str, &'static str);

/// Records have had the same table in all formats.
pub(super) const RECORDS: SchemaPart = (
    "records",
    "CREATE TABLE records(kind INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, \
     mac BLOB NOT NULL, PRIMARY KEY(kind, key)) WITHOUT ROWID",
);
/// And so has the meta row.
pub(super) const META: SchemaPart =
    ("meta", "CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK(id = 1), body BLOB NOT NULL)");
/// And so has the journal; what is in its rows differs.
pub(super) const JOURNAL: SchemaPart =
    ("journal", "CREATE TABLE journal(seq INTEGER PRIMARY KEY, body BLOB NOT NULL)");
/// A hundred credentials in a row.
pub(super) const LEAVES: SchemaPart =
    ("leaves", "CREATE TABLE leaves(number INTEGER PRIMARY KEY, body BLOB NOT NULL)");
/// The audit lines of a batch in a row.
pub(super) const TRAIL: SchemaPart =
    ("trail", "CREATE TABLE trail(first INTEGER PRIMARY KEY, body BLOB NOT NULL)");
/// The lists of references, 64 for each run.
pub(super) const TRAIL_REFERENCES: SchemaPart =
    ("trail_references", "CREATE TABLE trail_references(number INTEGER PRIMARY KEY, body BLOB NOT NULL)");

/// Everything that may be in the schema, by name.
const SCHEMA: [SchemaPart; 6] = [JOURNAL, LEAVES, META, RECORDS, TRAIL, TRAIL_REFERENCES];

/// Why a commit did not happen, or nobody can tell.
#[derive(Debug)]
pub(super) enum Failure {
    /// No space or read-only: it was rolled back, and a later one may succeed.
    Full,
    /// Anything else. Nothing may be committed after it: the kernel may have dropped what it could not write.
    Fatal(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull | ErrorCode::ReadOnly) => Self::Full,
            _ => {
                let code = error.sqlite_error().map_or(0, |error| error.extended_code);
                Self::Fatal(format!("{error} (SQLite code {code})"))
            }
        }
    }
}

/// Refuses a SQLite that may lose commits.
pub(super) fn check_sqlite_version() -> Result<(), LedgerOpenError> {
    if rusqlite::version_number() >= SQLITE_VERSION_MIN {
        return Ok(());
    }
    let found = rusqlite::version().to_owned();
    Err(LedgerOpenError::SqliteTooOld { found, wanted: SQLITE_VERSION_MIN_TEXT })
}

/// Makes the tables of a new store in an empty file and closes it, so that all is in the one file.
pub(super) fn make(path: &Path, meta: &[u8]) -> rusqlite::Result<()> {
    let mut db = connect(path)?;
    let mode: String = db.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    debug_assert_eq!(mode, "wal", "a new file on a local disk can be in WAL mode");
    let transaction = db.transaction()?;
    for (_, sql) in SCHEMA {
        transaction.execute(sql, [])?;
    }
    write_meta(&transaction, meta)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    // Closing does this, too, but does not tell when it fails.
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    db.close().map_err(|(_, error)| error)
}

/// Opens a database with our settings. Reads nothing yet, and will not fold the log into it when it is closed.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let db = Connection::open_with_flags(path, flags)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.execute_batch(
        "PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; \
         PRAGMA cell_size_check=ON; PRAGMA secure_delete=FAST; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-32768;",
    )?;
    db.set_prepared_statement_cache_capacity(32);
    // Whoever has it open keeps it open.
    db.busy_timeout(Duration::ZERO)?;
    Ok(db)
}

/// Checks that the database is one of ours, of a format that is known, and has its tables and nothing else; tells the
/// format.
pub(super) fn check_identity(db: &Connection, path: &Path) -> Result<i64, LedgerOpenError> {
    let failed = |error| opening(path, "read", error);
    let not_a_store = |problem: String| LedgerOpenError::NotAStore { path: path.to_path_buf(), problem };
    let number = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(failed);
    if number("application_id")? != APPLICATION_ID {
        return Err(not_a_store(String::from("it carries no application id of ours")));
    }
    let found = number("user_version")?;
    let expected = match found {
        FORMAT => SCHEMA.as_slice(),
        format1::FORMAT => format1::SCHEMA.as_slice(),
        newer if newer > FORMAT => {
            return Err(LedgerOpenError::Newer { path: path.to_path_buf(), found, known: FORMAT });
        }
        _ => return Err(not_a_store(format!("it says format {found}, which never was"))),
    };
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(not_a_store(format!("its journal mode is {mode}")));
    }
    let mut statement = db.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").map_err(failed)?;
    let schema: Vec<(String, Option<String>)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .and_then(Iterator::collect)
        .map_err(failed)?;
    let is_ours = |((name, sql), ours): (&(String, Option<String>), &SchemaPart)| {
        (name.as_str(), sql.as_deref()) == (ours.0, Some(ours.1))
    };
    if schema.len() != expected.len() || !schema.iter().zip(expected).all(is_ours) {
        return Err(not_a_store(String::from("its tables are not ours")));
    }
    Ok(found)
}

/// A failure of SQLite while a store is being opened.
pub(super) fn opening(path: &Path, action: &'static str, error: rusqlite::Error) -> LedgerOpenError {
    use rusqlite::Error::{FromSqlConversionFailure, InvalidColumnType, Utf8Error};

    let path = path.to_path_buf();
    if matches!(error, FromSqlConversionFailure(..) | InvalidColumnType(..) | Utf8Error(..)) {
        let (row, problem) = (String::from("of a table"), error.to_string());
        return LedgerOpenError::Damaged { path, what: "a column", row, problem };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            LedgerOpenError::InUse { dir: path.parent().map(Path::to_path_buf).unwrap_or_default() }
        }
        Some(ErrorCode::NotADatabase) => LedgerOpenError::NotAStore { path, problem: error.to_string() },
        Some(ErrorCode::DatabaseCorrupt) => LedgerOpenError::Damaged {
            path,
            what: "a page",
            row: String::from("of the database"),
            problem: error.to_string(),
        },
        Some(ErrorCode::DiskFull | ErrorCode::ReadOnly) => LedgerOpenError::StorageFull { path },
        _ => LedgerOpenError::Sqlite { action, path, source: error.into() },
    }
}

/// How a checkpoint leaves the log.
#[derive(Clone, Copy)]
pub(super) enum Checkpoint {
    /// As long as it is: the next commits write over it, which costs no change of the file's length.
    Keep,
    /// Empty, and its space given back.
    Empty,
}

/// Moves what is in the log into the database.
pub(super) fn checkpoint(db: &Connection, how: Checkpoint) -> Result<(), Failure> {
    let sql = match how {
        Checkpoint::Keep => "PRAGMA wal_checkpoint(PASSIVE)",
        Checkpoint::Empty => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    Ok(db.query_row(sql, [], |_| Ok(()))?)
}

/// How many pages are in the log and not yet in the database.
pub(super) fn log_pages(db: &Connection) -> rusqlite::Result<usize> {
    let mut statement = db.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
    let (logged, moved): (i64, i64) = statement.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))?;
    Ok(usize::try_from(logged - moved).unwrap_or(0))
}

pub(super) fn read_meta(db: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    db.query_row("SELECT body FROM meta WHERE id = 1", [], |row| blob(row, 0)).optional()
}

pub(super) fn write_meta(db: &Connection, body: &[u8]) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("INSERT OR REPLACE INTO meta(id, body) VALUES(1, ?1)")?;
    statement.execute([body]).map(drop)
}

/// Does `work` in one transaction and makes it durable. After a failure, none of it is there, or it is fatal.
pub(super) fn transaction<T, E: From<Failure>>(
    db: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let run = |sql| -> Result<(), E> {
        let run = db.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        run.map(drop).map_err(|error| Failure::from(error).into())
    };
    run("BEGIN IMMEDIATE")?;
    let done = work(db).and_then(|done| run("COMMIT").map(|()| done));
    if done.is_err() && !db.is_autocommit() && db.execute_batch("ROLLBACK").is_err() {
        return Err(Failure::Fatal(String::from("a transaction that failed could not be rolled back")).into());
    }
    done
}

/// Has what is deleted from now on overwritten whole, also where a page is given back; or only as far as that costs
/// nothing.
pub(super) fn overwrite_deleted(db: &Connection, is_whole: bool) -> rusqlite::Result<()> {
    db.query_row(if is_whole { "PRAGMA secure_delete=ON" } else { "PRAGMA secure_delete=FAST" }, [], |_| {
        Ok(())
    })
}

pub(super) fn add_journal_row(db: &Connection, seq: u64, body: &[u8]) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("INSERT INTO journal(seq, body) VALUES(?1, ?2)")?;
    statement.execute(params![seq.cast_signed(), body]).map(drop)
}

pub(super) fn remove_journal_through(db: &Connection, seq: u64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM journal WHERE seq <= ?1")?.execute([seq.cast_signed()]).map(drop)
}

/// The lowest number in the journal, whatever it is.
pub(super) fn first_journal_row(db: &Connection) -> rusqlite::Result<Option<i64>> {
    db.query_row("SELECT min(seq) FROM journal", [], |row| row.get(0))
}

/// Calls `each` with number and body of every journal row after `after`, in order, until it fails.
pub(super) fn each_journal_row<E: From<rusqlite::Error>>(
    db: &Connection,
    after: u64,
    each: impl FnMut(i64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let after = after.cast_signed();
    each_body(db, "SELECT seq, body FROM journal WHERE seq > ?1 OR seq < 0 ORDER BY seq", after, each)
}

/// Calls `each` with number and body of every leaf, in order, until it fails.
pub(super) fn each_leaf<E: From<rusqlite::Error>>(
    db: &Connection,
    each: impl FnMut(i64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    each_body(db, "SELECT number, body FROM leaves WHERE number >= ?1 ORDER BY number", i64::MIN, each)
}

pub(super) fn put_leaf(db: &Connection, number: u32, body: &[u8]) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("INSERT OR REPLACE INTO leaves(number, body) VALUES(?1, ?2)")?;
    statement.execute(params![number, body]).map(drop)
}

/// A row of a table as it was found; its columns may have any length.
pub(super) struct StoredRecord {
    pub(super) kind: i64,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) mac: Vec<u8>,
}

/// Calls `each` with every record, by kind and key, until it fails.
pub(super) fn each_record<E: From<rusqlite::Error>>(
    db: &Connection,
    mut each: impl FnMut(StoredRecord) -> Result<(), E>,
) -> Result<(), E> {
    let mut statement = db.prepare("SELECT kind, key, value, mac FROM records ORDER BY kind, key")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(stored_record(row)?)?;
    }
    Ok(())
}

/// Up to `limit` records after a key, by kind and key; from the first one on where there is no key.
pub(super) fn records_after(
    db: &Connection,
    after: Option<&RecordKey>,
    limit: usize,
) -> rusqlite::Result<Vec<StoredRecord>> {
    let mut statement = db.prepare_cached(
        "SELECT kind, key, value, mac FROM records WHERE (kind, key) > (?1, ?2) ORDER BY kind, key LIMIT ?3",
    )?;
    let (kind, key) = after.map_or((-1, [].as_slice()), |(kind, key)| (i64::from(*kind), key.as_slice()));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    statement.query_map(params![kind, key, limit], stored_record)?.collect()
}

/// One record, where there is one.
pub(super) fn record(db: &Connection, (kind, key): &RecordKey) -> rusqlite::Result<Option<StoredRecord>> {
    let mut statement =
        db.prepare_cached("SELECT kind, key, value, mac FROM records WHERE kind = ?1 AND key = ?2")?;
    statement.query_row(params![kind, key], stored_record).optional()
}

/// The MAC of a record's row, where there is one.
pub(super) fn record_mac(db: &Connection, (kind, key): &RecordKey) -> rusqlite::Result<Option<Mac>> {
    let mut statement = db.prepare_cached("SELECT mac FROM records WHERE kind = ?1 AND key = ?2")?;
    statement.query_row(params![kind, key], |row| row.get(0)).optional()
}

pub(super) fn put_record(
    db: &Connection,
    (kind, key): &RecordKey,
    value: &[u8],
    mac: &Mac,
) -> rusqlite::Result<()> {
    let mut statement =
        db.prepare_cached("INSERT OR REPLACE INTO records(kind, key, value, mac) VALUES(?1, ?2, ?3, ?4)")?;
    statement.execute(params![kind, key, value, mac.as_slice()]).map(drop)
}

pub(super) fn remove_record(db: &Connection, (kind, key): &RecordKey) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM records WHERE kind = ?1 AND key = ?2")?
        .execute(params![kind, key])
        .map(drop)
}

pub(super) fn add_trail_row(db: &Connection, first: u64, body: &[u8]) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("INSERT INTO trail(first, body) VALUES(?1, ?2)")?;
    statement.execute(params![first.cast_signed(), body]).map(drop)
}

/// Writes a row of the trail, whatever was there.
pub(super) fn put_trail_row(db: &Connection, first: u64, body: &[u8]) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("INSERT OR REPLACE INTO trail(first, body) VALUES(?1, ?2)")?;
    statement.execute(params![first.cast_signed(), body]).map(drop)
}

pub(super) fn remove_trail_row(db: &Connection, first: u64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM trail WHERE first = ?1")?.execute([first.cast_signed()]).map(drop)
}

/// Calls `each` with the trail's rows, from the one on that should hold line `from`, while it says so.
pub(super) fn each_trail_row(
    db: &Connection,
    from: u64,
    mut each: impl FnMut(u64, &[u8]) -> bool,
) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "SELECT first, body FROM trail \
         WHERE first >= coalesce((SELECT max(first) FROM trail WHERE first <= ?1), ?1) ORDER BY first",
    )?;
    let mut rows = statement.query([from.cast_signed()])?;
    while let Some(row) = rows.next()? {
        if !each(row.get::<_, i64>(0)?.cast_unsigned(), bytes(row, 1)?) {
            break;
        }
    }
    Ok(())
}

pub(super) fn add_list(db: &Connection, number: u64, body: &[u8]) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("INSERT INTO trail_references(number, body) VALUES(?1, ?2)")?;
    statement.execute(params![number.cast_signed(), body]).map(drop)
}

/// A list of references, where there is one.
pub(super) fn list(db: &Connection, number: u64) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = db.prepare_cached("SELECT body FROM trail_references WHERE number = ?1")?;
    statement.query_row([number.cast_signed()], |row| blob(row, 0)).optional()
}

/// The MAC over a record's row.
pub(super) fn mac_of_record(keys: &RowKeys, (kind, key): &RecordKey, value: &[u8]) -> Mac {
    let len = u8::try_from(key.len()).expect("a record's key has at most RECORD_KEY_BYTES_MAX bytes");
    keys.record.mac(&[&[*kind, len], key, value])
}

impl StoredRecord {
    /// What the row says, and its MAC; none where that does not hold.
    pub(super) fn verified(self, keys: &RowKeys) -> Option<(RecordKey, Vec<u8>, Mac)> {
        let kind = u8::try_from(self.kind).ok()?;
        u8::try_from(self.key.len()).ok()?;
        let key = (kind, self.key);
        let mac = mac_of_record(keys, &key, &self.value);
        (self.mac == mac).then_some((key, self.value, mac))
    }

    /// How messages name it.
    pub(super) fn name(&self) -> String {
        let key: String = self.key.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}/{key}", self.kind)
    }
}

fn stored_record(row: &Row<'_>) -> rusqlite::Result<StoredRecord> {
    Ok(StoredRecord { kind: row.get(0)?, key: blob(row, 1)?, value: blob(row, 2)?, mac: blob(row, 3)? })
}

fn each_body<E: From<rusqlite::Error>>(
    db: &Connection,
    sql: &str,
    from: i64,
    mut each: impl FnMut(i64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([from])?;
    while let Some(row) = rows.next()? {
        each(row.get(0)?, bytes(row, 1)?)?;
    }
    Ok(())
}

/// A column as bytes, whatever SQLite says it is: a damaged type must not become an error of another sort.
pub(super) fn blob(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
    Ok(bytes(row, column)?.to_vec())
}

fn bytes<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<&'a [u8]> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Blob(bytes) | rusqlite::types::ValueRef::Text(bytes) => Ok(bytes),
        _ => Ok(&[]),
    }
}
