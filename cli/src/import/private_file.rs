//! Files that hold a key, a passphrase or a secret: read only when nobody but their owner can.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::failure::Failure;

/// Largest such file, in bytes: one line.
const BYTES_MAX: usize = 4_096;

/// The first line of the file, without its end.
///
/// # Errors
/// When it cannot be read, is open to others than its owner, is too large, or holds no line of UTF-8.
pub fn first_line(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let fault = |source| Failure::ReadFile { path: path.into(), source };
    let unfit = |problem: String| Failure::UnfitFile { path: path.into(), problem };
    let file = File::open(path).map_err(fault)?;
    // Of the file that is open, not of what has that name by now.
    let mode = file.metadata().map_err(fault)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(unfit(format!("is open to others than its owner (mode {mode:03o}): chmod 600")));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES_MAX + 1));
    file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() > BYTES_MAX {
        return Err(unfit(format!("is larger than {BYTES_MAX} bytes: it holds one line")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| unfit("is not UTF-8".to_owned()))?;
    match text.lines().next() {
        Some(line) if !line.trim().is_empty() => Ok(Zeroizing::new(line.to_owned())),
        _ => Err(unfit("is empty: it holds one line".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], mode: u32) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("write");
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).expect("chmod");
        let name = file.path().display().to_string();
        first_line(file.path())
            .map(|line| line.to_string())
            .map_err(|failure| failure.to_string().replace(&name, "F"))
    }

    #[test]
    fn the_first_line_is_read_without_its_end() {
        assert_eq!(check(b"a b \r\nsecond\n", 0o600), Ok("a b ".to_owned()));
        assert_eq!(check(b"abc", 0o400), Ok("abc".to_owned()));
    }

    #[test]
    fn a_file_that_others_can_open_is_refused() {
        for mode in [0o604, 0o640, 0o602, 0o644] {
            let expected = format!("F is open to others than its owner (mode {mode:o}): chmod 600");
            assert_eq!(check(b"abc\n", mode), Err(expected));
        }
    }

    #[test]
    fn a_file_without_one_line_of_text_is_refused() {
        assert_eq!(check(b"\n", 0o600), Err("F is empty: it holds one line".to_owned()));
        assert_eq!(check(b"\xff\n", 0o600), Err("F is not UTF-8".to_owned()));
        let large = vec![b'1'; BYTES_MAX + 1];
        assert_eq!(check(&large, 0o600), Err("F is larger than 4096 bytes: it holds one line".to_owned()));
    }
}
