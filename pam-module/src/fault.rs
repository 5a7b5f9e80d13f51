//! Panics on demand, to prove that no panic leaves the module. Compiled to nothing unless the module is built
//! with `--cfg postern_fault`, which no package does.

/// Marks a function in which a fault build can panic: there the variable `POSTERN_FAULT` names the one.
macro_rules! fault_point {
    ($name:literal) => {
        #[cfg(postern_fault)]
        crate::fault::panic_if_chosen($name);
    };
}
pub(crate) use fault_point;

/// Panics if this is the chosen function.
#[cfg(postern_fault)]
#[expect(clippy::panic, reason = "this is the fault")]
pub(crate) fn panic_if_chosen(name: &str) {
    if std::env::var("POSTERN_FAULT").is_ok_and(|chosen| chosen == name) {
        panic!("fault in {name}");
    }
}
