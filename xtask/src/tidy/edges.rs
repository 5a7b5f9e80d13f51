//! Which package of the workspace may depend on which. Source: DESIGN.md, "Programs and crates".

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::Finding;

/// A row of the table of edges.
struct Rule {
    package: &'static str,
    may_use: &'static [&'static str],
}

/// Development and build dependencies count too. Packages in `crates/` stand at the bottom: of each other they use `wire` at most.
const RULES: &[Rule] = &[
    Rule { package: "otp-core", may_use: &[] },
    Rule { package: "offline-password", may_use: &[] },
    Rule { package: "wire", may_use: &[] },
    Rule { package: "ledger", may_use: &[] },
    Rule { package: "pskc", may_use: &[] },
    Rule { package: "owned-files", may_use: &[] },
    Rule { package: "typed-secret", may_use: &[] },
    Rule { package: "serve", may_use: &["wire"] },
    Rule { package: "pam-module", may_use: &["wire"] },
    Rule {
        package: "verifierd",
        may_use: &["otp-core", "offline-password", "wire", "ledger", "serve", "owned-files"],
    },
    Rule { package: "agent", may_use: &["wire", "serve", "owned-files", "typed-secret", "offline-password"] },
    Rule { package: "cli", may_use: &["wire", "pskc", "otp-core", "typed-secret"] },
    Rule { package: "loadtest", may_use: &["wire", "otp-core"] },
    Rule { package: "system-tests", may_use: &["wire", "otp-core"] },
    Rule { package: "pam-harness", may_use: &["wire", "otp-core"] },
    Rule { package: "ledger-harness", may_use: &["wire", "ledger", "system-tests"] },
    Rule { package: "fleet-harness", may_use: &["wire", "agent", "system-tests"] },
    Rule { package: "benches", may_use: ANYTHING },
    Rule { package: "xtask", may_use: ANYTHING },
];

/// Stands for every package of the workspace.
const ANYTHING: &[&str] = &["*"];

/// What we read of `cargo metadata --no-deps`.
#[derive(Deserialize)]
pub struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Present exactly for dependencies by path, which are ours.
    #[serde(default)]
    path: Option<PathBuf>,
}

impl Metadata {
    /// # Errors
    /// When cargo cannot read the manifests.
    pub fn read() -> Result<Self> {
        let output = crate::build::cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(std::process::Stdio::inherit())
            .output()
            .context("cannot run cargo metadata")?;
        ensure!(output.status.success(), "cargo metadata failed");
        serde_json::from_slice(&output.stdout).context("the answer of cargo metadata")
    }

    /// Name and folder of every package, relative to `root`.
    pub fn folders(&self, root: &Path) -> Vec<(String, PathBuf)> {
        let relative = |package: &Package| {
            let folder = package.manifest_path.parent()?;
            Some((package.name.clone(), folder.strip_prefix(root).ok()?.to_owned()))
        };
        self.packages.iter().filter_map(relative).collect()
    }
}

/// Finds every edge that no rule allows.
pub fn check(metadata: &Metadata) -> Vec<Finding> {
    metadata.packages.iter().flat_map(check_package).collect()
}

fn check_package(package: &Package) -> Vec<Finding> {
    let finding = |problem| Finding { place: package.name.clone(), problem };
    let Some(rule) = RULES.iter().find(|rule| rule.package == package.name) else {
        return vec![finding("this package has no row in xtask/src/tidy/edges.rs".to_owned())];
    };
    let ours = package.dependencies.iter().filter(|dependency| dependency.path.is_some());
    let refused = ours.filter(|it| !rule.may_use.contains(&"*") && !rule.may_use.contains(&it.name.as_str()));
    refused
        .map(|it| finding(format!("must not depend on {} (allowed: {})", it.name, rule.may_use.join(", "))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `uses`: name and whether it is ours.
    fn check(name: &str, uses: &[(&str, bool)], problems: usize) {
        let dependencies = uses
            .iter()
            .map(|(name, ours)| Dependency { name: (*name).to_owned(), path: ours.then(PathBuf::new) })
            .collect();
        let package = Package { name: name.to_owned(), manifest_path: PathBuf::new(), dependencies };
        assert_eq!(super::check(&Metadata { packages: vec![package] }).len(), problems, "{name} {uses:?}");
    }

    #[test]
    fn an_allowed_edge_passes() {
        check("pam-module", &[("wire", true), ("libc", false)], 0);
        check("benches", &[("verifierd", true)], 0);
    }

    #[test]
    fn an_edge_without_a_rule_is_found() {
        check("pam-module", &[("otp-core", true)], 1);
        check("wire", &[("otp-core", true), ("ledger", true)], 2);
    }

    #[test]
    fn a_package_without_a_row_is_found() {
        check("surprise", &[], 1);
    }
}
