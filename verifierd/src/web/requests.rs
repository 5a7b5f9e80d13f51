//! Access requests: the list, the page on which one is decided, and "this was not me".
//!
//! A link in a mail opens a page; what changes something is a form on it. The approver's carries the number that the
//! requester told him; that of the person whose password it is, the name of the account, which no program that tries
//! out links would type.

use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;
use serve::Reply;

use super::pages::{Page, Shown, redirect, shown};
use super::{Asked, Web};
use crate::access::{Approved, Canceller, DecideError, Decider, RequestId, RequestRecord, Standing};
use crate::audit::rfc3339;
use crate::clock::UnixTime;
use crate::config::Profile;
use crate::crockford;
use crate::http::roles::{Right, Verb, right};
use crate::mail::MailState;
use crate::people::Person;

/// Requests on one page: those of a bad day. Older ones are in the audit trail.
const ROWS_MAX: usize = 200;

/// A line of the list.
struct Row {
    id: String,
    who: String,
    account: String,
    place: String,
    from: String,
    is_emergency: bool,
    is_open: bool,
    state: String,
    asked: String,
}

#[derive(Template)]
#[template(path = "web/requests.html")]
struct ListPage<'a> {
    visitor: &'a Shown,
    rows: &'a [Row],
    is_cut: bool,
}

/// What may be done on the page of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Choices {
    decide: bool,
    cancel: bool,
}

#[derive(Template)]
#[template(path = "web/request.html")]
struct RequestPage<'a> {
    visitor: &'a Shown,
    row: &'a Row,
    facts: &'a [(&'static str, String)],
    choices: Choices,
    fault: &'a str,
    /// What the approver tells the requester, once.
    password: &'a str,
}

#[derive(Template)]
#[template(path = "web/not_me.html")]
struct NotMePage<'a> {
    fault: &'a str,
}

impl Web {
    /// The list of requests that somebody decides about, made, or may see.
    pub(super) fn list_requests(&self, asked: &Asked<'_>, person: &Person) -> Reply {
        let requests = &self.administration.dialogue.requests;
        let mut seen = requests.seen(|record| self.may_see(person, record));
        seen.sort_by_key(|record| record.standing() != Standing::Pending);
        let is_cut = seen.len() > ROWS_MAX;
        let rows: Vec<_> = seen.iter().take(ROWS_MAX).map(row).collect();
        let visitor = shown(asked, person);
        Page::of(&ListPage { visitor: &visitor, rows: &rows, is_cut }).reply(StatusCode::OK)
    }

    /// The page of one.
    pub(super) fn show_request(&self, asked: &Asked<'_>, person: &Person, id: &str) -> Reply {
        match self.request_of(person, id) {
            Some(record) => self.request_page(asked, person, &record, Said::default()),
            None => no_such(asked, person),
        }
    }

    /// What was chosen on it.
    pub(super) async fn decide_request(
        &self,
        asked: &Asked<'_>,
        person: Arc<Person>,
        id: &str,
        choice: &str,
    ) -> Reply {
        let Some(record) = self.request_of(&person, id) else { return no_such(asked, &person) };
        let requests = &self.administration.dialogue.requests;
        let decider = Decider { person: Arc::clone(&person), account: None };
        let decided = match choice {
            "approve" => {
                let number = asked.form.field("number").and_then(|number| number.trim().parse().ok());
                requests.approve(record.id, decider, number.unwrap_or(0)).await
            }
            "deny" => requests.deny(record.id, decider).await.map(without_password),
            "cancel" => {
                requests.cancel(record.id, Canceller::Person(Arc::clone(&person))).await.map(without_password)
            }
            _ => return no_such(asked, &person),
        };
        match decided {
            Ok(Approved { record, password }) => {
                let password = password.map(|password| password.expose().to_string()).unwrap_or_default();
                self.request_page(asked, &person, &record, Said { password, ..Said::default() })
            }
            Err(DecideError::NoSuchRequest { .. }) => no_such(asked, &person),
            Err(error) => {
                let record = requests.find(record.id).unwrap_or(record);
                let said = Said { fault: sentence(&error), status: status_of(&error), ..Said::default() };
                self.request_page(asked, &person, &record, said)
            }
        }
    }

    /// Where a link in a mail leads whoever did not ask.
    pub(super) fn show_not_me(&self) -> Reply {
        Page::of(&NotMePage { fault: "" }).reply(StatusCode::OK)
    }

    /// What he sends from there. Whoever has the mail may make its password void, and that is all that the link is good for.
    pub(super) async fn take_not_me(&self, asked: &Asked<'_>, id: &str, proof: &str) -> Reply {
        const GONE: &str = "This link is not good any more: the password was used, or is void already.";
        let (Ok(id), Some(proof)) = (RequestId::parse(id), crockford::id_of(proof)) else {
            return Page::nothing(GONE).reply(StatusCode::NOT_FOUND);
        };
        let requests = &self.administration.dialogue.requests;
        let typed = asked.form.field("account").map(|typed| typed.trim().to_owned()).unwrap_or_default();
        // The proof comes first: an id without it tells nothing of the request, not even that there is one.
        if !requests.may_disown(id, proof) {
            return Page::nothing(GONE).reply(StatusCode::NOT_FOUND);
        }
        let is_named = requests.find(id).is_some_and(|record| record.user == typed);
        if !is_named {
            let fault = "That is not the account that stands in the mail.";
            return Page::of(&NotMePage { fault }).reply(StatusCode::FORBIDDEN);
        }
        match requests.disown(id, proof).await {
            Ok(_) => Page::nothing(
                "The one-time password is void. Tell your administrator: somebody has come to the prompt of this account.",
            )
            .reply(StatusCode::OK),
            Err(DecideError::NoSuchRequest { .. } | DecideError::Decided { .. }) => {
                Page::nothing(GONE).reply(StatusCode::NOT_FOUND)
            }
            Err(error) => Page::nothing(&sentence(&error)).reply(status_of(&error)),
        }
    }

    fn may_see(&self, person: &Person, record: &RequestRecord) -> bool {
        right(Verb::RequestList, person.role) == Right::All
            || is_of(person, record)
            || self.administration.dialogue.requests.may_decide(person, record)
    }

    fn request_of(&self, person: &Person, id: &str) -> Option<RequestRecord> {
        let record = self.administration.dialogue.requests.find(RequestId::parse(id).ok()?)?;
        self.may_see(person, &record).then_some(record)
    }

    fn request_page(&self, asked: &Asked<'_>, person: &Person, record: &RequestRecord, said: Said) -> Reply {
        let is_open = record.standing() == Standing::Pending;
        let is_his = is_of(person, record);
        let may_decide = self.administration.dialogue.requests.may_decide(person, record);
        let choices = Choices {
            decide: is_open && may_decide && !is_his,
            cancel: is_his && matches!(record.standing(), Standing::Pending | Standing::Issued),
        };
        let visitor = shown(asked, person);
        let Said { fault, password, status } = said;
        let page = RequestPage {
            visitor: &visitor,
            row: &row(record),
            facts: &facts(record, self.administration.dialogue.requests.mail_state(record)),
            choices,
            fault: &fault,
            password: &password,
        };
        Page::of(&page).reply(status)
    }
}

/// What a page says besides what stands on it anyway.
struct Said {
    fault: String,
    password: String,
    status: StatusCode,
}

impl Default for Said {
    fn default() -> Self {
        Self { fault: String::new(), password: String::new(), status: StatusCode::OK }
    }
}

fn is_of(person: &Person, record: &RequestRecord) -> bool {
    record.person.as_ref().is_some_and(|requester| requester.id == person.id)
}

fn without_password(record: RequestRecord) -> Approved {
    Approved { record, password: None }
}

fn no_such(asked: &Asked<'_>, person: &Person) -> Reply {
    Page::message("Not found", "There is no such request, or it is not yours to see.", &shown(asked, person))
        .reply(StatusCode::NOT_FOUND)
}

fn status_of(error: &DecideError) -> StatusCode {
    match error {
        DecideError::NoSuchRequest { .. } => StatusCode::NOT_FOUND,
        DecideError::OwnRequest { .. }
        | DecideError::NobodyAsked { .. }
        | DecideError::WrongNumber { .. } => StatusCode::FORBIDDEN,
        DecideError::Decided { .. }
        | DecideError::Changed { .. }
        | DecideError::TooSoon { .. }
        | DecideError::TooMany => StatusCode::CONFLICT,
        DecideError::People(_)
        | DecideError::NotStored { .. }
        | DecideError::Random(_)
        | DecideError::Busy => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// An error as a sentence.
fn sentence(error: &DecideError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => text,
    }
}

fn row(record: &RequestRecord) -> Row {
    let who = match &record.person {
        None => "unknown person".to_owned(),
        Some(person) => match &person.email {
            Some(email) => format!("{} ({email})", person.login),
            None => person.login.clone(),
        },
    };
    let state = match record.standing() {
        Standing::Pending => format!("waits until {}", utc(record.until)),
        Standing::Issued | Standing::Ended(_) => {
            record.end.as_ref().filter(|_| record.issue.is_some()).map_or_else(
                || record.decided().map(|decided| short(&decided)).unwrap_or_default(),
                |end| format!("{} at {}", end.what.word(), utc(end.at)),
            )
        }
    };
    Row {
        id: record.id.to_string(),
        who,
        account: record.user.clone(),
        place: record.host.as_ref().map_or("this machine".into(), |host| host.name.to_string()),
        from: record.rhost.clone().unwrap_or_else(|| "the machine itself".into()),
        is_emergency: record.reason.is_some(),
        is_open: record.standing() == Standing::Pending,
        state,
        asked: utc(record.asked),
    }
}

/// Everything that an approver is shown, and nothing that only the requester is.
///
/// * `mail`: how the one with the password stands, where there is one.
fn facts(record: &RequestRecord, mail: Option<MailState>) -> Vec<(&'static str, String)> {
    let Row { who, account, place, from, state, asked, .. } = row(record);
    let group = record.host.as_ref().and_then(|host| host.group.as_ref());
    let mut facts = vec![("Person", who), ("Account", account), ("Host", place)];
    facts.extend(group.map(|group| ("Host group", group.to_string())));
    facts.extend([("Service", record.service.clone()), ("From", from)]);
    let more = [("Terminal", &record.tty), ("On behalf of", &record.ruser), ("Reason", &record.reason)];
    facts.extend(more.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    facts.extend([("Asked", asked), ("State", state)]);
    if record.profile == Profile::Strict {
        facts.push(("Password", "you tell it, once you have approved".into()));
    }
    facts.extend(mail.map(|mail| ("Mail with the password", mail.progress().words().to_owned())));
    facts
}

/// `2026-11-23 14:05 UTC`.
fn utc(at: UnixTime) -> String {
    short(&rfc3339(at))
}

/// A text with its times of the form `2026-11-23T14:05:00Z` made short.
fn short(text: &str) -> String {
    let word = |word: &str| match word.split_once('T') {
        Some((day, time)) if day.len() == 10 && time.ends_with('Z') => {
            format!("{day} {} UTC", time.get(..5).unwrap_or(time))
        }
        _ => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Where whoever has signed in begins.
pub(super) fn start() -> Reply {
    redirect("/requests")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_all_else_stays() {
        assert_eq!(
            short("approved by carol at 2026-11-23T14:05:09Z"),
            "approved by carol at 2026-11-23 14:05 UTC"
        );
        assert_eq!(short("by Toni"), "by Toni");
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
    }
}
