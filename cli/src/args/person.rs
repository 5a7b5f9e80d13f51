//! `postern person`: its verbs and their flags.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use wire::admin::Role;

/// What can be done with persons.
#[derive(Debug, Subcommand)]
pub enum PersonVerb {
    /// List the persons of Postern's own records
    List,
    /// Show one person, of the directory too
    Show(PersonLogin),
    /// Add a person to Postern's own records
    Add(PersonOrder),
    /// Change a person's address, name or role, or whether he is let in
    Set(PersonWish),
    /// Give a person another password: typed, or a line of stdin; his sign-ins end
    Password(PersonLogin),
    /// Let a person use a Unix account
    Share(PersonAccount),
    /// Let a person use a Unix account no longer
    Unshare(PersonAccount),
    /// Security keys of a person, with which he signs in to the pages
    #[command(subcommand)]
    SecurityKeys(PersonKeysVerb),
    /// Remove a person for ever; asks first
    Remove(PersonLogin),
    /// Keys with which programs ask for a person over HTTPS
    #[command(subcommand)]
    Key(KeyVerb),
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeyVerb {
    /// List keys; users see their own
    List {
        /// Only those of this person
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        login: Option<String>,
    },
    /// Make a key, and print it once; asks for a one-time password, which an administrator does not need
    Add(KeyOrder),
    /// End a key: from then on it opens nothing
    Revoke {
        /// Its id, as the list shows it
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
}

/// A key that is wished for.
#[derive(Debug, Args)]
pub struct KeyOrder {
    #[command(flatten)]
    pub who: PersonLogin,
    /// What it is for
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
    /// How long it is good, such as 90d: 366 days at most
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub life: std::time::Duration,
    /// The most that it may do [default: what the person may, and no more than you]
    #[arg(long, value_enum)]
    pub role: Option<PersonRole>,
}

/// What can be done with a person's security keys.
#[derive(Debug, Subcommand)]
pub enum PersonKeysVerb {
    /// Remove them all; he signs in with a one-time password
    Remove(PersonLogin),
}

/// Which person.
#[derive(Debug, Args)]
pub struct PersonLogin {
    /// His login name
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub login: String,
}

/// Somebody new.
#[derive(Debug, Args)]
pub struct PersonOrder {
    /// His login name: letters, digits and . _ -
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub login: String,
    /// Where mails to him go: nobody else may have this address
    #[arg(long, value_name = "ADDRESS", value_parser = NonEmptyStringValueParser::new())]
    pub email: String,
    /// What people call him [default: his login name]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub name: Option<String>,
    /// What he may do on the web page
    #[arg(long, value_enum, default_value = "user")]
    pub role: PersonRole,
    /// A Unix account that he may use; may be given several times [default: the one of his login name]
    #[arg(long, value_name = "ACCOUNT", value_parser = NonEmptyStringValueParser::new())]
    pub account: Vec<String>,
    /// Ask for a password, or take a line of stdin: without one he does not sign in
    #[arg(long)]
    pub password: bool,
}

/// What is to be another.
#[derive(Debug, Args)]
#[group(id = "change", required = true, multiple = true)]
pub struct PersonChange {
    /// Where mails to him go
    #[arg(long, value_name = "ADDRESS", value_parser = NonEmptyStringValueParser::new())]
    pub email: Option<String>,
    /// What people call him
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub name: Option<String>,
    /// What he may do on the web page; his sign-ins end
    #[arg(long, value_enum)]
    pub role: Option<PersonRole>,
    /// Let him in again
    #[arg(long, conflicts_with = "disable")]
    pub enable: bool,
    /// Let him in no longer; his sign-ins end
    #[arg(long)]
    pub disable: bool,
}

/// Whose, and what.
#[derive(Debug, Args)]
pub struct PersonWish {
    #[command(flatten)]
    pub who: PersonLogin,
    #[command(flatten)]
    pub change: PersonChange,
}

/// Which person and which account.
#[derive(Debug, Args)]
pub struct PersonAccount {
    #[command(flatten)]
    pub who: PersonLogin,
    /// The Unix account
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub account: String,
}

/// What a person may do.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PersonRole {
    /// See and change what is his own
    User,
    /// See everything
    Auditor,
    /// Unlock, re-sync, mark as lost
    Helpdesk,
    /// The same, and make passwords for hosts that are cut off
    #[value(name = "offline_admin", alias = "offline-admin")]
    OfflineAdmin,
    /// Everything but the store
    Admin,
    /// Everything
    Super,
}

impl From<PersonRole> for Role {
    fn from(role: PersonRole) -> Self {
        match role {
            PersonRole::User => Self::User,
            PersonRole::Auditor => Self::Auditor,
            PersonRole::Helpdesk => Self::Helpdesk,
            PersonRole::OfflineAdmin => Self::OfflineAdmin,
            PersonRole::Admin => Self::Admin,
            PersonRole::Super => Self::Super,
        }
    }
}
