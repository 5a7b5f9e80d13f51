//! What the tests of this crate have in common.

use http_body_util::Full;
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use rustls_pki_types::CertificateDer;

use crate::{Handle, Peer, Reply, Tally, Terms, body};

/// Reads what is sent, and says how long it is.
#[derive(Clone, Copy, Debug)]
pub struct Measure;

impl Handle for Measure {
    type Guest = ();

    fn welcome(&self, _: Peer, _: Option<&[CertificateDer<'static>]>) -> Option<()> {
        Some(())
    }

    async fn answer(&self, (): &(), _: &Tally, request: Request<Incoming>) -> Reply {
        match body::read(request).await {
            Ok(body) => Reply::new(Full::new(Bytes::from(body.len().to_string()))),
            Err(refusal) => refusal,
        }
    }

    fn is_multiplexed(&self) -> bool {
        true
    }

    fn terms(&self, _: Peer) -> Terms {
        Terms::BOUNDED
    }
}

/// The same at a listener with 16 seats for strangers, of which 8 are theirs and 2 those of one source.
#[derive(Clone, Copy, Debug)]
pub struct MeasureStrangers;

impl Handle for MeasureStrangers {
    type Guest = ();

    fn welcome(&self, peer: Peer, certificates: Option<&[CertificateDer<'static>]>) -> Option<()> {
        Measure.welcome(peer, certificates)
    }

    async fn answer(&self, guest: &(), tally: &Tally, request: Request<Incoming>) -> Reply {
        Measure.answer(guest, tally, request).await
    }

    fn is_multiplexed(&self) -> bool {
        Measure.is_multiplexed()
    }

    fn terms(&self, peer: Peer) -> Terms {
        Measure.terms(peer)
    }

    fn connections_max(&self) -> usize {
        16
    }

    fn has_strangers(&self) -> bool {
        true
    }
}
