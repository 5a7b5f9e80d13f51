//! The machine's own accounts, as its name service knows them.

use nix::unistd::User;

use super::UserName;

/// Whether the machine has an account of exactly this name. A name service that folds case or strips
/// domains answers with another name, which is not this one.
///
/// May ask the network; blocks. A name service that fails counts as no.
pub fn account_exists(name: &UserName) -> bool {
    match User::from_name(name.as_str()) {
        Ok(found) => found.is_some_and(|found| found.name == name.as_str()),
        Err(error) => {
            tracing::warn!(user = %name, %error, "the name service failed");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: B05
    #[test]
    fn only_an_account_of_this_very_name_exists() {
        let exists = |name: &str| account_exists(&UserName::new(name).unwrap());
        assert!(exists("root"));
        assert!(!exists("Root"));
        assert!(!exists("no-such-account-here"));
    }
}
