//! What a host says of its offline passwords: `wire::offline` has the messages.

use data_encoding::BASE64;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use offline_password::universal::Anchor;
use serve::{Reply, error_reply, json_reply};
use wire::error::ErrorCode;
use wire::offline::{OfflineAnchor, OfflineKey, OfflineOrders, OfflineReport, TIME_ZONE_BYTES_MAX, USES_MAX};
use wire::session::TEXT_BYTES_MAX;
use zeroize::Zeroize as _;

use super::membership::{other_version, parse};
use crate::clock::UnixTime;
use crate::config::OfflineConfig;
use crate::hosts::Host;
use crate::offline::{Maker, Said, Used};

/// Hears it, and says what holds at the host from now on. Where passwords are turned off, uses are noted all the same.
pub(super) async fn answer(
    maker: &Maker,
    config: &OfflineConfig,
    host: &Host,
    clock: UnixTime,
    request: Request<Incoming>,
) -> Reply {
    let report: OfflineReport = match parse(request).await {
        Ok(report) => report,
        Err(refusal) => return refusal,
    };
    if let Some(refusal) = other_version(report.api_version) {
        return refusal;
    }
    let said = match said(report) {
        Ok(said) => said,
        Err(message) => return error_reply(ErrorCode::Malformed, message),
    };
    match maker.hear(host.identity.clone(), said, config.enabled).await {
        Ok(heard) => {
            let key = heard
                .key
                .map(|given| OfflineKey { epoch: given.epoch, key: BASE64.encode(given.key.expose()) });
            let (noted, revoked, ended) = (heard.noted, heard.revoked, heard.ended);
            let universal = maker.universal().anchor().filter(|_| config.enabled).map(|anchor| told(&anchor));
            let mut orders =
                OfflineOrders { key, noted, revoked, ended, universal, ..orders(config, host, clock) };
            let reply = json_reply(StatusCode::OK, &orders);
            if let Some(key) = &mut orders.key {
                key.key.zeroize();
            }
            reply
        }
        Err(error) => {
            tracing::error!(%error, host = %host.identity.name, "what a host says of offline passwords was not noted");
            // Not 503: an agent leaves a verifier alone that says so, its logins too.
            error_reply(ErrorCode::Throttled, error.to_string())
        }
    }
}

fn orders(config: &OfflineConfig, host: &Host, clock: UnixTime) -> OfflineOrders {
    OfflineOrders {
        api_version: wire::API_VERSION,
        host: host.record.id.to_string(),
        clock,
        is_enabled: config.enabled,
        key: None,
        noted: Vec::new(),
        revoked: Vec::new(),
        ended: Vec::new(),
        has_resets: config.lockout_reset,
        contact: config.contact.clone(),
        file_transfer_services: config.file_transfer_services.clone(),
        asks_within_grants: config.revocations_pierce_freeze,
        universal: None,
    }
}

fn told(anchor: &Anchor) -> OfflineAnchor {
    let (fleet, hour, link) = anchor.expose();
    OfflineAnchor { fleet: BASE64.encode(&fleet), hour, link: BASE64.encode(&link.to_be_bytes()) }
}

/// A report whose texts and numbers are within their bounds.
fn said(report: OfflineReport) -> Result<Said, String> {
    let OfflineReport { api_version: _, epoch, generation, highest, time_zone, uses } = report;
    if uses.len() > USES_MAX {
        return Err(format!("uses: at most {USES_MAX} are told at once"));
    }
    let is_name =
        |text: &String| text.len() <= TIME_ZONE_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    if time_zone.as_ref().is_some_and(|zone| !is_name(zone)) {
        return Err(format!(
            "time_zone: at most {TIME_ZONE_BYTES_MAX} printable ASCII characters are needed"
        ));
    }
    let is_told = |text: &str| text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control);
    if uses.iter().any(|used| !is_told(&used.user) || !is_told(&used.service)) {
        return Err(format!(
            "user and service: at most {TEXT_BYTES_MAX} bytes are needed, without control characters"
        ));
    }
    let epoch_of_uses = match epoch {
        Some(epoch) => epoch,
        None if uses.is_empty() => 0,
        None => return Err("uses: they need the number of their key, `epoch`".into()),
    };
    let used = |used: wire::offline::OfflineUse| Used {
        epoch: epoch_of_uses,
        counter: used.counter,
        user: used.user,
        service: used.service,
        at: used.at,
        until: used.until,
    };
    Ok(Said { epoch, generation, highest, time_zone, uses: uses.into_iter().map(used).collect() })
}
