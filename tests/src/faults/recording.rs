//! What a program did to the files of a folder, read from what strace wrote down.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The system calls that are recorded: those that change files, those that make the changes durable, and those that
/// tell somebody something.
pub const TRACED: &str = "openat,pwrite64,write,pwritev,pwritev2,writev,lseek,fsync,fdatasync,sync_file_range,\
                          ftruncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,sendto,sendmsg";

/// The calls of one run, in the order in which they began.
#[derive(Clone, Debug)]
pub struct Recording {
    pub(super) calls: Vec<Call>,
    lines: usize,
}

/// A system call that succeeded, or was still going on at the end.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The line on which it began, and the one on which it ended.
    pub(super) begun: usize,
    pub(super) ended: usize,
    pub(super) did: Did,
}

/// What a call did. Paths are relative to the recorded folder.
#[derive(Clone, Debug)]
pub(super) enum Did {
    /// Opened a file; makes it where it is missing.
    Open { path: PathBuf, makes: bool, empties: bool },
    /// Wrote, at an offset or at the end.
    Write { path: PathBuf, at: Option<u64>, bytes: Vec<u8> },
    /// Set the length.
    SetLength { path: PathBuf, length: u64 },
    /// Made a file's content durable, or a folder's names.
    Sync { path: PathBuf },
    /// Gave a file another name, in place of whatever had it.
    Rename { from: PathBuf, to: PathBuf },
    /// Took a name away.
    Remove { path: PathBuf },
    /// Told something outside the folder: a socket, a terminal, a pipe.
    Say { bytes: Vec<u8> },
}

impl Recording {
    /// A command that records a program into a file.
    pub fn command(trace: &Path, program: impl AsRef<OsStr>) -> Command {
        let mut strace = Command::new("strace");
        // Only the calls that are recorded stop the program.
        strace.args([
            "-f",
            "--seccomp-bpf",
            "-y",
            "-xx",
            "-s",
            "100000000",
            "-e",
            &format!("trace={TRACED}"),
            "-o",
        ]);
        strace.arg(trace).arg(program);
        strace
    }

    /// Reads a file of strace.
    ///
    /// * `folder`: what happens elsewhere is not looked at.
    ///
    /// # Panics
    /// When the file cannot be read, or holds a call that this does not understand: a recording with a hole proves
    /// nothing.
    pub fn read(trace: &Path, folder: &Path) -> Self {
        let text =
            std::fs::read_to_string(trace).unwrap_or_else(|error| panic!("{}: {error}", trace.display()));
        let mut reader = Reader { folder, offsets: HashMap::new(), calls: Vec::new() };
        let mut open: HashMap<&str, (usize, &str)> = HashMap::new();
        let mut lines = 0;
        for (number, line) in text.lines().enumerate() {
            lines = number + 1;
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            let rest = rest.trim_start();
            if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
                open.insert(thread, (number, start));
            } else if let Some((_, end)) =
                rest.strip_prefix("<... ").and_then(|it| it.split_once(" resumed>"))
            {
                let (begun, start) = open.remove(thread).unwrap_or((number, ""));
                reader.take(&format!("{start}{end}"), begun, number);
            } else {
                reader.take(rest, number, number);
            }
        }
        // Calls that never returned may have had their effect.
        for (begun, start) in open.into_values() {
            reader.take(&format!("{start}) = ?"), begun, lines);
        }
        let mut calls = reader.calls;
        calls.sort_by_key(|call| call.begun);
        Self { calls, lines }
    }

    /// How many moments there are at which power may go: before each line, and after the last.
    pub fn moments(&self) -> usize {
        self.lines + 1
    }

    /// What had been told, or was being told, when a moment came.
    pub fn said_before(&self, moment: usize) -> impl Iterator<Item = &[u8]> {
        self.calls.iter().filter(move |call| call.begun < moment).filter_map(|call| match &call.did {
            Did::Say { bytes } => Some(bytes.as_slice()),
            _ => None,
        })
    }

    /// How many times content or names were made durable.
    pub fn syncs(&self) -> usize {
        self.calls.iter().filter(|call| matches!(call.did, Did::Sync { .. })).count()
    }

    /// The same run by a program that never makes anything durable: what a harness must tell from the real one.
    #[must_use]
    pub fn without_syncs(mut self) -> Self {
        self.calls.retain(|call| !matches!(call.did, Did::Sync { .. }));
        self
    }
}

struct Reader<'a> {
    folder: &'a Path,
    /// Where the next `write` to a descriptor goes; none for one that appends.
    offsets: HashMap<u32, Descriptor>,
    calls: Vec<Call>,
}

#[derive(Clone, Copy)]
struct Descriptor {
    next: Option<u64>,
    is_durable: bool,
}

impl Reader<'_> {
    fn take(&mut self, line: &str, begun: usize, ended: usize) {
        let Some((name, rest)) = line.split_once('(') else { return };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { return };
        let returned = result.split([' ', '<']).next().and_then(|number| number.parse::<i64>().ok());
        // Whoever never heard of the end may still have done all of it.
        let returned = returned.unwrap_or(i64::MAX);
        if returned < 0 {
            return;
        }
        let arguments = Arguments::split(arguments.trim_end().trim_end_matches(')'));
        let did = match name {
            "openat" => self.open(&arguments, returned),
            "lseek" => self.seek(&arguments, returned),
            "pwrite64" | "write" | "pwritev" | "writev" | "sendto" | "sendmsg" => {
                self.write(name, &arguments, returned, begun, ended)
            }
            "fsync" | "fdatasync" => self.inside(&arguments.path(0)).map(|path| Did::Sync { path }),
            // It makes nothing durable: neither names nor lengths, nor the device's own cache.
            "sync_file_range" => None,
            "ftruncate" => {
                let length = arguments.number(1);
                self.inside(&arguments.path(0)).map(|path| Did::SetLength { path, length })
            }
            // Room that is set aside changes no content that anybody reads.
            "fallocate" => None,
            "rename" => self.rename(&arguments.text(0), &arguments.text(1)),
            "renameat" | "renameat2" => self.rename(&arguments.path_at(0), &arguments.path_at(2)),
            "unlink" => self.inside(&arguments.text(0)).map(|path| Did::Remove { path }),
            "unlinkat" => self.inside(&arguments.path_at(0)).map(|path| Did::Remove { path }),
            _ => panic!("{name} is not understood"),
        };
        self.calls.extend(did.map(|did| Call { begun, ended, did }));
    }

    fn inside(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(self.folder).ok().map(Path::to_owned)
    }

    fn open(&mut self, arguments: &Arguments<'_>, descriptor: i64) -> Option<Did> {
        let flags: Vec<&str> = arguments.0[2].split('|').collect();
        let has = |flag| flags.contains(&flag);
        let next = (!has("O_APPEND")).then_some(0);
        let is_durable = has("O_DSYNC") || has("O_SYNC");
        self.offsets.insert(u32::try_from(descriptor).ok()?, Descriptor { next, is_durable });
        let path = self.inside(&arguments.path_at(0))?;
        Some(Did::Open { path, makes: has("O_CREAT"), empties: has("O_TRUNC") })
    }

    fn seek(&mut self, arguments: &Arguments<'_>, returned: i64) -> Option<Did> {
        let descriptor = self.offsets.get_mut(&arguments.descriptor(0)?)?;
        descriptor.next = descriptor.next.and(u64::try_from(returned).ok());
        None
    }

    fn write(
        &mut self,
        name: &str,
        arguments: &Arguments<'_>,
        returned: i64,
        begun: usize,
        ended: usize,
    ) -> Option<Did> {
        let mut bytes = arguments.all_bytes();
        bytes.truncate(usize::try_from(returned).unwrap_or(usize::MAX));
        let Some(path) = self.inside(&arguments.path(0)) else { return Some(Did::Say { bytes }) };
        let descriptor = arguments.descriptor(0).and_then(|number| self.offsets.get_mut(&number));
        let is_durable = descriptor.as_ref().is_some_and(|it| it.is_durable);
        let at = match (name, descriptor) {
            ("pwrite64", _) => Some(arguments.number(3)),
            ("pwritev", _) => Some(arguments.number(arguments.0.len() - 1)),
            (_, Some(descriptor)) => {
                let at = descriptor.next;
                descriptor.next = at.map(|at| at + bytes.len() as u64);
                at
            }
            (_, None) => panic!("{name} to {} through an unknown descriptor", path.display()),
        };
        self.calls.push(Call { begun, ended, did: Did::Write { path: path.clone(), at, bytes } });
        if is_durable {
            self.calls.push(Call { begun: ended, ended, did: Did::Sync { path } });
        }
        None
    }

    fn rename(&self, from: &Path, to: &Path) -> Option<Did> {
        Some(Did::Rename { from: self.inside(from)?, to: self.inside(to)? })
    }
}

/// The arguments of a call, as strace writes them. With `-xx` no text in them holds a comma.
struct Arguments<'a>(Vec<&'a str>);

impl<'a> Arguments<'a> {
    fn split(text: &'a str) -> Self {
        // An iovec holds commas: it becomes several, and what stands after it is counted from the end.
        Self(text.split(", ").collect())
    }

    fn descriptor(&self, index: usize) -> Option<u32> {
        self.0[index].split('<').next()?.parse().ok()
    }

    /// The path behind a descriptor: `3</var/lib/postern/store>`.
    fn path(&self, index: usize) -> PathBuf {
        let path = self.0[index].split_once('<').map_or("", |(_, rest)| rest.trim_end_matches('>'));
        path_of(unescape(path))
    }

    fn text(&self, index: usize) -> PathBuf {
        path_of(unescape(self.0[index].trim_matches('"')))
    }

    /// A folder's descriptor and a name in it.
    fn path_at(&self, index: usize) -> PathBuf {
        self.path(index).join(self.text(index + 1))
    }

    fn number(&self, index: usize) -> u64 {
        let text = self.0[index];
        text.parse().unwrap_or_else(|_| panic!("{text} is no number in a call"))
    }

    /// All bytes in quotes: one buffer, or the parts of an iovec.
    fn all_bytes(&self) -> Vec<u8> {
        let quoted = self.0.iter().filter_map(|argument| {
            let (_, rest) = argument.split_once('"')?;
            rest.split_once('"').map(|(bytes, _)| bytes)
        });
        quoted.flat_map(unescape).collect()
    }
}

fn path_of(bytes: Vec<u8>) -> PathBuf {
    std::ffi::OsString::from_vec(bytes).into()
}

/// `\x2f\x74` and plain text.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if let [b'\\', b'x', high, low, after @ ..] = rest {
            bytes.push((digit(*high) << 4) | digit(*low));
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}

fn digit(character: u8) -> u8 {
    match character {
        b'0'..=b'9' => character - b'0',
        b'a'..=b'f' => character - b'a' + 10,
        _ => panic!("strace wrote {:?} for a digit", char::from(character)),
    }
}
