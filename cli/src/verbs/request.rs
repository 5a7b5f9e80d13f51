//! `postern request`: who asks for a password, and the decision.

use wire::admin::{AccessRequest, ApproveRequest, ApprovedRequest, RequestList, RequestState, RequestWay};
use zeroize::Zeroizing;

use crate::args::{Approval, RequestFilter, RequestName, RequestVerb};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::output::json::Document;
use crate::output::table::{self, or_dash, short};
use crate::output::{Answer, Format};

/// Runs one of the verbs.
pub async fn run(client: &Client, verb: RequestVerb, format: Format) -> Result<Answer, Failure> {
    match verb {
        RequestVerb::List(RequestFilter { mine, open }) => {
            let mut requests: RequestList = client.get("/v1/requests").await?;
            let is_open = |state| matches!(state, RequestState::Pending | RequestState::Issued);
            requests
                .items
                .retain(|request| (!mine || request.is_yours_to_decide) && (!open || is_open(request.state)));
            Answer::list(format, &requests, &requests.items, || rows(&requests.items))
        }
        RequestVerb::Show(RequestName { id }) => show(&client.get(&path(&id, "")).await?, format),
        RequestVerb::Approve(Approval { which, number }) => {
            let wish = ApproveRequest { number };
            approved(client.post(&path(&which.id, "/approve"), &wish).await?, format)
        }
        RequestVerb::Deny(RequestName { id }) => {
            show(&client.post_nothing(&path(&id, "/deny")).await?, format)
        }
        RequestVerb::Cancel(RequestName { id }) => {
            show(&client.post_nothing(&path(&id, "/cancel")).await?, format)
        }
    }
}

fn path(id: &str, what: &str) -> String {
    format!("/v1/requests/{}{what}", segment(id))
}

fn approved(approved: ApprovedRequest, format: Format) -> Result<Answer, Failure> {
    let password = approved.password.clone().map(Zeroizing::new);
    let answer = Answer::one(format, &Document::new("request", &approved), || match &password {
        Some(password) => {
            let mut lines = properties(&approved.request);
            lines.push(("password", password.to_string()));
            table::properties(lines)
        }
        None => table::properties(properties(&approved.request)),
    })?;
    Ok(match password {
        Some(_) => answer.saying("tell the password to the person who asked, and to nobody else"),
        None => answer.saying("the password is on its way to the person who asked"),
    })
}

fn show(request: &AccessRequest, format: Format) -> Result<Answer, Failure> {
    Answer::one(format, &Document::new("request", request), || table::properties(properties(request)))
}

fn properties(request: &AccessRequest) -> Vec<(&'static str, String)> {
    let person = match (&request.person, &request.email) {
        (Some(login), Some(email)) => format!("{login} ({email})"),
        (Some(login), None) => login.clone(),
        (None, _) => "unknown person".to_owned(),
    };
    let mut lines = vec![
        ("request", request.id.clone()),
        ("state", state(request.state).to_owned()),
        ("asked by", way(request.way).to_owned()),
        ("person", person),
        ("account", request.user.clone()),
        ("host", or_dash(request.host.as_deref())),
        ("service", request.service.clone()),
        ("from", or_dash(request.rhost.as_deref())),
        ("asked", request.asked.clone()),
        ("until", request.until.clone()),
    ];
    let mail = request.mail.map(|mail| mail.words().to_owned());
    let more = [
        ("asked as", &request.asked_as),
        ("reason", &request.reason),
        ("approved by", &request.approved_by),
        ("issued", &request.issued),
        ("mail", &mail),
        ("ended", &request.ended),
        ("ended by", &request.ended_by),
        ("why", &request.why),
    ];
    lines.extend(more.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    lines
}

fn rows(requests: &[AccessRequest]) -> String {
    table::list(
        ["ID", "STATE", "PERSON", "ACCOUNT", "HOST", "SERVICE", "FROM", "ASKED", "YOU DECIDE"],
        requests.iter().map(|request| {
            [
                request.id.clone(),
                match request.way {
                    RequestWay::Emergency => format!("{}, EMERGENCY", state(request.state)),
                    RequestWay::Approval | RequestWay::Automatic => state(request.state).to_owned(),
                },
                request.person.clone().unwrap_or_else(|| "unknown person".to_owned()),
                short(&request.user),
                or_dash(request.host.as_deref()),
                short(&request.service),
                short(&or_dash(request.rhost.as_deref())),
                request.asked.clone(),
                table::yes_no(request.is_yours_to_decide),
            ]
        }),
    )
}

fn state(state: RequestState) -> &'static str {
    match state {
        RequestState::Pending => "pending",
        RequestState::Issued => "issued",
        RequestState::Used => "used",
        RequestState::Denied => "denied",
        RequestState::Cancelled => "cancelled",
        RequestState::Expired => "expired",
        RequestState::Void => "void",
    }
}

fn way(way: RequestWay) -> &'static str {
    match way {
        RequestWay::Approval => "request",
        RequestWay::Automatic => "request, automatic",
        RequestWay::Emergency => "EMERGENCY",
    }
}
