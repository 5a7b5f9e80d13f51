//! Compiles `clock.c`, which shows the daemon another time. The C compiler is the one that Rust links with.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=clock.c");
    println!("cargo:rerun-if-env-changed=CC");
    let folder = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let library = Path::new(&folder).join("libclock.so");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut command = Command::new(&compiler);
    command
        .args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "clock.c", "-o"])
        .arg(&library);
    let status = command.status().unwrap_or_else(|error| panic!("cannot run {compiler}: {error}"));
    assert!(status.success(), "{compiler} ended with {status}");
    println!("cargo:rustc-env=POSTERN_RIG_CLOCK_LIBRARY={}", library.display());
}
