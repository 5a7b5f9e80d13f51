//! The verifier's own certificate, and what a handshake demands: TLS 1.3, HTTP/2, no session that is resumed.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{ServerName, UnixTime as TlsTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ServerConfig, crypto::CryptoProvider};
use tokio_rustls::TlsAcceptor;

use crate::clock::{Clock, UnixTime};
use crate::hosts::authority::SiteAuthorityError;
use crate::hosts::handshake::HostVerifier;
use crate::hosts::{Authority, AuthorityError, HostId};

/// Seconds until a certificate that could not be made is tried again.
const RETRY_SECONDS: u64 = 60;

/// Why the fleet is not served.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// It does not sign.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Its certificate cannot be the root of others.
    #[error("the fleet's authority cannot be the root of others")]
    Root(#[from] VerifierBuilderError),
    /// The certificate and its key cannot be used.
    #[error("the verifier's certificate cannot be used")]
    Tls(#[from] rustls::Error),
}

/// What encrypts the fleet's connections.
#[derive(Debug)]
pub(super) struct FleetTls {
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
    hosts: Arc<HostVerifier>,
    present: ArcSwap<Present>,
}

#[derive(Debug)]
struct Present {
    config: Arc<ServerConfig>,
    names: Vec<ServerName<'static>>,
    /// Before this it was not made: the clock was set back over it.
    made: UnixTime,
    renew_at: UnixTime,
}

impl FleetTls {
    /// Makes the first certificate. Tries as well whether a host's certificate of this authority is believed.
    ///
    /// # Errors
    /// See [`FleetError`].
    pub(super) fn new(
        authority: Arc<Authority>,
        clock: Arc<dyn Clock>,
        names: &[ServerName<'static>],
    ) -> Result<Self, FleetError> {
        let provider = Arc::new(default_provider());
        let hosts = Arc::new(HostVerifier::new(&authority, Arc::clone(&provider))?);
        try_out(&authority, &hosts, clock.now())?;
        let present = make(&authority, &clock, &provider, &hosts, names)?;
        Ok(Self { authority, clock, provider, hosts, present: ArcSwap::from_pointee(present) })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.present.load().config).into()
    }

    pub(super) fn look_after(&self, names: &[ServerName<'static>]) {
        let (now, present) = (self.clock.now(), self.present.load_full());
        if (present.made..present.renew_at).contains(&now) && present.names == names {
            return;
        }
        match make(&self.authority, &self.clock, &self.provider, &self.hosts, names) {
            Ok(newer) => {
                self.present.store(Arc::new(newer));
                tracing::info!("the fleet's listener has a new certificate");
            }
            Err(error) => {
                // What is there serves on: as long as it can, and with the names it has.
                let (names, config) = (names.to_vec(), Arc::clone(&present.config));
                let renew_at = now.saturating_add(RETRY_SECONDS);
                self.present.store(Arc::new(Present { config, names, made: now, renew_at }));
                tracing::error!(
                    "the fleet's listener keeps its old certificate: {:#}",
                    anyhow::Error::from(error)
                );
            }
        }
    }
}

fn make(
    authority: &Authority,
    clock: &Arc<dyn Clock>,
    provider: &Arc<CryptoProvider>,
    hosts: &Arc<HostVerifier>,
    names: &[ServerName<'static>],
) -> Result<Present, FleetError> {
    let now = clock.now();
    let own = authority.certify_verifier(names, now)?;
    let time = Arc::new(WallTime(Arc::clone(clock)));
    let mut config = ServerConfig::builder_with_details(Arc::clone(provider), time)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::clone(hosts) as Arc<dyn ClientCertVerifier>)
        .with_single_cert(own.chain, own.key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A session that is resumed is not asked for its certificate again.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Present { config: Arc::new(config), names: names.to_vec(), made: now, renew_at: own.renew_at })
}

/// A site's authority may be bound to names that hosts do not have.
fn try_out(authority: &Authority, hosts: &HostVerifier, now: UnixTime) -> Result<(), FleetError> {
    let key = rcgen::KeyPair::generate().map_err(AuthorityError::from)?;
    let issued = authority.certify_host(HostId::from_random([0; 16]), &key, now)?;
    let now = TlsTime::since_unix_epoch(Duration::from_secs(now));
    hosts
        .verify_client_cert(&issued.certificate, &[], now)
        .map_err(|source| AuthorityError::from(SiteAuthorityError::NotBelieved { source }))?;
    Ok(())
}

/// The one clock, for handshakes.
#[derive(Debug)]
pub(super) struct WallTime(pub(super) Arc<dyn Clock>);

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<TlsTime> {
        Some(TlsTime::since_unix_epoch(Duration::from_secs(self.0.now())))
    }
}
