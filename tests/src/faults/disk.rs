//! What a folder may hold after the power went: everything that was made durable, and any part of the rest.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::recording::{Call, Did, Recording};
use crate::chance::Chance;

/// The files of a folder, by name, with their content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Folder {
    /// Reads the files of a folder; what is no file is left out, such as sockets.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.insert(entry.file_name().into(), fs::read(entry.path())?);
            }
        }
        Ok(Self { files })
    }

    /// Makes a folder hold these files and no others, for its owner alone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(path)? {
            fs::remove_file(entry?.path())?;
        }
        for (name, bytes) in &self.files {
            fs::write(path.join(name), bytes)?;
            fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o600))?;
        }
        Ok(())
    }

    /// A file's content.
    pub fn get(&self, name: &str) -> Option<&Vec<u8>> {
        self.files.get(Path::new(name))
    }

    /// Puts a file in.
    pub fn put(&mut self, name: &str, bytes: Vec<u8>) {
        self.files.insert(name.into(), bytes);
    }
}

/// Sizes in which a disk loses or keeps what it was not yet told to keep: a page of the kernel, a sector.
const UNITS: [usize; 2] = [4_096, 512];

/// In how many of a hundred losses the names that were not yet made durable are lost too.
const NAMES_LOST_PERCENT: usize = 30;

/// What a folder may hold when power goes at a moment of a recording.
///
/// What was made durable is there. Of the rest, by chance: all; nothing; a first part, cut off anywhere; or any
/// mixture of old and new, page by page or sector by sector, in whatever order. A file's length is one that it had
/// since it was last made durable. New names, renames and removals not yet made durable happened, or in 30 of 100
/// losses happened only up to some point.
///
/// * `before`: what the folder held when the recording began, all durable.
/// * `moment`: less than [`Recording::moments`].
pub fn power_loss(before: &Folder, recording: &Recording, moment: usize, chance: &mut Chance) -> Folder {
    let mut disk = Disk::new(before);
    // What happened in the order of its beginnings; what is durable, only once the call has returned.
    for call in recording.calls.iter().take_while(|call| call.begun < moment) {
        disk.take(call, moment);
    }
    disk.lose_power(chance)
}

/// Files by number, as the file system has them: names come and go.
struct Disk {
    files: Vec<File>,
    /// Names that are durable.
    kept: BTreeMap<PathBuf, usize>,
    /// Names as the program sees them.
    seen: BTreeMap<PathBuf, usize>,
    /// What happened to names since they were made durable.
    renamings: Vec<(usize, Renaming)>,
}

#[derive(Clone)]
enum Renaming {
    Add(PathBuf, usize),
    Move(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Clone, Default)]
struct File {
    /// Content that is durable.
    kept: Vec<u8>,
    /// Changes since, in order, each with the line on which its call returned.
    changes: Vec<(usize, Change)>,
    /// How long the program sees it.
    length: u64,
}

#[derive(Clone)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    SetLength(u64),
}

impl Disk {
    fn new(before: &Folder) -> Self {
        let file =
            |bytes: &Vec<u8>| File { kept: bytes.clone(), changes: Vec::new(), length: bytes.len() as u64 };
        let kept: BTreeMap<PathBuf, usize> = before.files.keys().cloned().zip(0..).collect();
        Self {
            files: before.files.values().map(file).collect(),
            seen: kept.clone(),
            kept,
            renamings: Vec::new(),
        }
    }

    fn take(&mut self, call: &Call, moment: usize) {
        match &call.did {
            Did::Open { path, makes, empties } => {
                if !self.seen.contains_key(path) && *makes {
                    self.files.push(File::default());
                    self.rename(call.ended, Renaming::Add(path.clone(), self.files.len() - 1));
                } else if *empties {
                    self.change(path, call.ended, Change::SetLength(0));
                }
            }
            Did::Write { path, at, bytes } => {
                let end = self.seen.get(path).map_or(0, |number| self.files[*number].length);
                let change = Change::Write { at: at.unwrap_or(end), bytes: bytes.clone() };
                self.change(path, call.ended, change);
            }
            Did::SetLength { path, length } => self.change(path, call.ended, Change::SetLength(*length)),
            Did::Sync { path } if call.ended < moment => self.sync(path, call.begun),
            Did::Rename { from, to } => {
                self.rename(call.ended, Renaming::Move(from.clone(), to.clone()));
            }
            Did::Remove { path } => self.rename(call.ended, Renaming::Remove(path.clone())),
            Did::Sync { .. } | Did::Say { .. } => {}
        }
    }

    fn change(&mut self, path: &Path, ended: usize, change: Change) {
        // What was removed is nobody's content.
        let Some(number) = self.seen.get(path) else { return };
        let file = &mut self.files[*number];
        file.length = match &change {
            Change::Write { at, bytes } => file.length.max(at + bytes.len() as u64),
            Change::SetLength(length) => *length,
        };
        file.changes.push((ended, change));
    }

    fn rename(&mut self, ended: usize, renaming: Renaming) {
        apply(&mut self.seen, &renaming);
        self.renamings.push((ended, renaming));
    }

    /// A sync that began on line `begun` covers what had returned by then.
    fn sync(&mut self, path: &Path, begun: usize) {
        if path.as_os_str().is_empty() {
            let covered = self.renamings.iter().take_while(|(ended, _)| *ended <= begun).count();
            for (_, renaming) in self.renamings.drain(..covered) {
                apply(&mut self.kept, &renaming);
            }
        } else if let Some(number) = self.seen.get(path) {
            let file = &mut self.files[*number];
            let covered = file.changes.iter().take_while(|(ended, _)| *ended <= begun).count();
            for (_, change) in file.changes.drain(..covered) {
                make(&mut file.kept, &change);
            }
        }
    }

    fn lose_power(mut self, chance: &mut Chance) -> Folder {
        let mut happened = self.renamings.len();
        if chance.percent(NAMES_LOST_PERCENT) {
            happened = chance.below(happened + 1);
        }
        for (_, renaming) in &self.renamings[..happened] {
            apply(&mut self.kept, renaming);
        }
        let fates: Vec<Vec<u8>> = self.files.into_iter().map(|file| file.lose_power(chance)).collect();
        Folder { files: self.kept.into_iter().map(|(name, number)| (name, fates[number].clone())).collect() }
    }
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, renaming: &Renaming) {
    match renaming {
        Renaming::Add(path, number) => drop(names.insert(path.clone(), *number)),
        Renaming::Remove(path) => drop(names.remove(path)),
        Renaming::Move(from, to) => {
            if let Some(number) = names.remove(from) {
                names.insert(to.clone(), number);
            }
        }
    }
}

impl File {
    fn lose_power(self, chance: &mut Chance) -> Vec<u8> {
        let mut content = self.kept.clone();
        let count = self.changes.len();
        match chance.below(5) {
            0 => self.changes.iter().for_each(|(_, change)| make(&mut content, change)),
            1 => {}
            2 => {
                let cut = chance.below(count + 1);
                self.changes[..cut].iter().for_each(|(_, change)| make(&mut content, change));
                if let Some((_, Change::Write { at, bytes })) = self.changes.get(cut) {
                    let bytes = bytes[..chance.below(bytes.len() + 1)].to_vec();
                    make(&mut content, &Change::Write { at: *at, bytes });
                }
            }
            kind => {
                // Each unit shows the file as it was after some of the changes, whichever.
                let unit = UNITS[kind - 3];
                let length = self.length_by_chance(content.len(), chance);
                let mut shown: HashMap<u64, usize> = HashMap::new();
                for (index, (_, change)) in self.changes.iter().enumerate() {
                    for (number, part) in parts(change, unit as u64) {
                        if index < *shown.entry(number).or_insert_with(|| chance.below(count + 1)) {
                            make(&mut content, &part);
                        }
                    }
                }
                content.resize(length, 0);
            }
        }
        content
    }

    /// One of the lengths that the file had since it was made durable.
    fn length_by_chance(&self, kept: usize, chance: &mut Chance) -> usize {
        let mut lengths = vec![kept];
        for (_, change) in &self.changes {
            let before = lengths[lengths.len() - 1];
            lengths.push(match change {
                Change::Write { at, bytes } => before.max(*at as usize + bytes.len()),
                Change::SetLength(length) => *length as usize,
            });
        }
        lengths[chance.below(lengths.len())]
    }
}

/// A write in pieces that each lie in one unit, with the unit's number. Lengths are settled apart.
fn parts(change: &Change, unit: u64) -> Vec<(u64, Change)> {
    let Change::Write { at, bytes } = change else { return Vec::new() };
    let mut parts = Vec::new();
    let mut done = 0;
    while done < bytes.len() {
        let at = at + done as u64;
        let room = (unit - at % unit) as usize;
        let end = bytes.len().min(done + room);
        parts.push((at / unit, Change::Write { at, bytes: bytes[done..end].to_vec() }));
        done = end;
    }
    parts
}

fn make(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::SetLength(length) => content.resize(*length as usize, 0),
        Change::Write { at, bytes } => {
            let (at, end) = (*at as usize, *at as usize + bytes.len());
            if content.len() < end {
                content.resize(end, 0);
            }
            content[at..end].copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests;
