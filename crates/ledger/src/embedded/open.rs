//! Making a store, and opening one: every check comes before the first change.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::chores::Chores;
use super::error::LedgerOpenError;
use super::fold::Backlog;
use super::keys::{RootKeys, RowKeys};
use super::mark::Mark;
use super::meta::{Loss, Meta, RowSum};
use super::place::{self, Lock, MARK, Place, STORE, STORE_NEW};
use super::reserve::Reserve;
use super::store::{self, Checkpoint, Failure};
use super::tallies::Tallies;
use super::trail::{self, AuditEnd, Item, OpenReferences};
use super::writer::{FatalHook, Rows, Writer};
use super::{Progress, format1, journal, leaf};
use crate::StartState;
use crate::decide::{Moves, apply, replay};
use crate::standings::Standings;

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
    progress: &dyn Fn(Progress),
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
    let format = store::check_identity(&db, &path)?;
    let mut meta = read_meta(&db, &path, &root_keys)?;
    let keys = RowKeys::derive(root, &meta.store_id);
    if mark.store_id != meta.store_id {
        let problem = String::from("it belongs to another store");
        let row = String::from("of the last commit");
        return Err(LedgerOpenError::Damaged { path: place.file(MARK), what: "the mark", row, problem });
    }
    if format == format1::FORMAT {
        meta = check_records(&db, &meta, &keys, &Steps::none())
            .and_then(|()| Ok(store::overwrite_deleted(&db, true)?))
            .and_then(|()| format1::migrate(&db, &meta, root, &root_keys.meta))
            .and_then(|meta| Ok(store::checkpoint(&db, Checkpoint::Empty).map(|()| meta)?))
            .and_then(|meta| Ok(store::overwrite_deleted(&db, false).map(|()| meta)?))
            .map_err(|problem| problem.at(&path))?;
        tracing::info!(path = %path.display(), from = format1::FORMAT, to = store::FORMAT, "store brought up to date");
    }
    let steps = Steps::new(progress, meta.leaves.rows + meta.records.rows);
    let reading = Reading { db: &db, meta: &meta, keys: &keys, steps };
    let found = reading.read().map_err(|problem| problem.at(&path))?;
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
    audit: AuditEnd,
    references: OpenReferences,
    last: u64,
    swept: u64,
}

struct Reading<'a> {
    db: &'a Connection,
    meta: &'a Meta,
    keys: &'a RowKeys,
    steps: Steps<'a>,
}

impl Reading<'_> {
    fn read(&self) -> Result<Found, Problem> {
        let mut found = Found { last: self.meta.folded, audit: self.meta.audit, ..Found::default() };
        found.standings = self.read_leaves()?;
        check_records(self.db, self.meta, self.keys, &self.steps)?;
        self.read_journal(&mut found)?;
        self.check_audit_end(&found.audit)?;
        self.read_references(&mut found)?;
        Ok(found)
    }

    fn read_leaves(&self) -> Result<Standings, Problem> {
        let mut sum = RowSum::default();
        let mut leaves = Vec::new();
        store::each_leaf(self.db, |number, row| {
            let damaged = |problem: &str| Problem::row("credentials", number, problem);
            // A number that is missing shows in the sum; one that is too many fails its checksum under its place.
            let place = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
            if number != i64::from(place) {
                return Err(damaged("rows are missing before it"));
            }
            let read =
                leaf::decode(row, place, &self.keys.leaf).map_err(|error| damaged(&error.to_string()))?;
            sum.add(&read.2);
            leaves.push(read);
            self.steps.step();
            Ok(())
        })?;
        check_sum("credentials", sum, self.meta.leaves)?;
        Standings::restore(leaves.into_iter())
            .map_err(|(number, problem)| Problem::row("credentials", number.into(), problem))
    }

    fn read_journal(&self, found: &mut Found) -> Result<(), Problem> {
        let first = store::first_journal_row(self.db)?
            .map_or(self.meta.folded, |seq| seq.cast_unsigned().wrapping_sub(1));
        found.swept = first.min(self.meta.folded);
        store::each_journal_row(self.db, self.meta.folded, |number, row| {
            let damaged = |problem: &str| Problem::row("journal batch", number, problem);
            let seq = number.cast_unsigned();
            if seq != found.last.wrapping_add(1) {
                return Err(damaged("it does not follow the one before: batches are missing"));
            }
            let (entries, end) =
                journal::open(row, seq, &self.keys.journal).map_err(|error| damaged(&error.to_string()))?;
            let mut moves = Moves::default();
            entries.iter().for_each(|entry| replay(&mut moves, entry));
            apply(&mut found.standings, &moves);
            found.backlog.take_in(entries.into_iter(), &moves, row.len());
            found.last = seq;
            found.audit = end;
            Ok(())
        })
    }

    /// The trail is checked whole only when it is asked for; here, that it ends where it should.
    fn check_audit_end(&self, end: &AuditEnd) -> Result<(), Problem> {
        let mut last = AuditEnd::default();
        let mut is_readable = true;
        store::each_trail_row(self.db, end.sequence.max(1), |first, row| {
            for item in trail::items(first, row) {
                match item {
                    Ok(item) => last = item.end(),
                    Err(_) => is_readable = false,
                }
            }
            is_readable && last.sequence <= end.sequence
        })?;
        if is_readable && last == *end {
            return Ok(());
        }
        let problem = String::from("the trail does not end there with its chain value");
        Err(Problem::Row("audit line", end.sequence.to_string(), problem))
    }

    /// The references that no run holds. Lines that are damaged or removed keep their place: reading the trail tells of
    /// them.
    fn read_references(&self, found: &mut Found) -> Result<(), Problem> {
        let first = trail::first_line(self.meta.runs);
        let mut next = first;
        store::each_trail_row(self.db, first, |start, row| {
            for item in trail::items(start, row).map_while(Result::ok) {
                let Item::Line(line) = item else { continue };
                if line.sequence >= next && line.sequence <= found.audit.sequence {
                    found.references.extend((next..line.sequence).map(|_| [0; 8]));
                    found.references.push(line.reference);
                    next = line.sequence + 1;
                }
            }
            true
        })?;
        Ok(())
    }
}

fn check_records(db: &Connection, meta: &Meta, keys: &RowKeys, steps: &Steps<'_>) -> Result<(), Problem> {
    let mut sum = RowSum::default();
    store::each_record(db, |row| {
        let name = row.name();
        let (_, _, mac) = row
            .verified(keys)
            .ok_or_else(|| Problem::Row("record", name, String::from("it fails its checksum")))?;
        sum.add(&mac);
        steps.step();
        Ok::<_, Problem>(())
    })?;
    check_sum("records", sum, meta.records)
}

/// Whether the rows of a table are all there, and are the newest.
pub(super) fn check_sum(table: &'static str, found: RowSum, wanted: RowSum) -> Result<(), Problem> {
    if found == wanted {
        return Ok(());
    }
    let problem = String::from("rows are missing, or are older than the rest");
    Err(Problem::Row("table", table.to_owned(), problem))
}

/// Why a store is refused while it is read.
pub(super) enum Problem {
    Sqlite(rusqlite::Error),
    Failed(Failure),
    Row(&'static str, String, String),
}

impl Problem {
    /// Something is wrong with a numbered row.
    pub(super) fn row(what: &'static str, number: i64, problem: &str) -> Self {
        Self::Row(what, number.to_string(), problem.to_owned())
    }

    fn at(self, path: &Path) -> LedgerOpenError {
        match self {
            Self::Sqlite(error) => store::opening(path, "read", error),
            Self::Failed(Failure::Full) => LedgerOpenError::StorageFull { path: path.to_path_buf() },
            Self::Failed(Failure::Fatal(message)) => LedgerOpenError::Sqlite {
                action: "bring up to date",
                path: path.to_path_buf(),
                source: message.into(),
            },
            Self::Row(what, row, problem) => {
                LedgerOpenError::Damaged { path: path.to_path_buf(), what, row, problem }
            }
        }
    }
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Counts the rows that have been read, and tells now and then.
struct Steps<'a> {
    progress: &'a dyn Fn(Progress),
    of: u64,
    done: Cell<u64>,
}

impl<'a> Steps<'a> {
    fn new(progress: &'a dyn Fn(Progress), of: u64) -> Self {
        Self { progress, of, done: Cell::new(0) }
    }

    fn none() -> Self {
        Self::new(&|_| {}, 0)
    }

    fn step(&self) {
        let rows = self.done.get() + 1;
        self.done.set(rows);
        if rows.is_multiple_of(STEP_ROWS) || rows == self.of {
            (self.progress)(Progress { rows, of: self.of });
        }
    }
}

/// Progress is told this often: a few times a second.
const STEP_ROWS: u64 = 64 * 1024;

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
        place: Arc::new(place),
        root_keys,
        keys,
        meta,
        standings: found.standings,
        audit: found.audit,
        references: found.references,
        backlog: found.backlog,
        folding: None,
        last: found.last,
        swept: found.swept,
        // Nobody has looked what is in the journal's rows.
        records_through: found.last,
        overwrites_whole: false,
        mark,
        marking: None,
        chores: Chores::at_start(),
        tallies: Tallies::default(),
        shown: Arc::default(),
        on_fatal,
        is_dead: false,
        rows: Rows::default(),
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
            self.swept = self.last;
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
        match self.write_mark(false) {
            Err(Failure::Full) if self.reserve.is_held() => {
                self.relieve();
                self.write_mark(false)
            }
            written => written,
        }
    }

    /// Makes the meta row durable.
    pub(super) fn save_meta(&mut self) -> Result<(), Failure> {
        let meta = self.meta.seal(&self.root_keys.meta);
        store::transaction(&self.db, |db| store::write_meta(db, &meta).map_err(Failure::from))
    }
}
