//! `postern token`: enrolled secrets and their state. Only `add` and `import` see a secret, on its way in.

mod disassociate;
mod form;

use std::io::{self, IsTerminal};

use wire::admin::{
    Assign, Associate, CodeCheck, NewToken, Resynchronize, Test, Token, TokenList, TokenState,
};
use wire::error::ErrorCode;
use zeroize::{Zeroize, Zeroizing};

use super::explain::Reference;
use crate::args::{AddOrder, Holder, TokenFilter, TokenVerb};
use crate::client::segment;
use crate::failure::Failure;
use crate::import::secret;
use crate::output::Answer;
use crate::verbs::Session;
pub use form::{state_name, type_name};

/// Runs one of the verbs.
pub async fn run(session: &Session, verb: TokenVerb) -> Result<Answer, Failure> {
    let (client, format) = (&session.client, session.format);
    match verb {
        TokenVerb::List(filter) => {
            let tokens: TokenList = client.get(&list_path(&filter)).await?;
            form::list(&tokens, format)
        }
        TokenVerb::Show(token) => {
            let token: Token = client.get(&path(&token.serial, "")).await?;
            form::show(&token, format)
        }
        TokenVerb::Add(order) => add(session, order).await,
        TokenVerb::Assign(Holder { serial, user }) => {
            let token: Token = client.post(&path(&serial, "/assign"), &Assign { user }).await?;
            Ok(form::show(&token, format)?.saying(&format!(
                "the next login of {} asks for a code of token {}",
                form::owner(&token),
                token.serial
            )))
        }
        TokenVerb::Associate(holder) => associate(session, holder).await,
        TokenVerb::Resync(token) => resynchronize(session, &token.serial).await,
        TokenVerb::Test(token) => test(session, &token.serial).await,
        TokenVerb::Disassociate(token) => disassociate::run(session, &token.serial).await,
        TokenVerb::Disable(token) => change(session, &token.serial, "disable", "is disabled").await,
        TokenVerb::Lost(token) => change(session, &token.serial, "lost", "is marked as lost").await,
        TokenVerb::Enable(token) => change(session, &token.serial, "enable", "is enabled").await,
        TokenVerb::Remove(token) => remove(session, &token.serial).await,
        TokenVerb::Import(_) | TokenVerb::ExportTemplate { .. } => {
            unreachable!("files are `crate::import`'s, which `verbs::run` turns to")
        }
    }
}

fn path(serial: &str, verb: &str) -> String {
    format!("/v1/tokens/{}{verb}", segment(serial))
}

fn list_path(filter: &TokenFilter) -> String {
    let state = filter.state.map(|state| format!("state={}", state_name(TokenState::from(state))));
    let user = filter.user.as_ref().map(|user| format!("user={}", segment(user)));
    let query: Vec<String> = state.into_iter().chain(user).collect();
    if query.is_empty() { "/v1/tokens".to_owned() } else { format!("/v1/tokens?{}", query.join("&")) }
}

/// A change that needs no further words.
async fn change(session: &Session, serial: &str, verb: &str, done: &str) -> Result<Answer, Failure> {
    let token: Token = session.client.post_nothing(&path(serial, &format!("/{verb}"))).await?;
    let of_user = token.user.as_ref().map(|user| format!(" of {user}")).unwrap_or_default();
    let words = format!("token {}{of_user} {done}", token.serial);
    Ok(form::show(&token, session.format)?.saying(&words))
}

async fn remove(session: &Session, serial: &str) -> Result<Answer, Failure> {
    let token: Token = session.client.delete(&path(serial, "")).await?;
    let words = format!("token {} is removed with its secret", token.serial);
    Ok(form::show(&token, session.format)?.saying(&words))
}

async fn add(session: &Session, order: AddOrder) -> Result<Answer, Failure> {
    let serial = order.serial.as_deref().map(pskc::checked_serial).transpose();
    let serial = serial.map_err(|problem| Failure::UnfitSerial { problem })?;
    let secret = order.secret_file.as_deref().map(|path| secret::read(path, &session.typed)).transpose()?;
    let is_given = secret.is_some();
    let mut wish = NewToken {
        serial,
        user: order.user,
        token_type: order.token_type.into(),
        secret: secret.map(|secret| secret.to_string()),
        algorithm: order.algorithm.map(|algorithm| algorithm.name().to_owned()),
        digits: order.digits,
        time_interval: order.period,
        counter: order.counter,
    };
    let outcome = session.client.post("/v1/tokens", &wish).await;
    wish.secret.zeroize();
    let token: Token = outcome?;
    let words = match (is_given, &token.user) {
        (false, _) => format!("the next login of {} shows the QR code", form::owner(&token)),
        (true, Some(user)) => format!("the next login of {user} asks for a code of token {}", token.serial),
        (true, None) => format!("token {} is available", token.serial),
    };
    Ok(form::show(&token, session.format)?.saying(&words))
}

/// Asks for a code, and for the next one where the daemon refuses it and there is somebody to ask, or a line of
/// stdin to read: a token far out of step shows itself by two.
async fn associate(session: &Session, holder: Holder) -> Result<Answer, Failure> {
    let token = ask_and_associate(session, &holder).await.map_err(explainable)?;
    let words = format!("token {} is {}'s", token.serial, form::owner(&token));
    Ok(form::show(&token, session.format)?.saying(&words))
}

async fn ask_and_associate(session: &Session, holder: &Holder) -> Result<Token, Failure> {
    let code = session.typed.line("the code", "Code of the token: ")?;
    let is_terminal = io::stdin().is_terminal();
    let next = if is_terminal { None } else { session.typed.optional_line("the next code", "")? };
    match try_associate(session, holder, &code, next).await {
        Err(Failure::Refused { code: ErrorCode::WrongCode, message }) if is_terminal => {
            const QUESTION: &str = "Not accepted. Its next code, where it is out of step (else Enter): ";
            match session.typed.optional_line("the next code", QUESTION)? {
                Some(next) => try_associate(session, holder, &code, Some(next)).await,
                None => Err(Failure::Refused { code: ErrorCode::WrongCode, message }),
            }
        }
        outcome => outcome,
    }
}

/// The daemon does not tell a wrong serial number from a wrong code, but keeps it in the audit trail: whoever may
/// associate may ask for that as well.
fn explainable(failure: Failure) -> Failure {
    const EITHER: &str = "the serial number or the code is wrong. Reference ";
    match failure {
        Failure::Refused { code, message } => {
            let reference = message.strip_prefix(EITHER).filter(|text| text.parse::<Reference>().is_ok());
            let more = reference.map(|reference| format!("; `postern explain {reference}` tells which"));
            Failure::Refused { code, message: message.clone() + &more.unwrap_or_default() }
        }
        other => other,
    }
}

async fn try_associate(
    session: &Session,
    holder: &Holder,
    code: &Zeroizing<String>,
    next_code: Option<Zeroizing<String>>,
) -> Result<Token, Failure> {
    let wish = Associate {
        user: holder.user.clone(),
        code: code.to_string(),
        next_code: next_code.map(|next| next.to_string()),
    };
    session.client.post(&path(&holder.serial, "/associate"), &wish).await
}

async fn resynchronize(session: &Session, serial: &str) -> Result<Answer, Failure> {
    let code = session.typed.line("the code", "Code of the token: ")?;
    let next_code = session.typed.line("the next code", "Its next code: ")?;
    let wish = Resynchronize { code: code.to_string(), next_code: next_code.to_string() };
    let token: Token = session.client.post(&path(serial, "/resync"), &wish).await?;
    let words = format!("token {} is in step again", token.serial);
    Ok(form::show(&token, session.format)?.saying(&words))
}

async fn test(session: &Session, serial: &str) -> Result<Answer, Failure> {
    let code = session.typed.line("the code", "Code of the token: ")?;
    let check: CodeCheck =
        session.client.post(&path(serial, "/test"), &Test { code: code.to_string() }).await?;
    let answer = form::check(&check, session.format)?;
    if check.right {
        return Ok(answer);
    }
    let detail = check.detail.map(|detail| format!(", {detail}")).unwrap_or_default();
    Ok(answer.failing(Failure::WrongCode { why: format!("{}{detail}", check.reason) }))
}
