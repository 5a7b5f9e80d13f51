//! A listening socket that says who called, and that comes back when somebody removes it.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Interval, MissedTickBehavior};

/// How often the socket's file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long accepting pauses when the machine is out of descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Why a socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process answers there.
    #[error("another process answers at {path}: stop it, or name another socket")]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("{path} is not a socket: remove it, or name another path")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot listen at {path}")]
    System {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

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
    ours: bool,
    look: Interval,
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
    pub fn inherited(path: &Path, audience: Audience, inner: StdListener) -> Result<Self, ListenError> {
        Self::wrap(path, audience, inner, false)
    }

    fn wrap(path: &Path, audience: Audience, inner: StdListener, ours: bool) -> Result<Self, ListenError> {
        let inner = inner
            .set_nonblocking(true)
            .and_then(|()| UnixListener::from_std(inner))
            .map_err(|source| ListenError::System { path: path.into(), source })?;
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { path: path.into(), audience, inner, ours, look })
    }

    /// The next caller that is of the audience, and his uid. `None` when a caller was refused or none could be
    /// taken.
    pub async fn accept(&mut self) -> Option<(UnixStream, u32)> {
        tokio::select! {
            accepted = self.inner.accept() => match accepted {
                Ok((stream, _)) => self.admit(stream),
                Err(error) => {
                    tracing::warn!(%error, path = %self.path.display(), "cannot take a connection");
                    tokio::time::interval_at(tokio::time::Instant::now() + EXHAUSTED_PAUSE, EXHAUSTED_PAUSE).tick().await;
                    None
                }
            },
            _ = self.look.tick() => {
                self.look_after();
                None
            }
        }
    }

    /// The kernel says who called: the uid in our user namespace, whatever the caller claims to be.
    fn admit(&self, stream: UnixStream) -> Option<(UnixStream, u32)> {
        match stream.peer_cred() {
            Ok(peer) if self.audience.admits(peer.uid()) => Some((stream, peer.uid())),
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

    fn look_after(&mut self) {
        let is_there = std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.file_type().is_socket());
        if !self.ours || is_there {
            return;
        }
        match Self::bind(&self.path, self.audience) {
            Ok(new) => {
                tracing::warn!(path = %self.path.display(), "the socket had been removed: made anew");
                // The file at our path is the new socket's: the old one must not remove it.
                self.ours = false;
                *self = new;
            }
            Err(error) => tracing::error!(%error, "the socket has been removed and cannot be made anew"),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.ours {
            // Only tidiness: the next start removes what is left.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn bind(path: &Path, mode: u32) -> Result<StdListener, ListenError> {
    let system = |source| ListenError::System { path: path.into(), source };
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        std::fs::create_dir_all(directory).map_err(system)?;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).map_err(system)?;
    }
    clear(path)?;
    // The process's umask (see `run`) keeps others out between these two calls.
    let bound = StdListener::bind(path).map_err(system)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(system)?;
    Ok(bound)
}

/// Removes a socket that nobody answers.
fn clear(path: &Path) -> Result<(), ListenError> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(ListenError::NotASocket { path: path.into() });
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(ListenError::InUse { path: path.into() });
    }
    let still_the_same = std::fs::symlink_metadata(path).is_ok_and(|now| now.ino() == found.ino());
    if still_the_same {
        std::fs::remove_file(path).map_err(|source| ListenError::System { path: path.into(), source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: G10
    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
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
    #[tokio::test]
    async fn a_socket_that_was_removed_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/login.sock");
        let mut listener = Listener::bind(&path, Audience::Everybody).unwrap();
        std::fs::remove_dir_all(folder.path().join("run")).unwrap();
        listener.look_after();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o666);
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
