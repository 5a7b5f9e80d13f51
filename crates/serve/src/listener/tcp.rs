//! A socket of the network.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use super::{ListenError, widen_queue};
use crate::tally::Tally;

/// A listening socket of the network. Whether TLS is spoken there, its handler says.
#[derive(Debug)]
pub struct NetworkListener {
    address: SocketAddr,
    inner: TcpListener,
    tally: Arc<Tally>,
}

impl NetworkListener {
    /// Listens at an address.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let place = address.to_string();
        match TcpListener::bind(address) {
            Ok(inner) => Self::inherited(inner),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(ListenError::InUse { place }),
            Err(source) => Err(ListenError::System { place, source }),
        }
    }

    /// Takes over a socket that systemd opened.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn inherited(inner: TcpListener) -> Result<Self, ListenError> {
        let prepared = inner.local_addr().and_then(|address| {
            inner.set_nonblocking(true)?;
            // Connections inherit it: replies are written whole, and wait for no acknowledgement.
            rustix::net::sockopt::set_tcp_nodelay(&inner, true)?;
            widen_queue(&inner)?;
            Ok(address)
        });
        match prepared {
            Ok(address) => Ok(Self { address, inner, tally: Arc::default() }),
            Err(source) => Err(ListenError::System { place: "the socket of the network".into(), source }),
        }
    }

    /// Where it listens, with the port that the system chose where none was named.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn place(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    pub(super) fn duplicate(&self) -> io::Result<TcpListener> {
        self.inner.try_clone()
    }
}

/// What counts as one source: an address, or a network of 64 bits.
pub fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            Ipv6Addr::from_bits(network).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: F06
    #[test]
    fn a_source_is_an_address_or_the_network_that_one_customer_gets() {
        let of = |text: &str| source(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_ne!(of("2001:db8:1:3::1"), of("2001:db8:1:2::1"));
    }

    #[test]
    fn an_address_where_somebody_answers_is_refused_by_name() {
        let first = NetworkListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = NetworkListener::bind(first.address()).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("another process answers at {}: stop it, or name another place", first.place())
        );
    }
}
