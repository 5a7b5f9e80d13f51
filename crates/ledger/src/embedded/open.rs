//! Making a store, and opening one: every check comes before the first change.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::Connection;

use super::chores::Chores;
use super::error::LedgerOpenError;
use super::fold::Backlog;
use super::keys::{RootKeys, RowKeys};
use super::mark::Mark;
use super::meta::{Loss, Meta, RowSum};
use super::place::{self, Lock, MARK, Place, STORE, STORE_NEW};
use super::reserve::Reserve;
use super::store::{self, Failure};
use super::writer::{FatalHook, Writer};
use crate::decide::{Moves, Standings, apply, replay};
use crate::mac::MAC_BYTES;
use crate::{Entry, StartState, batch};

/// Makes an empty store.
pub(super) fn create(dir: &Path, root: &[u8; 32]) -> Result<(), LedgerOpenError> {
    store::check_sqlite_version()?;
    place::make_directory(dir)?;
    let place = Place::open(dir)?;
    let _lock = place.lock()?;
    if place.check_database(STORE)? {
        return Err(LedgerOpenError::Exists { path: place.file(STORE) });
    }
    let mut store_id = [0; 16];
    getrandom::fill(&mut store_id)
        .map_err(|error| place.io("draw the identity of", STORE, std::io::Error::other(error)))?;
    let keys = RootKeys::derive(root);
    // The store takes its name last, when all is durable: a broken-off attempt leaves no store.
    place.remove_unfinished().map_err(|error| place.io("remove", STORE_NEW, error))?;
    place.make(STORE_NEW).map_err(|error| place.io("make", STORE_NEW, error))?;
    let path = place.file(STORE_NEW);
    store::make(&path, &Meta::new(store_id).seal(&keys.meta))
        .map_err(|error| store::opening(&path, "make", error))?;
    let mark = Mark { store_id, last: 0, epoch: 0, is_closed: true };
    mark.write(&place, &keys.mark).map_err(|error| place.io("write", MARK, error))?;
    place.rename(STORE_NEW, STORE).map_err(|error| place.io("name", STORE, error))
}

/// Opens a store and reads it; gives what the writer works with, and how the store was found.
pub(super) fn open(
    dir: &Path,
    root: &[u8; 32],
    on_fatal: FatalHook,
) -> Result<(Writer, StartState), LedgerOpenError> {
    store::check_sqlite_version()?;
    let place = Place::open(dir)?;
    if !place.check_database(STORE)? {
        return Err(LedgerOpenError::NoStore { dir: dir.to_path_buf() });
    }
    let lock = place.lock()?;
    check_header(&place)?;
    let root_keys = RootKeys::derive(root);
    let mark = Mark::read(&place, &root_keys.mark)?;
    let path = place.file(STORE);
    let db = store::connect(&path).map_err(|error| store::opening(&path, "open", error))?;
    store::check_identity(&db, &path)?;
    let meta = read_meta(&db, &path, &root_keys)?;
    let keys = RowKeys::derive(root, &meta.store_id);
    if mark.store_id != meta.store_id {
        let problem = String::from("it belongs to another store");
        let row = String::from("of the last commit");
        return Err(LedgerOpenError::Damaged { path: place.file(MARK), what: "the mark", row, problem });
    }
    let found = Reading { db: &db, path: &path, meta: &meta, keys: &keys }.read()?;
    let state = start_state(&meta, &mark, found.last);
    let mut writer = writer(Parts { db, place, lock, root_keys, keys, meta, mark, found, on_fatal });
    writer.begin(state).map_err(|failure| match failure {
        Failure::Full => LedgerOpenError::StorageFull { path: path.clone() },
        Failure::Fatal(message) => {
            LedgerOpenError::Sqlite { action: "begin writing to", path: path.clone(), source: message.into() }
        }
    })?;
    Ok((writer, state))
}

/// SQLite takes an empty file for an empty database, and then throws its log away. And it would ignore the log of
/// a database that does not say that it has one.
fn check_header(place: &Place) -> Result<(), LedgerOpenError> {
    let not_a_store =
        |problem: &str| LedgerOpenError::NotAStore { path: place.file(STORE), problem: problem.to_owned() };
    let file: File = place
        .open_to_read(STORE)?
        .ok_or_else(|| LedgerOpenError::NoStore { dir: place.path().to_path_buf() })?;
    let mut header = [0; 100];
    match file.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(not_a_store("it is empty or cut off; restore it from a backup"));
        }
        read => read.map_err(|error| place.io("read", STORE, error))?,
    }
    if &header[..16] != b"SQLite format 3\0" {
        return Err(not_a_store("it does not begin like a database; restore it from a backup"));
    }
    // Offsets 18 and 19: versions for writing and reading, 2 for WAL. Source: sqlite.org/fileformat2.html, 1.3.
    if header[18..20] != [2, 2] {
        return Err(not_a_store("it does not say that it has a log; restore it from a backup"));
    }
    Ok(())
}

fn read_meta(db: &Connection, path: &Path, keys: &RootKeys) -> Result<Meta, LedgerOpenError> {
    let body = store::read_meta(db).map_err(|error| store::opening(path, "read", error))?;
    body.and_then(|body| Meta::unseal(&body, &keys.meta))
        .ok_or_else(|| LedgerOpenError::WrongKey { path: path.to_path_buf() })
}

fn start_state(meta: &Meta, mark: &Mark, last: u64) -> StartState {
    let is_short = last < mark.last;
    match meta.loss {
        // What is missing since then is added to a loss that nobody has settled.
        Some(Loss { found, expected: _ }) if is_short => {
            return StartState::Short { found, expected: mark.last };
        }
        Some(loss) => return loss.into(),
        None if is_short => return StartState::Short { found: last, expected: mark.last },
        None => {}
    }
    // The epoch tells a store that was put back from a copy, even where no batch is missing.
    if mark.is_closed && last == mark.last && mark.epoch == meta.epoch {
        StartState::Clean
    } else {
        StartState::Unclean
    }
}

/// What was read, verified.
#[derive(Default)]
struct Found {
    standings: Standings,
    backlog: Backlog,
    last: u64,
}

struct Reading<'a> {
    db: &'a Connection,
    path: &'a Path,
    meta: &'a Meta,
    keys: &'a RowKeys,
}

impl Reading<'_> {
    fn read(&self) -> Result<Found, LedgerOpenError> {
        let mut found = Found { last: self.meta.folded, ..Found::default() };
        self.read_credentials(&mut found)?;
        self.check_records()?;
        self.check_audit_head()?;
        self.read_journal(&mut found)?;
        Ok(found)
    }

    fn read_credentials(&self, found: &mut Found) -> Result<(), LedgerOpenError> {
        let mut sum = RowSum::default();
        store::each_credential(self.db, |row| {
            let (id, standing, mac) = row.verified(self.keys).ok_or_else(|| {
                Problem::Row("credential", hex(&row.id), String::from("it fails its checksum"))
            })?;
            sum.add(&mac);
            found.standings.insert(id, standing);
            Ok(())
        })
        .map_err(|problem| self.refuse(problem))?;
        self.check_sum("credentials", sum, self.meta.credentials)
    }

    fn check_records(&self) -> Result<(), LedgerOpenError> {
        let mut sum = RowSum::default();
        store::each_record(self.db, |row| {
            let name = format!("{}/{}", row.kind, hex(&row.key));
            let (_, _, mac) = row
                .verified(self.keys)
                .ok_or_else(|| Problem::Row("record", name, String::from("it fails its checksum")))?;
            sum.add(&mac);
            Ok(())
        })
        .map_err(|problem| self.refuse(problem))?;
        self.check_sum("records", sum, self.meta.records)
    }

    /// The trail is checked whole only when it is asked for; here, that it ends where it should.
    fn check_audit_head(&self) -> Result<(), LedgerOpenError> {
        let sequence = self.meta.audit_sequence;
        let from = sequence.max(1);
        let lines =
            store::audit_lines(self.db, from, 2).map_err(|error| self.refuse(Problem::Sqlite(error)))?;
        let ends_well = match lines.as_slice() {
            [] => sequence == 0,
            [line] => line.sequence == sequence && line.chain == self.meta.audit_head,
            _ => false,
        };
        if ends_well {
            return Ok(());
        }
        let problem = String::from("the trail does not end there with its chain value");
        Err(self.refuse(Problem::Row("audit line", sequence.to_string(), problem)))
    }

    fn read_journal(&self, found: &mut Found) -> Result<(), LedgerOpenError> {
        // Lines of a generation that was not folded to its end are in the table already.
        let mut audit_done = self.meta.audit_sequence.wrapping_sub(self.meta.audit_folded);
        store::each_journal_row(self.db, |seq, body| {
            let batch = |problem: &str| Problem::Row("journal batch", seq.to_string(), problem.to_owned());
            let seq = seq.cast_unsigned();
            if seq != found.last.wrapping_add(1) {
                return Err(batch("it does not follow the one before: batches are missing"));
            }
            let (body, _) = body
                .split_at_checked(body.len().saturating_sub(MAC_BYTES))
                .filter(|(body, mac)| self.keys.journal.holds(&[&seq.to_be_bytes(), body], mac))
                .ok_or_else(|| batch("it fails its checksum"))?;
            let mut entries = batch::decode(body).map_err(|error| batch(&error.to_string()))?;
            forget_folded_audit(&mut entries, &mut audit_done);
            let mut moves = Moves::new();
            entries.iter().for_each(|entry| replay(&mut moves, entry));
            apply(&mut found.standings, &moves);
            found.backlog.take_in(entries.into_iter(), &moves);
            found.last = seq;
            Ok(())
        })
        .map_err(|problem| self.refuse(problem))?;
        if audit_done > 0 {
            let problem =
                String::from("it ends before lines that the audit trail holds: batches are missing");
            return Err(self.refuse(Problem::Row("journal batch", found.last.to_string(), problem)));
        }
        Ok(())
    }

    fn check_sum(&self, table: &'static str, found: RowSum, wanted: RowSum) -> Result<(), LedgerOpenError> {
        if found == wanted {
            return Ok(());
        }
        let problem = String::from("rows are missing, or are older than the rest");
        Err(self.refuse(Problem::Row("table", table.to_owned(), problem)))
    }

    fn refuse(&self, problem: Problem) -> LedgerOpenError {
        match problem {
            Problem::Sqlite(error) => store::opening(self.path, "read", error),
            Problem::Row(what, row, problem) => {
                LedgerOpenError::Damaged { path: self.path.to_path_buf(), what, row, problem }
            }
        }
    }
}

enum Problem {
    Sqlite(rusqlite::Error),
    Row(&'static str, String, String),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Takes the first `done` audit lines out of the entries.
fn forget_folded_audit(entries: &mut [Entry], done: &mut u64) {
    for entry in entries {
        if *done > 0 && entry.audit.take().is_some() {
            *done -= 1;
        }
    }
}

struct Parts {
    db: Connection,
    place: Place,
    lock: Lock,
    root_keys: RootKeys,
    keys: RowKeys,
    meta: Meta,
    mark: Mark,
    found: Found,
    on_fatal: FatalHook,
}

fn writer(parts: Parts) -> Writer {
    let Parts { db, place, lock, root_keys, keys, meta, mark, found, on_fatal } = parts;
    Writer {
        db,
        reserve: Reserve::find(&place),
        place,
        root_keys,
        keys,
        meta,
        standings: found.standings,
        backlog: found.backlog,
        folding: None,
        last: found.last,
        mark,
        chores: Chores::default(),
        on_fatal,
        is_dead: false,
        _lock: lock,
    }
}

impl Writer {
    /// Makes it durable that the store is open: a new epoch, a loss if there is one, and the mark.
    fn begin(&mut self, state: StartState) -> Result<(), Failure> {
        if let StartState::Short { found, expected } = state {
            // The numbers of the missing batches are not used again, or the store would soon look complete.
            self.fold_all()?;
            self.last = self.last.max(expected);
            self.meta.folded = self.last;
            self.meta.loss = Some(Loss { found, expected });
        }
        // A disk that is full already is found out below.
        let _ = self.take_reserve();
        self.meta.epoch += 1;
        match self.save_meta() {
            Err(Failure::Full) if self.reserve.is_held() => {
                self.relieve();
                self.save_meta()?;
            }
            saved => saved?,
        }
        self.write_mark(false)
    }

    /// Makes the meta row durable.
    pub(super) fn save_meta(&mut self) -> Result<(), Failure> {
        let written = store::write_meta(&self.db, &self.meta.seal(&self.root_keys.meta));
        self.rolled_back(written.map_err(Failure::from))
    }
}

/// Bytes for a message.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
