//! Finds libpam where only its run-time package is installed, as `pam-module/build.rs` does.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let folders = [
        format!("/lib/{arch}-linux-gnu"),
        "/lib64".to_owned(),
        "/usr/lib64".to_owned(),
        "/usr/lib".to_owned(),
    ];
    if folders.iter().any(|folder| Path::new(folder).join("libpam.so").exists()) {
        return Ok(());
    }
    let found = folders.iter().map(|folder| Path::new(folder).join("libpam.so.0")).find(|file| file.exists());
    let (Some(library), Some(out)) = (found, env::var_os("OUT_DIR").map(PathBuf::from)) else {
        return Ok(()); // the linker says best what is missing
    };
    let name = out.join("libpam.so");
    if name.symlink_metadata().is_ok() {
        fs::remove_file(&name)?;
    }
    std::os::unix::fs::symlink(library, &name)?;
    println!("cargo:rustc-link-search=native={}", out.display());
    Ok(())
}
