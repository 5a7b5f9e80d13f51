//! Hand-written recordings, and everything that power may leave of them.

use std::collections::BTreeSet;

use super::*;

/// * `calls`: lines as strace writes them, without `-xx`, which only matters for odd bytes.
fn recording(calls: &str) -> Recording {
    let file = std::env::temp_dir().join(format!("recording-{}-{:p}", std::process::id(), calls));
    std::fs::write(&file, calls).expect("a temporary file");
    let read = Recording::read(&file, Path::new("/s"));
    std::fs::remove_file(file).expect("our own file");
    read
}

/// Every content of a file that 400 losses of power at a moment leave; `-` where there is none.
fn left(before: &[(&str, &str)], recording: &Recording, moment: usize, name: &str) -> BTreeSet<String> {
    let mut folder = Folder::default();
    before.iter().for_each(|(name, text)| folder.put(name, text.as_bytes().to_vec()));
    let mut chance = Chance::new(7);
    (0..400)
        .map(|_| {
            let after = power_loss(&folder, recording, moment, &mut chance);
            after.get(name).map_or("-".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
        })
        .collect()
}

#[track_caller]
fn check(left: &BTreeSet<String>, expected: &[&str]) {
    assert_eq!(left.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn what_was_synced_is_there_and_what_was_not_may_be() {
    let calls = "1 openat(AT_FDCWD</>, \"/s/a\", O_RDWR) = 3</s/a>\n\
                 1 pwrite64(3</s/a>, \"B\", 1, 0) = 1\n\
                 1 fdatasync(3</s/a>) = 0\n\
                 1 pwrite64(3</s/a>, \"C\", 1, 0) = 1\n";
    let recording = recording(calls);
    let before = [("a", "A")];
    check(&left(&before, &recording, 1, "a"), &["A"]);
    check(&left(&before, &recording, 2, "a"), &["A", "B"]);
    check(&left(&before, &recording, 3, "a"), &["B"]);
    check(&left(&before, &recording, 4, "a"), &["B", "C"]);
    let never = recording.without_syncs();
    check(&left(&before, &never, 4, "a"), &["A", "B", "C"]);
}

#[test]
fn a_sync_covers_only_what_had_returned_when_it_began() {
    let calls = "1 openat(AT_FDCWD</>, \"/s/a\", O_RDWR) = 3</s/a>\n\
                 2 fdatasync(3</s/a> <unfinished ...>\n\
                 1 pwrite64(3</s/a>, \"B\", 1, 0) = 1\n\
                 2 <... fdatasync resumed>) = 0\n";
    check(&left(&[("a", "A")], &recording(calls), 4, "a"), &["A", "B"]);
}

#[test]
fn a_sync_that_failed_or_is_still_going_on_keeps_nothing() {
    let calls = "1 openat(AT_FDCWD</>, \"/s/a\", O_RDWR) = 3</s/a>\n\
                 1 pwrite64(3</s/a>, \"B\", 1, 0) = 1\n\
                 1 fdatasync(3</s/a>) = -1 EIO (Input/output error)\n\
                 1 fdatasync(3</s/a> <unfinished ...>\n";
    let recording = recording(calls);
    for moment in [3, 4] {
        check(&left(&[("a", "A")], &recording, moment, "a"), &["A", "B"]);
    }
}

#[test]
fn later_writes_may_be_kept_without_earlier_ones() {
    let calls = "1 openat(AT_FDCWD</>, \"/s/a\", O_RDWR) = 3</s/a>\n\
                 1 pwrite64(3</s/a>, \"B\", 1, 0) = 1\n\
                 1 pwrite64(3</s/a>, \"D\", 1, 4096) = 1\n";
    let before = format!("A{}C", "x".repeat(4095));
    let left = left(&[("a", &before)], &recording(calls), 3, "a");
    let ends: BTreeSet<String> = left.iter().map(|text| format!("{}{}", &text[..1], &text[4096..])).collect();
    check(&ends, &["AC", "AD", "BC", "BD"]);
}

#[test]
fn a_name_is_durable_with_its_folder() {
    let calls = "1 openat(AT_FDCWD</>, \"/s/new\", O_WRONLY|O_CREAT|O_TRUNC, 0600) = 3</s/new>\n\
                 1 write(3</s/new>, \"N\", 1) = 1\n\
                 1 fsync(3</s/new>) = 0\n\
                 1 rename(\"/s/new\", \"/s/a\") = 0\n\
                 1 openat(AT_FDCWD</>, \"/s\", O_RDONLY|O_DIRECTORY) = 4</s>\n\
                 1 fsync(4</s>) = 0\n";
    let recording = recording(calls);
    check(&left(&[("a", "A")], &recording, 5, "a"), &["A", "N"]);
    check(&left(&[("a", "A")], &recording, 6, "a"), &["N"]);
    check(&left(&[("a", "A")], &recording, 6, "new"), &["-"]);
}

#[test]
fn what_was_told_is_known_from_its_beginning() {
    let calls = "1 write(1<pipe:[7]>, \"one\", 3) = 3\n1 sendto(9<socket:[8]>, \"two\", 3, 0, NULL, 0) = 3\n";
    let recording = recording(calls);
    let said = |moment| recording.said_before(moment).map(<[u8]>::to_vec).collect::<Vec<_>>().concat();
    assert_eq!((said(0), said(1), said(2)), (b"".to_vec(), b"one".to_vec(), b"onetwo".to_vec()));
}
