//! Stores of format 1, and how they become stores of this one.
//!
//! Format 1 had a row for each credential and for each audit line, an index over the references, and the audit lines
//! of a batch in the journal until they were folded. The records and the meta row were as they are; where the meta
//! row tells how many runs there are, it told the last folded audit line.
//!
//! All is read, verified and written again in one transaction: whatever ends it, the store is of the one format or
//! the other, and no line is lost. Needs as much space again as the store has. The only other file that speaks SQL.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::keys::RowKeys;
use super::meta::{Meta, RowSum};
use super::open::{Problem, check_sum};
use super::store::{self, JOURNAL, LEAVES, META, RECORDS, SchemaPart, TRAIL, TRAIL_REFERENCES, blob};
use super::trail::{self, AuditEnd, OpenReferences};
use super::{journal, leaf};
use crate::mac::MacKey;
use crate::standings::{Standing, Standings};
use crate::{ClaimId, CredentialId, RECORD_BYTES_MAX, batch};

pub(super) const FORMAT: i64 = 1;

const AUDIT: SchemaPart = (
    "audit",
    "CREATE TABLE audit(sequence INTEGER PRIMARY KEY, reference BLOB NOT NULL, body BLOB NOT NULL, \
     chain BLOB NOT NULL)",
);
const AUDIT_REFERENCE: SchemaPart =
    ("audit_reference", "CREATE INDEX audit_reference ON audit(reference, sequence)");
const CREDENTIALS: SchemaPart = (
    "credentials",
    "CREATE TABLE credentials(id BLOB PRIMARY KEY, value INTEGER NOT NULL, claim BLOB NOT NULL, \
     mac BLOB NOT NULL) WITHOUT ROWID",
);

/// Everything that was in the schema, by name.
pub(super) const SCHEMA: [SchemaPart; 6] = [AUDIT, AUDIT_REFERENCE, CREDENTIALS, JOURNAL, META, RECORDS];

/// Audit lines in one row of the trail.
const LINES_TOGETHER: usize = 64;

/// Makes a store of format 1 one of today's; gives its meta row. The records must have been verified.
pub(super) fn migrate(
    db: &Connection,
    meta: &Meta,
    root: &[u8; 32],
    meta_key: &MacKey,
) -> Result<Meta, Problem> {
    let store = Old {
        db,
        keys: RowKeys::derive(root, &meta.store_id),
        credential: MacKey::derive(root, "credential", &meta.store_id),
        audit_folded: meta.runs,
        audit: meta.audit,
    };
    store::transaction(db, |db| {
        for (_, sql) in [LEAVES, TRAIL, TRAIL_REFERENCES] {
            db.execute(sql, [])?;
        }
        let mut meta = Meta { runs: 0, audit: store.end_at(store.audit_folded)?, ..meta.clone() };
        let standings = store.credentials(meta.leaves)?;
        meta.leaves = store.write_leaves(&standings)?;
        store.check_audit_end()?;
        meta.runs = store.write_trail()?;
        store.rewrite_journal()?;
        for (name, _) in [AUDIT, CREDENTIALS] {
            db.execute(&format!("DROP TABLE {name}"), [])?;
        }
        store::write_meta(db, &meta.seal(meta_key))?;
        db.pragma_update(None, "user_version", store::FORMAT)?;
        Ok(meta)
    })
}

struct Old<'a> {
    db: &'a Connection,
    keys: RowKeys,
    credential: MacKey,
    /// The last audit line of the batches that are folded.
    audit_folded: u64,
    /// The last audit line in the table, which may belong to a batch that is not.
    audit: AuditEnd,
}

impl Old<'_> {
    fn credentials(&self, wanted: RowSum) -> Result<Standings, Problem> {
        let (mut standings, mut sum) = (Standings::new(), RowSum::default());
        let mut statement = self.db.prepare("SELECT id, value, claim, mac FROM credentials ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id = blob(row, 0)?;
            let damaged = || {
                let name: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
                Problem::Row("credential", name, String::from("it fails its checksum"))
            };
            let (value, claim, mac) = (row.get::<_, i64>(1)?.cast_unsigned(), blob(row, 2)?, blob(row, 3)?);
            let (Ok(id), Ok(by)) = (<[u8; 16]>::try_from(id.as_slice()), <[u8; 16]>::try_from(claim)) else {
                return Err(damaged());
            };
            if !self.credential.holds(&[&id, &value.to_be_bytes(), &by], &mac) {
                return Err(damaged());
            }
            sum.add(mac.as_slice().try_into().map_err(|_| damaged())?);
            standings.insert(CredentialId(id), Standing { value, by: ClaimId(by) });
        }
        check_sum("credentials", sum, wanted)?;
        Ok(standings)
    }

    fn write_leaves(&self, standings: &Standings) -> Result<RowSum, Problem> {
        let (mut sum, mut bytes) = (RowSum::default(), Vec::new());
        for (number, leaf) in standings.leaves() {
            sum.add(&leaf::encode(&mut bytes, number, leaf, &self.keys.leaf));
            store::put_leaf(self.db, number, &bytes)?;
        }
        Ok(sum)
    }

    fn check_audit_end(&self) -> Result<(), Problem> {
        let newest: Option<i64> =
            self.db.query_row("SELECT max(sequence) FROM audit", [], |row| row.get(0))?;
        let found =
            newest.map_or(Ok(AuditEnd::default()), |sequence| self.end_at(sequence.cast_unsigned()))?;
        if found == self.audit {
            return Ok(());
        }
        let problem = String::from("the trail does not end there with its chain value");
        Err(Problem::Row("audit line", self.audit.sequence.to_string(), problem))
    }

    /// Writes the lines as they are, damaged ones too, and the runs of their references; tells how many runs.
    fn write_trail(&self) -> Result<u64, Problem> {
        let mut runs = 0;
        let mut open = OpenReferences::default();
        let (mut first, mut next, mut bytes) = (0, 1, Vec::new());
        let mut statement =
            self.db.prepare("SELECT sequence, reference, body, chain FROM audit ORDER BY sequence")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let sequence = row.get::<_, i64>(0)?.cast_unsigned();
            let is_full = sequence.wrapping_sub(first) >= LINES_TOGETHER as u64;
            if !bytes.is_empty() && (sequence != next || is_full) {
                store::add_trail_row(self.db, first, &bytes)?;
                bytes.clear();
            }
            if bytes.is_empty() {
                first = sequence;
            }
            let reference = array(row, 1)?;
            let mut body = blob(row, 2)?;
            body.truncate(RECORD_BYTES_MAX);
            trail::put_line(&mut bytes, &reference, &body, &array(row, 3)?);
            // A line that is missing keeps its place among the references, if this one can be believed.
            if sequence <= self.audit.sequence {
                open.extend((next..sequence).map(|_| [0; 8]));
                open.push(reference);
            }
            next = sequence.wrapping_add(1);
            while open.fill_a_run() {
                for (number, list) in open.lists(runs, &self.keys) {
                    store::add_list(self.db, number, &list)?;
                }
                open.forget_run();
                runs += 1;
            }
        }
        if !bytes.is_empty() {
            store::add_trail_row(self.db, first, &bytes)?;
        }
        Ok(runs)
    }

    /// Moves the audit lines out of the journal, except those that stand in the trail already.
    fn rewrite_journal(&self) -> Result<(), Problem> {
        let mut end = self.end_at(self.audit_folded)?;
        let mut statement = self.db.prepare("SELECT seq FROM journal ORDER BY seq")?;
        let numbers =
            statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<BTreeSet<i64>>>()?;
        for number in numbers {
            let damaged =
                |error: crate::reader::DecodeError| Problem::row("journal batch", number, &error.to_string());
            let seq = number.cast_unsigned();
            let read = |row: &Row<'_>| blob(row, 0);
            let row = self.db.query_row("SELECT body FROM journal WHERE seq = ?1", [number], read)?;
            let body = journal::checked(&row, seq, &self.keys.journal).map_err(damaged)?;
            let entries = batch::decode(body).map_err(damaged)?;
            let (first, mut lines) = (end.sequence.max(self.audit.sequence) + 1, Vec::new());
            for audit in entries.iter().filter_map(|entry| entry.audit.as_ref()) {
                if end.sequence < self.audit.sequence {
                    end = self.end_at(end.sequence + 1)?;
                } else {
                    end.append(&mut lines, &self.keys.audit, audit);
                }
            }
            if !lines.is_empty() {
                store::add_trail_row(self.db, first, &lines)?;
            }
            let mut row = Vec::new();
            batch::encode(&mut row, entries.iter());
            journal::seal(&mut row, seq, &end, &self.keys.journal);
            self.db.execute("UPDATE journal SET body = ?2 WHERE seq = ?1", params![number, row])?;
        }
        if end.sequence < self.audit.sequence {
            let problem = "it ends before lines that the audit trail holds: batches are missing";
            return Err(Problem::Row("journal", String::from("of the last commits"), problem.to_owned()));
        }
        Ok(())
    }

    /// Where the trail stood with a line that is in the table.
    fn end_at(&self, sequence: u64) -> Result<AuditEnd, Problem> {
        let mut statement = self.db.prepare_cached("SELECT chain FROM audit WHERE sequence = ?1")?;
        let chain = statement.query_row([sequence.cast_signed()], |row| array(row, 0)).optional()?;
        Ok(AuditEnd { sequence, head: chain.unwrap_or_default() })
    }
}

/// A column that should have so many bytes; zeros where it has not, which fit nothing.
fn array<const N: usize>(row: &Row<'_>, column: usize) -> rusqlite::Result<[u8; N]> {
    Ok(blob(row, column)?.try_into().unwrap_or([0; N]))
}
