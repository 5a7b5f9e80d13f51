//! What holds for a login: asks the name service where an access rule depends on it, and policy for the rest.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Dialogue;
use crate::accounts::{UserName, account_exists, memberships};
use crate::audit::Reason;
use crate::clock::UnixTime;
use crate::config::{Config, Lenience, OnUnenrolled, UnixGroup};
use crate::engine::{Occasion, Ruling};
use crate::login::Login;
use crate::policy::{Circumstances, Demand, Memberships, Ruled, Terms, Walk, decide, demand};

/// How long a name service may take to say which groups a user is in: longer than one that asks the network takes, and
/// short enough that a refusal is shown within the 20 s that the PAM module waits.
const NAME_SERVICE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How many questions about groups are at the name service at once, each with a thread that waits: with one that takes
/// 10 ms, 6,400 logins a second. Further ones wait for their turn, and not longer than for an answer.
const GROUP_QUESTIONS_MAX: usize = 64;

/// One for the process, as its threads are.
static GROUP_QUESTIONS: Semaphore = Semaphore::const_new(GROUP_QUESTIONS_MAX);

impl Dialogue {
    /// What holds for a login, and what it demands before anything was asked. The one place for it: a dry run asks here
    /// too.
    pub async fn demanded(&self, login: &Login, now: UnixTime) -> (Terms, Demand) {
        let terms = self.terms(login, now).await;
        let name = login.user_name().ok();
        let user = name.as_ref().and_then(|name| self.accounts.find(name));
        let exists = match name.filter(|_| user.is_none()) {
            Some(stranger) => self.has_account(stranger, &terms).await,
            None => false,
        };
        let demanded = demand(user.as_deref(), exists, &terms, now);
        (terms, demanded)
    }

    /// What holds for a login. Nothing but a look at the configuration where no access rule is.
    pub(super) async fn terms(&self, login: &Login, now: UnixTime) -> Terms {
        let config = self.config.load();
        let ruled = match login.user_name() {
            Ok(user) if !config.rules.is_empty() => self.ruled(login, &user, &config, now).await,
            // What is no account name is nobody's, whatever rules say.
            Ok(_) | Err(_) => Ruled::NoRule,
        };
        self.while_whole(Terms::new(login.host.as_ref(), ruled, &config, now))
    }

    /// Nothing is lenient while commits are missing in the store: nobody knows then who needs no code.
    pub(super) fn while_whole(&self, terms: Terms) -> Terms {
        let lenience = terms.lenience.filter(|_| !self.has_loss.load(Ordering::Relaxed));
        Terms { lenience, ..terms }
    }

    async fn ruled(&self, login: &Login, user: &UserName, config: &Config, now: UnixTime) -> Ruled {
        let Login { host, service, rhost, .. } = login;
        let circumstances =
            Circumstances { host: host.as_ref(), user, service, rhost: rhost.as_deref(), now };
        let groups = match decide(&config.rules, &circumstances, None) {
            Walk::Ended(ruled) => return ruled,
            Walk::NeedsGroups(groups) => groups,
        };
        let told = ask_for_memberships(user.clone(), groups).await;
        match decide(&config.rules, &circumstances, Some(&told)) {
            Walk::Ended(ruled) => ruled,
            Walk::NeedsGroups(_) => unreachable!("what was not asked about counts as not known"),
        }
    }

    /// Asks the name service, off the runtime's threads, where policy lets in or enrols users it finds.
    async fn has_account(&self, name: UserName, terms: &Terms) -> bool {
        let is_deny = terms.settings.on_unenrolled.value == OnUnenrolled::Deny;
        if is_deny && terms.lenience != Some(Lenience::Grace) {
            return false;
        }
        tokio::task::spawn_blocking(move || account_exists(&name)).await.unwrap_or(false)
    }
}

/// The occasion of a login under its terms.
pub(super) fn occasion(login: Login, terms: &Terms) -> Occasion {
    Occasion::login(login).under(terms.rule().cloned(), terms.lenience)
}

/// A ruling that no answer decides, with what cannot be told, where that is why.
pub(super) fn ruling(terms: &Terms, reason: Reason) -> Ruling {
    match terms.why() {
        Some(why) if reason == Reason::RuleUndecidable => Ruling::new(reason).detail(why.to_owned()),
        _ => Ruling::new(reason),
    }
}

/// Asks the name service which of some Unix groups a user is in, off the runtime's threads. One that takes too long is
/// one that fails.
pub async fn ask_for_memberships(user: UserName, groups: BTreeSet<UnixGroup>) -> Memberships {
    let asked = groups.clone();
    let asking = async {
        let turn = GROUP_QUESTIONS.acquire().await.ok()?;
        let asking = tokio::task::spawn_blocking(move || {
            let told = memberships(&user, &asked);
            // Also when nobody waits for it any more, a question holds its turn until it is answered.
            drop(turn);
            told
        });
        asking.await.ok()
    };
    let why = match tokio::time::timeout(NAME_SERVICE_WAIT_MAX, asking).await {
        Ok(Some(told)) => return told,
        Ok(None) => "asking the name service failed".to_owned(),
        Err(_) => format!("the name service gave no answer within {} s", NAME_SERVICE_WAIT_MAX.as_secs()),
    };
    groups.into_iter().map(|group| (group, Err(why.clone()))).collect()
}
