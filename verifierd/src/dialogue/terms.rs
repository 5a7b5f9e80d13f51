//! What holds for a login: asks the name service where an access rule depends on it, and policy for the rest.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Dialogue;
use super::name_service::{self, WAIT_MAX};
use crate::accounts::{UserName, account_exists, memberships};
use crate::audit::Reason;
use crate::clock::UnixTime;
use crate::config::{Config, Lenience, OnUnenrolled, UnixGroup};
use crate::engine::{Occasion, Ruling};
use crate::hosts::HostId;
use crate::login::Login;
use crate::policy::{Circumstances, Demand, Memberships, Ruled, Terms, Walk, decide, demand};

impl Dialogue {
    /// What holds for a login, and what it demands before anything was asked. The one place for it: a dry run asks here
    /// too.
    pub async fn demanded(&self, login: &Login, now: UnixTime) -> (Terms, Demand) {
        let begun = self.clock.elapsed();
        let terms = self.terms(login, now).await;
        let name = login.user_name().ok();
        let user = name.as_ref().and_then(|name| self.accounts.find(name));
        let left = WAIT_MAX.saturating_sub(self.clock.elapsed().saturating_sub(begun));
        let exists = match name.filter(|_| user.is_none() && terms.refusal().is_none()) {
            Some(stranger) => self.has_account(stranger, login, &terms, left).await,
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
        let host = host.as_ref().map(|host| host.id);
        let told = ask_for_memberships(host, user.clone(), groups).await;
        match decide(&config.rules, &circumstances, Some(&told)) {
            Walk::Ended(ruled) => ruled,
            Walk::NeedsGroups(_) => unreachable!("what was not asked about counts as not known"),
        }
    }

    /// Asks the name service where policy lets in or enrols users it finds. One that takes too long finds nobody.
    async fn has_account(&self, name: UserName, login: &Login, terms: &Terms, wait: Duration) -> bool {
        let is_deny = terms.settings.on_unenrolled.value == OnUnenrolled::Deny;
        if is_deny && terms.lenience != Some(Lenience::Grace) {
            return false;
        }
        let host = login.host.as_ref().map(|host| host.id);
        name_service::ask(host, wait, move || account_exists(&name)).await.unwrap_or_else(|why| {
            tracing::warn!(user = ?login.user, why, "nobody can tell whether there is such an account");
            false
        })
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

/// Asks the name service which of some Unix groups a user is in. One that takes too long is one that fails.
///
/// * `host`: at which he logs in; none on the verifier's own machine and at the API.
pub async fn ask_for_memberships(
    host: Option<HostId>,
    user: UserName,
    groups: BTreeSet<UnixGroup>,
) -> Memberships {
    let asked = groups.clone();
    match name_service::ask(host, WAIT_MAX, move || memberships(&user, &asked)).await {
        Ok(told) => told,
        Err(why) => groups.into_iter().map(|group| (group, Err(why.clone()))).collect(),
    }
}
