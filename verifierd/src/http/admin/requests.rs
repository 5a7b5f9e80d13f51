//! Requests for passwords: who sees them, and who decides.
//!
//! On these sockets a caller is a Unix account. He decides as the one person whose account that is; where several persons
//! share it, or none has it, nobody knows who decides, and so nobody does. Root is no person.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use wire::admin::{AccessRequest, ApproveRequest, ApprovedRequest, RequestList, RequestState, RequestWay};
use wire::error::ErrorCode;

use super::Administration;
use super::asked::{Body, Named};
use super::refusals::{Refusal, refusal};
use super::routes::Granted;
use crate::access::{Canceller, DecideError, Decider, Ending, RequestId, RequestRecord, Standing, Way};
use crate::audit::rfc3339;
use crate::http::roles::Who;
use crate::people::Person;

type Admin = State<Arc<Administration>>;

impl From<DecideError> for Refusal {
    fn from(error: DecideError) -> Self {
        let code = match error {
            DecideError::NoSuchRequest { .. } => ErrorCode::NotFound,
            DecideError::OwnRequest { .. }
            | DecideError::NobodyAsked { .. }
            | DecideError::WrongNumber { .. } => ErrorCode::NotAllowed,
            DecideError::Decided { .. }
            | DecideError::Changed { .. }
            | DecideError::TooSoon { .. }
            | DecideError::TooMany => ErrorCode::Conflict,
            DecideError::People(_)
            | DecideError::NotStored { .. }
            | DecideError::Random(_)
            | DecideError::Busy => ErrorCode::Unavailable,
        };
        refusal(code, error.to_string())
    }
}

pub(super) async fn list(State(admin): Admin, granted: Granted) -> Result<Json<RequestList>, Refusal> {
    let person = admin.person_of(&granted).await?;
    let may_see = |record: &RequestRecord| admin.may_see(&granted, person.as_deref(), record);
    let seen = admin.dialogue.requests.seen(may_see);
    let items = seen.iter().map(|record| admin.show_request(record, person.as_deref())).collect();
    Ok(Json(RequestList { api_version: wire::API_VERSION, kind: "request_list".into(), items }))
}

pub(super) async fn show(
    State(admin): Admin,
    granted: Granted,
    Named(id): Named,
) -> Result<Json<AccessRequest>, Refusal> {
    let person = admin.person_of(&granted).await?;
    let record = admin.request_of(&granted, person.as_deref(), &id)?;
    Ok(Json(admin.show_request(&record, person.as_deref())))
}

pub(super) async fn approve(
    State(admin): Admin,
    granted: Granted,
    Named(id): Named,
    Body(wish): Body<ApproveRequest>,
) -> Result<Json<ApprovedRequest>, Refusal> {
    let decider = admin.decider(&granted).await?;
    let person = Arc::clone(&decider.person);
    let approved = admin.dialogue.requests.approve(id_of(&id)?, decider, wish.number).await?;
    let request = admin.show_request(&approved.record, Some(&person));
    let password = approved.password.map(|password| password.expose().to_string());
    Ok(Json(ApprovedRequest { request, password }))
}

pub(super) async fn deny(
    State(admin): Admin,
    granted: Granted,
    Named(id): Named,
) -> Result<Json<AccessRequest>, Refusal> {
    let decider = admin.decider(&granted).await?;
    let person = Arc::clone(&decider.person);
    let record = admin.dialogue.requests.deny(id_of(&id)?, decider).await?;
    Ok(Json(admin.show_request(&record, Some(&person))))
}

pub(super) async fn cancel(
    State(admin): Admin,
    granted: Granted,
    Named(id): Named,
) -> Result<Json<AccessRequest>, Refusal> {
    let person = admin.person_of(&granted).await?;
    let id = id_of(&id)?;
    let by = match (granted.is_only_for_himself(), &person) {
        (false, _) => Canceller::Administrator(granted.actor().name),
        (true, Some(person)) => Canceller::Person(Arc::clone(person)),
        (true, None) => return Err(DecideError::NoSuchRequest { id }.into()),
    };
    let record = admin.dialogue.requests.cancel(id, by).await?;
    Ok(Json(admin.show_request(&record, person.as_deref())))
}

/// The id that a path names. One that cannot be one is as one that is not there.
fn id_of(text: &str) -> Result<RequestId, Refusal> {
    RequestId::parse(text).map_err(|error| refusal(ErrorCode::NotFound, format!("{text:?}: {error}")))
}

impl Administration {
    /// The caller, where he is a person, or the one person whose account he has.
    pub(super) async fn person_of(&self, granted: &Granted) -> Result<Option<Arc<Person>>, Refusal> {
        let caller = granted.caller();
        match &caller.who {
            Who::Person(person) => return Ok(Some(Arc::clone(person))),
            Who::Account(0) => return Ok(None),
            Who::Account(_) => {}
        }
        let Some(account) = caller.account() else { return Ok(None) };
        let persons = self.dialogue.people.of_account(&account).await;
        let persons = persons.map_err(|error| refusal(ErrorCode::Unavailable, error.to_string()))?;
        Ok(<[_; 1]>::try_from(persons).ok().map(|[person]| person))
    }

    /// The caller as somebody who decides.
    async fn decider(&self, granted: &Granted) -> Result<Decider, Refusal> {
        let caller = granted.caller();
        // Whoever makes keys for others would decide his own requests with one.
        if let Some(key) = caller.key.as_ref().filter(|key| !key.is_his_own) {
            let message =
                format!("somebody else made the key {:?} for {}: it decides nothing", key.name, caller.name);
            return Err(refusal(ErrorCode::NotAllowed, message));
        }
        let person = self.person_of(granted).await?.ok_or_else(|| {
            let message = match &caller.who {
                Who::Account(0) => "root is no person, and only a person decides: do it from your own account, or on the page".into(),
                Who::Account(_) | Who::Person(_) => format!(
                    "{} is not the account of exactly one person, and only a person decides: do it from your own \
                     account, or on the page",
                    caller.name
                ),
            };
            refusal(ErrorCode::NotAllowed, message)
        })?;
        // A person decides as himself, and not from an account that others may share.
        let account = matches!(caller.who, Who::Account(_)).then(|| caller.account()).flatten();
        Ok(Decider { person, account })
    }

    /// Whether the caller sees a request: administrators all, others what they asked for, and what they decide.
    fn may_see(&self, granted: &Granted, person: Option<&Person>, record: &RequestRecord) -> bool {
        let is_his = |person: &Person| record.person.as_ref().is_some_and(|asker| asker.id == person.id);
        !granted.is_only_for_himself()
            || person
                .is_some_and(|person| is_his(person) || self.dialogue.requests.may_decide(person, record))
    }

    fn request_of(
        &self,
        granted: &Granted,
        person: Option<&Person>,
        id: &str,
    ) -> Result<RequestRecord, Refusal> {
        let id = id_of(id)?;
        let record = self.dialogue.requests.find(id).filter(|record| self.may_see(granted, person, record));
        record.ok_or_else(|| refusal(ErrorCode::NotFound, format!("no request {id} that you may see")))
    }

    fn show_request(&self, record: &RequestRecord, person: Option<&Person>) -> AccessRequest {
        let is_his =
            person.is_some_and(|person| record.person.as_ref().is_some_and(|asker| asker.id == person.id));
        let decides = person.is_some_and(|person| self.dialogue.requests.may_decide(person, record));
        let (issue, end) = (record.issue.as_ref(), record.end.as_ref());
        AccessRequest {
            id: record.id.to_string(),
            state: state_of(record.standing()),
            way: match record.way {
                Way::Approval => RequestWay::Approval,
                Way::Automatic => RequestWay::Automatic,
                Way::Emergency => RequestWay::Emergency,
            },
            user: record.user.clone(),
            service: record.service.clone(),
            host: record.host.as_ref().map(|host| host.name.to_string()),
            rhost: record.rhost.clone(),
            person: record.person.as_ref().map(|person| person.login.clone()),
            email: record.person.as_ref().and_then(|person| person.email.clone()),
            asked_as: Some(record.typed.clone()).filter(|typed| !typed.is_empty()),
            reason: record.reason.clone(),
            asked: rfc3339(record.asked),
            until: rfc3339(issue.map_or(record.until, |issue| issue.until)),
            approved_by: issue.and_then(|issue| issue.by.clone()),
            issued: issue.map(|issue| rfc3339(issue.at)),
            mail: self.dialogue.requests.mail_state(record).map(|state| state.progress()),
            ended: end.map(|end| rfc3339(end.at)),
            ended_by: end.and_then(|end| end.by.clone()),
            why: end.and_then(|end| end.why.clone()),
            is_yours_to_decide: record.standing() == Standing::Pending && decides && !is_his,
        }
    }
}

fn state_of(standing: Standing) -> RequestState {
    match standing {
        Standing::Pending => RequestState::Pending,
        Standing::Issued => RequestState::Issued,
        Standing::Ended(Ending::Used) => RequestState::Used,
        Standing::Ended(Ending::Denied) => RequestState::Denied,
        Standing::Ended(Ending::Cancelled) => RequestState::Cancelled,
        Standing::Ended(Ending::Expired) => RequestState::Expired,
        Standing::Ended(Ending::Void) => RequestState::Void,
    }
}
