//! Joining, renewing and reporting: `wire::fleet` has the messages.

use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::{BASE64, Specification};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use rustls::pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use serve::{Reply, Tally, body, error_reply, json_reply};
use wire::error::ErrorCode;
use wire::fleet::{Certificate, Certified, Join, Joined, Renew, Report, Reported};
use zeroize::Zeroizing;

use super::{Parts, code_of};
use crate::audit::rfc3339;
use crate::dialogue::Dialogue;
use crate::hosts::authority::Issued;
use crate::hosts::certificate::{SigningRequestFault, requested_key};
use crate::hosts::presence::Said;
use crate::hosts::registrar::JoinRequest;
use crate::hosts::{Authority, Host, HostCertificate, HostError, JoinSecret, Registrar};
use crate::http::wrong_secrets::Recording;
use crate::policy::RecordingTerms;

/// Longest version of an agent that is remembered, in bytes: `1.20.300-rc.4` and some more.
const VERSION_BYTES_MAX: usize = 64;

/// Lets a host in.
pub(super) async fn join(parts: &Parts, source: IpAddr, tally: &Tally, request: Request<Incoming>) -> Reply {
    let now = parts.registrar.clock().elapsed();
    if parts.wrong_joins.is_barred(source, now) {
        tally.count_without_key();
        body::discard(request).await;
        let message = "too many wrong joins from this address: try again in a quarter of an hour";
        return error_reply(ErrorCode::Throttled, message.into());
    }
    let asked: Join = match parse(request).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    if let Some(refusal) = other_version(asked.api_version) {
        return refusal;
    }
    let text = Zeroizing::new(asked.secret);
    let joined = match signing_key(&asked.signing_request) {
        Ok(key) => {
            let request = JoinRequest { secret: JoinSecret::parse(&text), key, source };
            parts.registrar.join(request).await
        }
        Err(fault) => {
            tell_wrong(parts, source, tally, "malformed").await;
            return error_reply(ErrorCode::Malformed, fault.to_string());
        }
    };
    match joined {
        Ok(certified) => {
            let host = certified.host.record.id.to_string();
            let name = certified.host.record.name.to_string();
            let certificate = shown(&parts.registrar, &certified.issued);
            let found_at = parts.found_at();
            let joined = Joined { api_version: wire::API_VERSION, host, name, certificate, found_at };
            json_reply(StatusCode::OK, &joined)
        }
        Err(error) => {
            match error {
                HostError::WrongSecret => tell_wrong(parts, source, tally, "wrong_secret").await,
                HostError::KeyInUse => tell_wrong(parts, source, tally, "key_in_use").await,
                _ => {}
            }
            refused(&error)
        }
    }
}

/// Records a join that was refused, as far as the trail has room for such.
async fn tell_wrong(parts: &Parts, source: IpAddr, tally: &Tally, reason: &str) {
    tally.count_without_key();
    let detail = match parts.wrong_joins.count(source, parts.registrar.clock().elapsed()) {
        Recording::Itself => None,
        Recording::Last => {
            Some("there are many: those of the next quarter of an hour have no record".to_owned())
        }
        Recording::Nothing => return,
    };
    if let Err(error) = parts.registrar.refuse_join(source, reason, detail).await {
        tracing::warn!(%error, %source, "a join was refused, and no record tells of it");
    }
}

/// Gives a host its next certificate.
pub(super) async fn renew(
    registrar: &Arc<Registrar>,
    shown_now: HostCertificate,
    request: Request<Incoming>,
) -> Reply {
    let asked: Renew = match parse(request).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    if let Some(refusal) = other_version(asked.api_version) {
        return refusal;
    }
    let key = match signing_key(&asked.signing_request) {
        Ok(key) => key,
        Err(fault) => return error_reply(ErrorCode::Malformed, fault.to_string()),
    };
    match registrar.renew(shown_now, key).await {
        Ok(certified) => {
            let host = certified.host.record.id.to_string();
            let certificate = shown(registrar, &certified.issued);
            json_reply(StatusCode::OK, &Certified { api_version: wire::API_VERSION, host, certificate })
        }
        Err(error) => refused(&error),
    }
}

/// Hears how a host is, says what it is called, and asks about its sessions.
///
/// * `standing_still`: why no login is decided now.
pub(super) async fn report(
    registrar: &Registrar,
    host: &Host,
    dialogue: &Dialogue,
    standing_still: Option<String>,
    request: Request<Incoming>,
) -> Reply {
    let said: Report = match parse(request).await {
        Ok(said) => said,
        Err(refusal) => return refusal,
    };
    if let Some(refusal) = other_version(said.api_version) {
        return refusal;
    }
    let version = said.agent_version;
    if version.len() > VERSION_BYTES_MAX || !version.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message =
            format!("agent_version: at most {VERSION_BYTES_MAX} printable ASCII characters are needed");
        return error_reply(ErrorCode::Malformed, message);
    }
    let clock = registrar.clock().now();
    let ahead = i128::from(said.clock) - i128::from(clock);
    let clock_ahead = i64::try_from(ahead).unwrap_or(if ahead < 0 { i64::MIN } else { i64::MAX });
    host.presence.say(Said { agent_version: version, clock_ahead });
    let reported = Reported {
        api_version: wire::API_VERSION,
        host: host.record.id.to_string(),
        name: host.record.name.to_string(),
        group: host.record.group.as_ref().map(ToString::to_string),
        clock,
        sessions: dialogue.sessions.named(host.record.id),
        standing_still,
        recording: RecordingTerms::at(Some(&host.identity), &dialogue.config.load()).told(),
    };
    json_reply(StatusCode::OK, &reported)
}

/// Why a host was not served. What is behind it goes to the log.
pub(super) fn refused(error: &HostError) -> Reply {
    let code = code_of(error);
    if code == ErrorCode::Unavailable {
        tracing::error!(?error, "a host was not served");
    }
    error_reply(code, error.to_string())
}

fn shown(registrar: &Registrar, issued: &Issued) -> Certificate {
    let authority = registrar.authority().map(|authority| Authority::certificate(authority));
    Certificate {
        chain: pem(&issued.certificate),
        authority: authority.map(pem).unwrap_or_default(),
        not_after: rfc3339(issued.not_after),
        renew_at: rfc3339(issued.renew_at),
    }
}

/// RFC 7468 §2: base 64 in lines of 64 characters.
fn pem(certificate: &CertificateDer<'_>) -> String {
    let mut form = Specification::new();
    form.symbols.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    form.padding = Some('=');
    form.wrap.width = 64;
    form.wrap.separator.push('\n');
    let form = form.encoding().expect("the alphabet is that of base 64");
    format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", form.encode(certificate))
}

fn signing_key(text: &str) -> Result<rcgen::PublicKey, SigningRequestFault> {
    let request = BASE64.decode(text.as_bytes()).map_err(|_| SigningRequestFault)?;
    requested_key(&request)
}

pub(super) fn other_version(spoken: u16) -> Option<Reply> {
    let ours = wire::API_VERSION;
    (spoken != ours).then(|| {
        let message = format!(
            "the agent speaks version {spoken}, this verifier version {ours}: bring both to the same release"
        );
        error_reply(ErrorCode::Malformed, message)
    })
}

/// The parser's own words may quote what was sent; they stay inside.
pub(super) async fn parse<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Reply> {
    let body = body::read(request).await?;
    serde_json::from_slice(&body).map_err(|_| super::super::verify::not_a_request())
}
