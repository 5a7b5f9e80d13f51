//! A place that only root can write to, with a service file that names the module.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

/// Names the variable with the path of the module under test.
pub const MODULE_VARIABLE: &str = "POSTERN_PAM_MODULE";

/// Names the variable with the path of a module built with `--cfg postern_fault`.
pub const FAULT_MODULE_VARIABLE: &str = "POSTERN_PAM_MODULE_FAULT";

/// A folder under `/run`, removed when dropped.
pub struct Site {
    folder: PathBuf,
}

impl Site {
    /// A site whose service asks the module, with `arguments` behind the site's own `socket=`.
    pub fn new(arguments: &str) -> Self {
        let site = Self::empty();
        let line = site.module_line(arguments);
        site.write_service(&format!("auth required {line}\naccount required {line}\n"));
        site
    }

    /// A site without a service file.
    pub fn empty() -> Self {
        Self::with_module(&module())
    }

    /// A site without a service file, for this build of the module.
    ///
    /// # Panics
    /// When the folder cannot be made, which takes root.
    pub fn with_module(module: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("/run/postern-pam-test-{}-{number}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o755).create(&folder);
        made.unwrap_or_else(|error| panic!("{}: {error}; these tests run as root", folder.display()));
        set_mode(&folder, 0o755); // whatever the umask
        let site = Self { folder };
        site.write("other", "auth required pam_deny.so\n");
        // The module's log lines begin with its file name, so it gets the one it is installed under.
        std::os::unix::fs::symlink(module, site.module()).expect("the folder is writable");
        site
    }

    /// The module under its installed name.
    pub fn module(&self) -> PathBuf {
        self.folder.join("pam_postern.so")
    }

    /// The module and its arguments as they stand in a service file.
    pub fn module_line(&self, arguments: &str) -> String {
        format!("{} socket={} {arguments}", self.module().display(), self.socket().display())
    }

    /// Writes the service file.
    pub fn write_service(&self, text: &str) {
        self.write("postern", text);
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.folder.join(name);
        fs::write(&file, text).expect("the folder is writable");
        set_mode(&file, 0o644);
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the module looks for the verifier.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("login.sock")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What is left after a failed test is in /run, and gone with the namespace.
        let _left = fs::remove_dir_all(&self.folder);
    }
}

/// The built module.
///
/// # Panics
/// When there is none.
pub fn module() -> PathBuf {
    let found = built(MODULE_VARIABLE, "");
    found.unwrap_or_else(|| {
        panic!("no libpam_postern.so: run `cargo build --release -p pam-module`, or set {MODULE_VARIABLE}")
    })
}

/// The built module that can panic on demand.
///
/// # Panics
/// When there is none.
pub fn fault_module() -> PathBuf {
    let found = built(FAULT_MODULE_VARIABLE, "postern-fault");
    found.unwrap_or_else(|| {
        panic!(
            "no fault build: run `cargo rustc --release -p pam-module --target-dir target/postern-fault -- \
             --cfg postern_fault`, or set {FAULT_MODULE_VARIABLE}"
        )
    })
}

fn built(variable: &str, target_folder: &str) -> Option<PathBuf> {
    if let Some(path) = env::var_os(variable) {
        return Some(PathBuf::from(path)).filter(|path| path.exists());
    }
    // Tests run from target/PROFILE/deps.
    let executable = env::current_exe().ok()?;
    let target = executable.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists())?;
    let profiles = ["release", "debug"].map(|profile| target.join(target_folder).join(profile));
    profiles.iter().map(|folder| folder.join("libpam_postern.so")).find(|path| path.exists())
}

/// Sets the permissions of `path`.
///
/// # Panics
/// When that fails.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("root may change permissions");
}
