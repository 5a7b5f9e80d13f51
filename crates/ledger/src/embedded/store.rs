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
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, Transaction, params};

use super::error::LedgerOpenError;
use super::keys::RowKeys;
use crate::decide::Standing;
use crate::mac::Mac;
use crate::{AuditLine, ClaimId, CredentialId};

/// Kind and key of a record.
pub(super) type RecordKey = (u8, Vec<u8>);

/// "PSTN", where SQLite files say what program they belong to.
const APPLICATION_ID: i64 = 0x5053_544e;
/// The format of the tables and of what is in them.
pub(super) const FORMAT: i64 = 1;

const SQLITE_VERSION_MIN: i32 = 3_051_003;
const SQLITE_VERSION_MIN_TEXT: &str = "3.51.3";

/// Name and text of everything that may be in the schema, by name.
const SCHEMA: [(&str, &str); 6] = [
    (
        "audit",
        "CREATE TABLE audit(sequence INTEGER PRIMARY KEY, reference BLOB NOT NULL, body BLOB NOT NULL, \
         chain BLOB NOT NULL)",
    ),
    ("audit_reference", "CREATE INDEX audit_reference ON audit(reference, sequence)"),
    (
        "credentials",
        "CREATE TABLE credentials(id BLOB PRIMARY KEY, value INTEGER NOT NULL, claim BLOB NOT NULL, \
         mac BLOB NOT NULL) WITHOUT ROWID",
    ),
    ("journal", "CREATE TABLE journal(seq INTEGER PRIMARY KEY, body BLOB NOT NULL)"),
    ("meta", "CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK(id = 1), body BLOB NOT NULL)"),
    (
        "records",
        "CREATE TABLE records(kind INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, \
         mac BLOB NOT NULL, PRIMARY KEY(kind, key)) WITHOUT ROWID",
    ),
];

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
         PRAGMA cell_size_check=ON; PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-32768;",
    )?;
    db.set_prepared_statement_cache_capacity(32);
    // Whoever has it open keeps it open.
    db.busy_timeout(Duration::ZERO)?;
    Ok(db)
}

/// Checks that the database is one of ours, of this format, and has our tables and nothing else.
pub(super) fn check_identity(db: &Connection, path: &Path) -> Result<(), LedgerOpenError> {
    let failed = |error| opening(path, "read", error);
    let not_a_store = |problem: String| LedgerOpenError::NotAStore { path: path.to_path_buf(), problem };
    let number = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(failed);
    if number("application_id")? != APPLICATION_ID {
        return Err(not_a_store(String::from("it carries no application id of ours")));
    }
    let found = number("user_version")?;
    if found > FORMAT {
        return Err(LedgerOpenError::Newer { path: path.to_path_buf(), found, known: FORMAT });
    }
    if found < FORMAT {
        return Err(not_a_store(format!("it says format {found}, which never was")));
    }
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(not_a_store(format!("its journal mode is {mode}")));
    }
    let mut statement = db.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").map_err(failed)?;
    let schema: Vec<(String, Option<String>)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .and_then(Iterator::collect)
        .map_err(failed)?;
    let ours = SCHEMA.map(|(name, sql)| (name.to_owned(), Some(sql.to_owned())));
    if schema != ours {
        return Err(not_a_store(String::from("its tables are not ours")));
    }
    Ok(())
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

pub(super) fn add_journal_row(db: &Connection, seq: u64, body: &[u8]) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("INSERT INTO journal(seq, body) VALUES(?1, ?2)")?;
    statement.execute(params![seq.cast_signed(), body]).map(drop)
}

pub(super) fn remove_journal_through(db: &Connection, seq: u64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM journal WHERE seq <= ?1")?.execute([seq.cast_signed()]).map(drop)
}

/// Calls `each` with number and body of every journal row, in order, until it fails.
pub(super) fn each_journal_row<E: From<rusqlite::Error>>(
    db: &Connection,
    mut each: impl FnMut(i64, Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let mut statement = db.prepare("SELECT seq, body FROM journal ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(row.get(0)?, blob(row, 1)?)?;
    }
    Ok(())
}

/// A row of a table as it was found; its columns may have any length.
pub(super) struct StoredCredential {
    pub(super) id: Vec<u8>,
    pub(super) value: u64,
    pub(super) claim: Vec<u8>,
    pub(super) mac: Vec<u8>,
}

pub(super) fn each_credential<E: From<rusqlite::Error>>(
    db: &Connection,
    mut each: impl FnMut(StoredCredential) -> Result<(), E>,
) -> Result<(), E> {
    let mut statement = db.prepare("SELECT id, value, claim, mac FROM credentials ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let value = row.get::<_, i64>(1)?.cast_unsigned();
        each(StoredCredential { id: blob(row, 0)?, value, claim: blob(row, 2)?, mac: blob(row, 3)? })?;
    }
    Ok(())
}

/// A row of a table as it was found; its columns may have any length.
pub(super) struct StoredRecord {
    pub(super) kind: i64,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) mac: Vec<u8>,
}

pub(super) fn each_record<E: From<rusqlite::Error>>(
    db: &Connection,
    mut each: impl FnMut(StoredRecord) -> Result<(), E>,
) -> Result<(), E> {
    let mut statement = db.prepare("SELECT kind, key, value, mac FROM records ORDER BY kind, key")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(StoredRecord {
            kind: row.get(0)?,
            key: blob(row, 1)?,
            value: blob(row, 2)?,
            mac: blob(row, 3)?,
        })?;
    }
    Ok(())
}

/// The MAC of a credential's row, where there is one.
pub(super) fn credential_mac(db: &Connection, id: CredentialId) -> rusqlite::Result<Option<Mac>> {
    let mut statement = db.prepare_cached("SELECT mac FROM credentials WHERE id = ?1")?;
    statement.query_row([id.0.as_slice()], |row| row.get(0)).optional()
}

pub(super) fn put_credential(
    tx: &Transaction<'_>,
    id: CredentialId,
    standing: &Standing,
    mac: &Mac,
) -> rusqlite::Result<()> {
    let mut statement = tx
        .prepare_cached("INSERT OR REPLACE INTO credentials(id, value, claim, mac) VALUES(?1, ?2, ?3, ?4)")?;
    let value = standing.value.cast_signed();
    statement.execute(params![id.0.as_slice(), value, standing.by.0.as_slice(), mac.as_slice()]).map(drop)
}

pub(super) fn remove_credential(tx: &Transaction<'_>, id: CredentialId) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM credentials WHERE id = ?1")?.execute([id.0.as_slice()]).map(drop)
}

/// The MAC of a record's row, where there is one.
pub(super) fn record_mac(db: &Connection, (kind, key): &RecordKey) -> rusqlite::Result<Option<Mac>> {
    let mut statement = db.prepare_cached("SELECT mac FROM records WHERE kind = ?1 AND key = ?2")?;
    statement.query_row(params![kind, key], |row| row.get(0)).optional()
}

pub(super) fn put_record(
    tx: &Transaction<'_>,
    (kind, key): &RecordKey,
    value: &[u8],
    mac: &Mac,
) -> rusqlite::Result<()> {
    let mut statement =
        tx.prepare_cached("INSERT OR REPLACE INTO records(kind, key, value, mac) VALUES(?1, ?2, ?3, ?4)")?;
    statement.execute(params![kind, key, value, mac.as_slice()]).map(drop)
}

pub(super) fn remove_record(tx: &Transaction<'_>, (kind, key): &RecordKey) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM records WHERE kind = ?1 AND key = ?2")?
        .execute(params![kind, key])
        .map(drop)
}

pub(super) fn add_audit_line(tx: &Transaction<'_>, line: &AuditLine) -> rusqlite::Result<()> {
    let mut statement =
        tx.prepare_cached("INSERT INTO audit(sequence, reference, body, chain) VALUES(?1, ?2, ?3, ?4)")?;
    let sequence = line.sequence.cast_signed();
    statement
        .execute(params![sequence, line.reference.as_slice(), line.body, line.chain.as_slice()])
        .map(drop)
}

/// Up to `limit` audit lines from sequence `from`, oldest first.
pub(super) fn audit_lines(db: &Connection, from: u64, limit: usize) -> rusqlite::Result<Vec<AuditLine>> {
    let mut statement = db.prepare_cached(
        "SELECT sequence, reference, body, chain FROM audit WHERE sequence >= ?1 ORDER BY sequence LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    statement.query_map([from.cast_signed(), limit], audit_line)?.collect()
}

/// The sequence of the newest audit line with this reference.
pub(super) fn audit_by_reference(db: &Connection, reference: [u8; 8]) -> rusqlite::Result<Option<u64>> {
    let mut statement =
        db.prepare_cached("SELECT sequence FROM audit WHERE reference = ?1 ORDER BY sequence DESC LIMIT 1")?;
    statement.query_row([reference.as_slice()], |row| Ok(row.get::<_, i64>(0)?.cast_unsigned())).optional()
}

/// The MAC over a credential's row.
pub(super) fn mac_of_credential(keys: &RowKeys, id: CredentialId, standing: &Standing) -> Mac {
    keys.credential.mac(&[&id.0, &standing.value.to_be_bytes(), &standing.by.0])
}

/// The MAC over a record's row.
pub(super) fn mac_of_record(keys: &RowKeys, (kind, key): &RecordKey, value: &[u8]) -> Mac {
    let len = u8::try_from(key.len()).expect("a record's key has at most RECORD_KEY_BYTES_MAX bytes");
    keys.record.mac(&[&[*kind, len], key, value])
}

impl StoredCredential {
    /// What the row says, and its MAC; none where that does not hold.
    pub(super) fn verified(&self, keys: &RowKeys) -> Option<(CredentialId, Standing, Mac)> {
        let id = CredentialId(self.id.as_slice().try_into().ok()?);
        let standing = Standing { value: self.value, by: ClaimId(self.claim.as_slice().try_into().ok()?) };
        let mac = mac_of_credential(keys, id, &standing);
        (self.mac == mac).then_some((id, standing, mac))
    }
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
}

fn audit_line(row: &Row<'_>) -> rusqlite::Result<AuditLine> {
    let sequence = row.get::<_, i64>(0)?.cast_unsigned();
    Ok(AuditLine { sequence, reference: row.get(1)?, body: blob(row, 2)?, chain: row.get(3)? })
}

/// A column as bytes, whatever SQLite says it is: a damaged type must not become an error of another sort.
fn blob(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Blob(bytes) | rusqlite::types::ValueRef::Text(bytes) => Ok(bytes.to_vec()),
        _ => Ok(Vec::new()),
    }
}
