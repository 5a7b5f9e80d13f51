//! Links the module so that it stays loaded, and finds libpam where only its run-time package is installed.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(postern_fault)");
    // libpam unloads modules in pam_end. The standard library may have registered a destructor for this
    // thread by then, and a thread that exits after the unloading would call into unmapped memory.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    let folders = library_folders();
    if folders.iter().any(|folder| folder.join("libpam.so").exists()) {
        return Ok(());
    }
    let found = folders.iter().map(|folder| folder.join("libpam.so.0")).find(|file| file.exists());
    let (Some(library), Some(out)) = (found, env::var_os("OUT_DIR").map(PathBuf::from)) else {
        return Ok(()); // the linker says best what is missing
    };
    link_under_development_name(&library, &out)?;
    println!("cargo:rustc-link-search=native={}", out.display());
    Ok(())
}

/// Where distributions keep libpam, Debian's folders first.
fn library_folders() -> Vec<PathBuf> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let multiarch = [format!("/lib/{arch}-linux-gnu"), format!("/usr/lib/{arch}-linux-gnu")];
    let plain = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(String::from);
    multiarch.into_iter().chain(plain).map(PathBuf::from).collect()
}

/// Makes `libpam.so` in our own build folder, as the development package would.
fn link_under_development_name(library: &Path, out: &Path) -> io::Result<()> {
    let name = out.join("libpam.so");
    if name.symlink_metadata().is_ok() {
        fs::remove_file(&name)?;
    }
    std::os::unix::fs::symlink(library, &name)
}
