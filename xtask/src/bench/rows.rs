//! The rows of the table: what each measures, what it must reach, and which program measures it.

/// What a row's median must reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// No less than this.
    AtLeast(f64),
    /// No more than this.
    AtMost(f64),
}

/// Which program measures a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// `bench-engine`.
    Engine,
    /// `bench-network`.
    Network,
    /// `bench-network` with a RADIUS server beside.
    Radius,
    /// `bench-network` with privacyIDEA beside.
    PrivacyIdea,
    /// The criterion-free bench `commit`.
    Commit,
    /// `pam-overhead`, in the sandbox.
    PamOverhead,
    /// `pam-peers`, in the sandbox.
    PamPeers,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// As in the JSON.
    pub id: &'static str,
    /// Who measures it.
    pub program: Program,
    /// What it must reach.
    pub target: Target,
    /// What it measures, for the page.
    pub measures: &'static str,
}

impl Target {
    /// Whether a figure reaches it.
    pub fn is_met_by(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(bound) => figure >= bound,
            Self::AtMost(bound) => figure <= bound,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, ">= {bound}"),
            Self::AtMost(bound) => write!(f, "<= {bound}"),
        }
    }
}

impl Program {
    /// Whether it measures programs of others, which takes longer: `--peers` switches it on.
    pub fn is_peer(self) -> bool {
        matches!(self, Self::Radius | Self::PrivacyIdea | Self::PamPeers)
    }

    /// Whose run it shares: starting servers with a million users takes longer than most rows.
    pub fn runner(self) -> Self {
        match self {
            Self::Radius | Self::PrivacyIdea => Self::Network,
            own => own,
        }
    }
}

/// All of them, in the order of the page.
pub const ROWS: &[Row] = &[
    row(
        "engine_over_naive",
        Program::Engine,
        Target::AtLeast(2.5),
        "The engine with 1,000,000 tokens and 2 threads, against a map with names as keys and a key schedule for each of three candidates.",
    ),
    row(
        "engine_over_floor",
        Program::Engine,
        Target::AtLeast(0.5),
        "The engine with one thread, against one HMAC from kept states and one look-up in a map that nobody shares.",
    ),
    row(
        "cost_10m_over_10k",
        Program::Engine,
        Target::AtMost(1.6),
        "Time of one verification at 10,000,000 tokens, against that at 10,000.",
    ),
    row(
        "bytes_per_token",
        Program::Network,
        Target::AtMost(300.0),
        "Memory of the whole service on its store for each user with a token: what it has with all users, less what it has with a thousandth of them; after the start. Beside it the same once each user has logged in.",
    ),
    row(
        "http_tcp_over_hello",
        Program::Network,
        Target::AtLeast(0.85),
        "`POST /v1/verify` over TCP, claims in memory, against a bare hyper hello on the same runtime.",
    ),
    row("http_uds_over_hello", Program::Network, Target::AtLeast(0.75), "The same over a Unix socket."),
    row(
        "durable_tcp_over_hello",
        Program::Network,
        Target::AtLeast(0.75),
        "`POST /v1/verify` over TCP, every accept on disk before it is answered, against the hello.",
    ),
    row("durable_uds_over_hello", Program::Network, Target::AtLeast(0.6), "The same over a Unix socket."),
    row(
        "batch_over_single",
        Program::Network,
        Target::AtLeast(8.0),
        "Verifications a second in batch calls of 100, claims in memory, against one in each request; TCP.",
    ),
    row(
        "multiplexed_over_single",
        Program::Network,
        Target::AtLeast(2.0),
        "The same with every accept on disk. Beside it, not judged: all sides where requests share a connection without a batch call. HTTP/2 has hyper's client, which costs more than the one of the other figures.",
    ),
    row(
        "p99_over_hello_at_50_percent",
        Program::Network,
        Target::AtMost(1.5),
        "Open loop, Poisson arrivals, wait from the intended start: p99 of a durable verification at half of its highest rate, against p99 of the hello at half of its own. Both at 80 and at 90 percent, and the p99 of a sync of 4 KiB by itself, are told, not judged.",
    ),
    row(
        "sweep_p99_ratio",
        Program::Network,
        Target::AtMost(1.5),
        "Open loop at half of the highest rate: p99 of a verification while what 1,000,000 earlier ones left behind expires, against p99 without. Claims in memory. All users logged in over TCP ninety days before, and their usual sources are forgotten at once; those who log in meanwhile come over the login socket. A run in which fewer than 99 in a hundred were forgotten, as `/metrics` counts them, has no figure.",
    ),
    row(
        "commit_over_file",
        Program::Commit,
        Target::AtLeast(0.7),
        "Claims made durable by the ledger, against an append-only file that takes the same bytes, in batches of 64 and 256; the worse of the two counts.",
    ),
    row(
        "pam_added_ms",
        Program::PamOverhead,
        Target::AtMost(2.0),
        "Milliseconds that the PAM module adds to a transaction of `pam_permit` alone, with a one-time password or where none is asked, whichever is more. The store lies in memory here: an fsync is not in it.",
    ),
    row(
        "over_freeradius",
        Program::Radius,
        Target::AtLeast(1.0),
        "Durable verifications over TCP, one in each request, against FreeRADIUS with `rlm_totp` over UDP and 10,000 users; 64 in flight on both sides. `rlm_totp` remembers no used code.",
    ),
    row(
        "multiplexed_over_freeradius",
        Program::Radius,
        Target::AtLeast(3.0),
        "The same with batch calls of 100 on our side.",
    ),
    row(
        "over_google_authenticator",
        Program::PamPeers,
        Target::AtLeast(1.5),
        "Whole PAM transactions a second by eight processes, ours through the real module and durable, against `pam_google_authenticator`; HOTP, state on the same disk.",
    ),
    row(
        "over_pam_oath",
        Program::PamPeers,
        Target::AtLeast(5.0),
        "The same against `pam_oath` with a file of 10,000 users, one login at a time: more at once make it refuse right codes.",
    ),
    row(
        "over_privacyidea",
        Program::PrivacyIdea,
        Target::AtLeast(1_000.0),
        "Durable verifications over TCP, one in each request, against privacyIDEA with two workers on SQLite, 100 users with HOTP tokens and 8 in flight; warnings alone in its log, connections to its database shared, replies not signed.",
    ),
];

const fn row(id: &'static str, program: Program, target: Target, measures: &'static str) -> Row {
    Row { id, program, target, measures }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// The sources of everything that measures, as one text.
    fn sources(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_row_is_told_by_a_program_that_measures() {
        let mut text = String::new();
        for folder in ["benches/src", "benches/benches", "xtask/src/bin"] {
            sources(&crate::build::workspace().join(folder), &mut text);
        }
        for row in ROWS {
            let is_told = text.contains(&format!("\"{}", row.id));
            assert!(is_told, "{}", row.id);
        }
    }

    #[test]
    fn the_page_names_every_row() {
        let page = std::fs::read_to_string(crate::build::workspace().join("docs/performance.md")).unwrap();
        for row in ROWS {
            assert!(page.contains(&format!("`{}`", row.id)), "docs/performance.md does not name {}", row.id);
        }
    }

    #[test]
    fn a_bound_is_met_from_its_own_side() {
        assert!(Target::AtLeast(0.5).is_met_by(0.5) && !Target::AtLeast(0.5).is_met_by(0.49));
        assert!(Target::AtMost(1.5).is_met_by(1.5) && !Target::AtMost(1.5).is_met_by(1.51));
        assert!(!Target::AtMost(1.5).is_met_by(f64::NAN) && !Target::AtLeast(1.5).is_met_by(f64::NAN));
    }
}
