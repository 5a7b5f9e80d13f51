//! An import on its way: rows are checked as they come and kept aside; all of them are stored at the end, or
//! none.
//!
//! What is kept aside is in memory only, and wiped when the import ends, is dropped, or is left alone. There is
//! one import at a time: its secrets are the largest thing a caller can make this process hold.

mod row;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use wire::admin::{IMPORT_TOKENS_MAX, ImportCheck, ImportFault, ImportRow};

pub use row::{Said, SerialFormat, check_serial, parameters, secret, wipe};

use crate::accounts::{Accounts, NewHardware};
use crate::http::roles::CallerId;
use crate::keys::{KeyError, random_bytes};

/// How long an import is kept after its last row. The command sends the next hundred rows at once; whatever
/// takes longer has been given up.
pub const LEFT_ALONE_MAX: Duration = Duration::from_secs(600);

/// The import that is on its way, if there is one.
#[derive(Debug, Default)]
pub struct Imports(Mutex<Option<Open>>);

#[derive(Debug)]
struct Open {
    id: String,
    /// Who began it; nobody else's rows come into it.
    owner: CallerId,
    format: Arc<SerialFormat>,
    staged: Vec<NewHardware>,
    serials: HashSet<Box<str>>,
    faults: u64,
    /// When it began or its last rows came.
    touched: Duration,
}

/// Which import, and whose.
#[derive(Clone, Copy, Debug)]
pub struct Which<'a> {
    /// As [`Imports::begin`] named it.
    pub id: &'a str,
    /// Who asks.
    pub owner: CallerId,
}

/// Why an import did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Another one is on its way.
    #[error(
        "another import is on its way: wait until it is done; one that is left alone ends after 10 minutes"
    )]
    Busy,
    /// It ended, or never was, or is somebody else's.
    #[error("no such import: it ended, or was left alone for 10 minutes; begin anew")]
    Gone,
    /// Some rows were faulty.
    #[error("{faults} rows are faulty, so nothing was imported: mend them and begin anew")]
    Faulty {
        /// How many.
        faults: u64,
    },
    /// No name could be drawn.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Imports {
    /// Begins an import and returns its name.
    ///
    /// # Errors
    /// `Busy` while another one is on its way.
    pub fn begin(&self, owner: CallerId, format: SerialFormat, now: Duration) -> Result<String, ImportError> {
        let id = HEXLOWER.encode(&random_bytes::<16>()?);
        let mut open = self.lock();
        if open.as_ref().is_some_and(|open| !open.is_left_alone(now)) {
            return Err(ImportError::Busy);
        }
        *open = Some(Open {
            id: id.clone(),
            owner,
            format: Arc::new(format),
            staged: Vec::new(),
            serials: HashSet::new(),
            faults: 0,
            touched: now,
        });
        Ok(id)
    }

    /// Checks rows and keeps the right ones aside.
    ///
    /// # Errors
    /// `Gone` where there is no such import.
    pub fn add(
        &self,
        which: Which<'_>,
        rows: Vec<ImportRow>,
        accounts: &Accounts,
        now: Duration,
    ) -> Result<ImportCheck, ImportError> {
        let format = find(&mut self.lock(), which, now).map(|open| Arc::clone(&open.format));
        let format = match format {
            Ok(format) => format,
            Err(error) => {
                wipe(rows);
                return Err(error);
            }
        };
        // Outside the lock: it takes a while.
        let checked: Vec<_> = rows
            .into_iter()
            .map(|row| {
                let (number, serial) = (row.row, row.serial.clone());
                let token = row::check_row(row, &format).and_then(|token| {
                    match accounts.find_by_serial(&token.serial) {
                        None => Ok(token),
                        Some(_) => Err("a token with this serial number exists already".into()),
                    }
                });
                (number, serial, token)
            })
            .collect();
        let mut open = self.lock();
        let open = find(&mut open, which, now)?;
        open.touched = now;
        let mut faults = Vec::new();
        for (row, serial, token) in checked {
            if let Err(reason) = token.and_then(|token| open.stage(token)) {
                faults.push(ImportFault { row, serial, reason });
            }
        }
        open.faults = open.faults.saturating_add(faults.len() as u64);
        Ok(ImportCheck { faults, staged: open.staged.len() as u64 })
    }

    /// Ends an import and hands out what was kept aside.
    ///
    /// # Errors
    /// `Faulty` when a row was; the import has ended then too, because it could never be finished.
    pub fn finish(&self, which: Which<'_>, now: Duration) -> Result<Vec<NewHardware>, ImportError> {
        let open = self.take(which, now)?;
        match open.faults {
            0 => Ok(open.staged),
            faults => Err(ImportError::Faulty { faults }),
        }
    }

    /// Ends an import without storing anything.
    ///
    /// # Errors
    /// `Gone` where there is no such import.
    pub fn abandon(&self, which: Which<'_>, now: Duration) -> Result<(), ImportError> {
        self.take(which, now).map(drop)
    }

    /// Wipes an import that was left alone.
    pub fn sweep(&self, now: Duration) {
        let mut open = self.lock();
        if open.as_ref().is_some_and(|open| open.is_left_alone(now)) {
            *open = None;
            tracing::warn!("an import that was left alone has been dropped: nothing of it was stored");
        }
    }

    fn take(&self, which: Which<'_>, now: Duration) -> Result<Open, ImportError> {
        let mut open = self.lock();
        find(&mut open, which, now)?;
        open.take().ok_or(ImportError::Gone)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find<'a>(
    open: &'a mut Option<Open>,
    which: Which<'_>,
    now: Duration,
) -> Result<&'a mut Open, ImportError> {
    open.as_mut()
        .filter(|open| open.id == which.id && open.owner == which.owner && !open.is_left_alone(now))
        .ok_or(ImportError::Gone)
}

impl Open {
    fn is_left_alone(&self, now: Duration) -> bool {
        now.saturating_sub(self.touched) >= LEFT_ALONE_MAX
    }

    fn stage(&mut self, token: NewHardware) -> Result<(), String> {
        if self.staged.len() >= IMPORT_TOKENS_MAX {
            return Err(format!("an import has at most {IMPORT_TOKENS_MAX} tokens: split the file"));
        }
        if !self.serials.insert(token.serial.as_str().into()) {
            return Err("an earlier row has this serial number already".into());
        }
        self.staged.push(token);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::row::tests::row;
    use super::*;
    use crate::accounts::Accounts;
    use crate::keys::{IndexHasher, MasterKey};

    const NOW: Duration = Duration::from_secs(1_000);

    fn accounts() -> Accounts {
        Accounts::new(IndexHasher::new(&MasterKey::generate().unwrap(), "test"))
    }

    fn begun() -> (Imports, String) {
        let imports = Imports::default();
        let id = imports.begin(CallerId::Account(0), SerialFormat::Any, NOW).unwrap();
        (imports, id)
    }

    fn whose(id: &str, owner: CallerId) -> Which<'_> {
        Which { id, owner }
    }

    // covers: A1, A18
    #[test]
    fn rows_of_many_requests_come_out_together() {
        let (imports, id) = begun();
        let which = whose(&id, CallerId::Account(0));
        assert_eq!(imports.add(which, vec![row("A1"), row("A2")], &accounts(), NOW).unwrap().staged, 2);
        let check = imports.add(which, vec![row("A3")], &accounts(), NOW).unwrap();
        assert_eq!((check.faults, check.staged), (Vec::new(), 3));
        let serials: Vec<_> =
            imports.finish(which, NOW).unwrap().into_iter().map(|token| token.serial).collect();
        assert_eq!(serials, ["A1", "A2", "A3"]);
        assert!(matches!(imports.finish(which, NOW), Err(ImportError::Gone)));
    }

    // covers: A1, A18
    #[test]
    fn one_faulty_row_keeps_all_out() {
        let (imports, id) = begun();
        let which = whose(&id, CallerId::Account(0));
        let short = ImportRow { row: 7, secret: "00".into(), ..row("A2") };
        let check = imports.add(which, vec![row("A1"), short, row("A1")], &accounts(), NOW).unwrap();
        let told: Vec<_> = check.faults.iter().map(|fault| (fault.row, fault.serial.as_str())).collect();
        assert_eq!((told, check.staged), (vec![(7, "A2"), (2, "A1")], 1));
        assert!(check.faults[1].reason.contains("an earlier row"));
        let error = imports.finish(which, NOW).unwrap_err().to_string();
        assert!(error.starts_with("2 rows are faulty"), "{error}");
        imports.begin(CallerId::Account(0), SerialFormat::Any, NOW).unwrap();
    }

    // covers: A1
    #[test]
    fn there_is_one_import_at_a_time_and_it_is_its_owners() {
        let (imports, id) = begun();
        let late = NOW + LEFT_ALONE_MAX;
        let just_before = late - Duration::from_millis(1);
        assert!(matches!(
            imports.begin(CallerId::Account(0), SerialFormat::Any, just_before),
            Err(ImportError::Busy)
        ));
        assert!(matches!(
            imports.add(whose(&id, CallerId::Account(501)), Vec::new(), &accounts(), NOW),
            Err(ImportError::Gone)
        ));
        assert!(matches!(imports.abandon(whose("0", CallerId::Account(0)), NOW), Err(ImportError::Gone)));
        imports.add(whose(&id, CallerId::Account(0)), vec![row("A1")], &accounts(), just_before).unwrap();
        assert!(matches!(
            imports.begin(CallerId::Account(0), SerialFormat::Any, late),
            Err(ImportError::Busy)
        ));
        imports.abandon(whose(&id, CallerId::Account(0)), late).unwrap();
        imports.begin(CallerId::Account(501), SerialFormat::Any, late).unwrap();
    }

    // covers: A1
    #[test]
    fn an_import_that_is_left_alone_is_gone() {
        let (imports, id) = begun();
        let late = NOW + LEFT_ALONE_MAX;
        imports.add(whose(&id, CallerId::Account(0)), vec![row("A1")], &accounts(), NOW).unwrap();
        assert!(matches!(imports.finish(whose(&id, CallerId::Account(0)), late), Err(ImportError::Gone)));
        imports.sweep(late - Duration::from_millis(1));
        assert!(imports.lock().is_some());
        imports.sweep(late);
        assert!(imports.lock().is_none());
    }
}
