use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;
use zeroize::Zeroizing;

use super::super::moment::moment;
use super::*;

/// The folders of a host.
pub struct Host {
    _room: TempDir,
    pub places: Places,
}

impl Host {
    pub fn new() -> Self {
        let room = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = room.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            path
        };
        let places = Places { folder: folder("offline"), elsewhere: folder("agent"), run: folder("run") };
        Self { _room: room, places }
    }

    pub fn begin(&self) -> Store {
        Store::begin(self.places.clone(), key(1), 1, latest()).unwrap()
    }

    pub fn open(&self) -> Result<Store, StoreError> {
        Store::open(self.places.clone(), key(1), 1)
    }

    fn state(&self) -> PathBuf {
        self.places.folder.join(FILE)
    }

    fn note(&self, folder: &Path) -> PathBuf {
        folder.join(NOTE)
    }
}

pub fn latest() -> Latest {
    Latest::new(1_000, &moment(990, "a", 0))
}

pub fn key(number: u8) -> HostKey {
    HostKey::new(Zeroizing::new([number; 32]))
}

/// Puts a file there, as the service would.
fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn with_used(store: &Store, counter: u64) -> Kept {
    Kept { redeemed: store.kept().redeemed.with(counter), ..store.kept().clone() }
}

// covers: D02
#[test]
fn what_was_kept_is_there_after_a_restart_of_the_service_and_of_the_machine() {
    let host = Host::new();
    let mut store = host.begin();
    store.commit(with_used(&store, 3)).unwrap();
    let kept = store.kept().clone();
    assert_eq!((kept.generation, &kept.latest), (2, &latest()));
    assert_eq!(host.open().unwrap().kept(), &kept);
    fs::remove_file(host.note(&host.places.run)).unwrap();
    assert_eq!(host.open().unwrap().kept(), &kept);
}

// covers: D02, D15
#[test]
fn an_older_or_missing_record_opens_nothing_until_there_is_another_key() {
    let host = Host::new();
    let mut store = host.begin();
    let older = fs::read(host.state()).unwrap();
    let older_note = fs::read(host.note(&host.places.elsewhere)).unwrap();
    store.commit(with_used(&store, 3)).unwrap();
    let newer = fs::read(host.state()).unwrap();

    put(&host.state(), &older);
    let error = host.open().unwrap_err();
    assert!(matches!(error, StoreError::Older { found: 1, known: 2, .. }), "{error}");
    assert!(error.to_string().contains("until it has reached a verifier"), "{error}");
    // Both folders put back: the machine remembers. A machine that was started anew does not.
    put(&host.note(&host.places.elsewhere), &older_note);
    assert!(matches!(host.open(), Err(StoreError::Older { .. })));

    put(&host.state(), &newer);
    assert!(host.open().is_ok(), "newer than the notes: a crash between them");
    fs::remove_file(host.note(&host.places.elsewhere)).unwrap();
    assert!(matches!(host.open(), Err(StoreError::Missing { .. })), "the note");
    put(&host.note(&host.places.elsewhere), &older_note);
    fs::remove_file(host.state()).unwrap();
    assert!(matches!(host.open(), Err(StoreError::Missing { .. })), "the record");

    let begin = |number: u8, epoch| Store::begin(host.places.clone(), key(number), epoch, latest());
    assert!(matches!(begin(1, 1), Err(StoreError::FormerKey { epoch: 1, known: 1 })));
    assert_eq!(begin(2, 2).unwrap().kept().redeemed, Default::default());
    put(&host.state(), &newer);
    let under_the_new_key = Store::open(host.places.clone(), key(2), 2);
    assert!(matches!(under_the_new_key, Err(StoreError::Damaged { .. })));
}

// covers: D15
#[test]
fn whatever_lies_where_the_record_was_opens_nothing() {
    let host = Host::new();
    host.begin();
    let right = fs::read(host.state()).unwrap();
    let note = host.note(&host.places.elsewhere);
    for bytes in [&[][..], b"\n", &[0; 400], &right[1..], &right[..right.len() - 1]] {
        put(&host.state(), bytes);
        assert!(matches!(host.open(), Err(StoreError::Damaged { .. })), "{bytes:?}");
    }
    put(&host.state(), &right);
    let right_note = fs::read(&note).unwrap();
    for bytes in [&[][..], b"1", b"1 1", b"1 x\n", b"-1 1\n", b"1 99999999999999999999\n", &[0xff; 9]] {
        put(&note, bytes);
        assert!(matches!(host.open(), Err(StoreError::Damaged { .. })), "{bytes:?}");
    }
    put(&note, &right_note);
    assert!(host.open().is_ok());

    fs::set_permissions(host.state(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(host.open(), Err(StoreError::Read(_))), "others may read it");
    fs::remove_file(host.state()).unwrap();
    fs::create_dir(host.state()).unwrap();
    assert!(matches!(host.open(), Err(StoreError::Read(_))), "a folder");
    fs::remove_dir(host.state()).unwrap();
    std::os::unix::fs::symlink("/dev/null", host.state()).unwrap();
    assert!(matches!(host.open(), Err(StoreError::Read(_))), "a link");
}

// covers: D02
#[test]
fn a_change_that_cannot_be_kept_is_none_and_nothing_else_is_decided() {
    let host = Host::new();
    let mut store = host.begin();
    for folder in [&host.places.folder, &host.places.elsewhere, &host.places.run] {
        let name = if *folder == host.places.folder { FILE_BESIDE } else { NOTE_BESIDE };
        let in_the_way = folder.join(name);
        fs::create_dir(&in_the_way).unwrap();
        let before = store.kept().clone();
        let error = store.commit(with_used(&store, 3)).unwrap_err();
        assert!(matches!(error, StoreError::Write { .. }), "{error}");
        assert_eq!(store.kept(), &before);
        fs::remove_dir(&in_the_way).unwrap();
        assert!(
            matches!(store.commit(with_used(&store, 4)), Err(StoreError::Unknown)),
            "also when there is room"
        );
        store = host.open().unwrap();
    }
    assert!(store.kept().redeemed.is_used(3), "it came to disk before its note could not");
}

// covers: D15
#[test]
fn another_key_mends_whatever_is_damaged() {
    let host = Host::new();
    host.begin();
    put(&host.state(), b"x");
    put(&host.note(&host.places.elsewhere), b"x");
    assert!(host.open().is_err());
    let begun = Store::begin(host.places.clone(), key(2), 2, latest()).unwrap();
    assert_eq!(Store::open(host.places.clone(), key(2), 2).unwrap().kept(), begun.kept());
}
