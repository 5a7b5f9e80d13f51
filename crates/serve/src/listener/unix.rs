//! A listening socket that says who called, and that comes back when somebody removes it.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UnixStream;

use super::{ListenError, widen_queue};
use crate::tally::Tally;

/// Whom a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Root only.
    Root,
    /// Every account of the machine.
    Everybody,
}

impl Audience {
    /// The socket's mode.
    fn mode(self) -> u32 {
        match self {
            Self::Root => 0o600,
            Self::Everybody => 0o666,
        }
    }

    /// Whether a caller is answered, whatever the socket's mode is.
    fn admits(self, uid: u32) -> bool {
        match self {
            Self::Root => uid == 0,
            Self::Everybody => true,
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    path: PathBuf,
    audience: Audience,
    inner: UnixListener,
    /// Whether we made the file, and so look after it. systemd looks after its own.
    ours: AtomicBool,
    tally: Arc<Tally>,
}

impl Listener {
    /// Listens at a path: makes its directory (0755) and the socket (0600 or 0666), and removes a socket that
    /// nobody answers any more.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn bind(path: &Path, audience: Audience) -> Result<Self, ListenError> {
        let inner = bind(path, audience.mode())?;
        Self::wrap(path, audience, inner, true)
    }

    /// Takes over a socket that systemd opened.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn inherited(path: &Path, audience: Audience, inner: UnixListener) -> Result<Self, ListenError> {
        Self::wrap(path, audience, inner, false)
    }

    fn wrap(path: &Path, audience: Audience, inner: UnixListener, ours: bool) -> Result<Self, ListenError> {
        inner
            .set_nonblocking(true)
            .and_then(|()| widen_queue(&inner))
            .map_err(|source| ListenError::System { place: path.display().to_string(), source })?;
        Ok(Self { path: path.into(), audience, inner, ours: AtomicBool::new(ours), tally: Arc::default() })
    }

    pub(super) fn place(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    pub(super) fn duplicate(&self) -> io::Result<UnixListener> {
        self.inner.try_clone()
    }

    /// The kernel says who called: the uid in our user namespace, whatever the caller claims to be. `None` when he
    /// is not of the audience.
    pub(super) fn admit(&self, stream: &UnixStream) -> Option<u32> {
        match stream.peer_cred() {
            Ok(peer) if self.audience.admits(peer.uid()) => Some(peer.uid()),
            Ok(peer) => {
                tracing::warn!(uid = peer.uid(), path = %self.path.display(), "refused a caller that is not root");
                None
            }
            Err(error) => {
                tracing::warn!(%error, "refused a caller the kernel does not name");
                None
            }
        }
    }

    /// A socket at the same path, where somebody removed ours.
    pub(super) fn renewed(&self) -> Option<Self> {
        let is_there = std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.file_type().is_socket());
        if !self.ours.load(Ordering::Relaxed) || is_there {
            return None;
        }
        match Self::bind(&self.path, self.audience) {
            Ok(mut renewed) => {
                renewed.tally = Arc::clone(&self.tally);
                Some(renewed)
            }
            Err(error) => {
                tracing::error!(%error, "the socket has been removed and cannot be made anew");
                None
            }
        }
    }

    /// The file at the path is another socket's: this one must not remove it.
    pub(super) fn disown(&self) {
        self.ours.store(false, Ordering::Relaxed);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.ours.load(Ordering::Relaxed) {
            // Only tidiness: the next start removes what is left.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn bind(path: &Path, mode: u32) -> Result<UnixListener, ListenError> {
    let system = |source| ListenError::System { place: path.display().to_string(), source };
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        std::fs::create_dir_all(directory).map_err(system)?;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).map_err(system)?;
    }
    clear(path)?;
    // The process's umask (see `run`) keeps others out between these two calls.
    let bound = UnixListener::bind(path).map_err(system)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(system)?;
    Ok(bound)
}

/// Removes a socket that nobody answers.
fn clear(path: &Path) -> Result<(), ListenError> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(ListenError::NotASocket { place: path.display().to_string() });
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(ListenError::InUse { place: path.display().to_string() });
    }
    let still_the_same = std::fs::symlink_metadata(path).is_ok_and(|now| now.ino() == found.ino());
    if still_the_same {
        std::fs::remove_file(path)
            .map_err(|source| ListenError::System { place: path.display().to_string(), source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: G10
    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/login.sock");
        let stale = bind(&path, 0o600).unwrap();
        assert!(matches!(Listener::bind(&path, Audience::Root), Err(ListenError::InUse { .. })));
        drop(stale);
        let fresh = Listener::bind(&path, Audience::Root).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o755);
        drop(fresh);
        assert!(!path.exists());
        std::fs::write(&path, "").unwrap();
        assert!(matches!(Listener::bind(&path, Audience::Root), Err(ListenError::NotASocket { .. })));
    }

    // covers: G10
    #[test]
    fn a_socket_that_was_removed_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/login.sock");
        let listener = Listener::bind(&path, Audience::Everybody).unwrap();
        std::fs::remove_dir_all(folder.path().join("run")).unwrap();
        let renewed = listener.renewed().unwrap();
        listener.disown();
        drop(listener);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o666);
        assert!(renewed.renewed().is_none(), "it is there");
    }

    // covers: I05
    #[test]
    fn nobody_but_root_is_admitted_where_only_root_is_expected() {
        for uid in [1, 33, 1000, 65_534, u32::MAX] {
            assert!(!Audience::Root.admits(uid) && Audience::Everybody.admits(uid));
        }
        assert!(Audience::Root.admits(0) && Audience::Everybody.admits(0));
    }
}
