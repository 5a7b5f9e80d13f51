//! The way to the directory: a connection, StartTLS where that is wanted, TLS, and the [`gate`] through which
//! the library sees what comes. Nothing is asked before the server has shown a certificate that is trusted and has its name.

use std::io;
use std::os::unix::net::UnixStream as Library;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Url;

use super::gate::{self, Part};
use super::{DirectoryError, connection::refused};

/// `ExtendedRequest` that is message 1, with the name of StartTLS. Source: RFC 4511 §4.14.1.
const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

/// Longest answer to it: a code, and some words of the server's.
const STARTED_BYTES_MAX: usize = 4 * 1024;

/// The tags of its answer: the message, its id, the operation, the result code.
const ANSWER: [u8; 4] = [0x30, 0x02, 0x78, 0x0a];

/// What the library asks through. The way ends with it.
pub(super) async fn open(url: &str, tls: &Arc<ClientConfig>) -> Result<Library, DirectoryError> {
    let directory = encrypted(url, tls).await?;
    let (ours, theirs) = UnixStream::pair()?;
    let library = theirs.into_std()?;
    tokio::spawn(gate::carry(directory, ours));
    Ok(library)
}

async fn encrypted(url: &str, tls: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, DirectoryError> {
    let no_server = || io::Error::new(io::ErrorKind::InvalidInput, "directory.url names no server");
    let url = Url::parse(url).map_err(|_| no_server())?;
    let name = url.host_str().ok_or_else(no_server)?.to_owned();
    let starts_in_clear = url.scheme() == "ldap";
    let port = url.port().unwrap_or(if starts_in_clear { 389 } else { 636 });
    let mut stream = TcpStream::connect((name.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    if starts_in_clear {
        start_tls(&mut stream).await?;
    }
    let server = ServerName::try_from(name).map_err(|_| no_server())?;
    Ok(TlsConnector::from(Arc::clone(tls)).connect(server, stream).await?)
}

/// Asks for encryption. Whoever stands in between can say no, or nothing; what he says is read here alone.
async fn start_tls(stream: &mut TcpStream) -> Result<(), DirectoryError> {
    stream.write_all(START_TLS).await?;
    let mut answer = Vec::with_capacity(STARTED_BYTES_MAX);
    while gate::message(&answer).map_err(io::Error::from)?.is_none() {
        let room = STARTED_BYTES_MAX - answer.len();
        if (&mut *stream).take(room as u64).read_buf(&mut answer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    match started(&answer) {
        Some(0) => Ok(()),
        Some(code) => Err(refused("StartTLS", code, String::new())),
        None => Err(DirectoryError::Malformed),
    }
}

/// The result code of an answer, with which nothing else has come: what follows in the clear is no directory's.
fn started(answer: &[u8]) -> Option<u32> {
    let [message, id, operation, code] = ANSWER;
    let held = |tag, bytes| Part::split(bytes).filter(|(part, ..)| part.tag == tag);
    let (_, inside, behind) = held(message, answer)?;
    let (_, number, inside) = held(id, inside)?;
    let (_, result, _) = held(operation, inside)?;
    let (_, code, _) = held(code, result)?;
    match (behind, number, code) {
        (&[], &[1], &[code]) => Some(code.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: E5
    #[test]
    fn encryption_begins_only_where_the_answer_says_so_and_nothing_else() {
        let whole = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00";
        assert_eq!(started(whole), Some(0));
        assert_eq!(started(b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x34\x04\x00\x04\x00"), Some(52));
        for other in [
            // Another message, another operation, no code, a code that is long, something behind.
            &b"\x30\x0c\x02\x01\x02\x78\x07\x0a\x01\x00\x04\x00\x04\x00"[..],
            b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x00",
            b"\x30\x05\x02\x01\x01\x78\x00",
            b"\x30\x0d\x02\x01\x01\x78\x08\x0a\x02\x00\x00\x04\x00\x04\x00",
            b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00\x30\x00",
            b"\x30\x00",
            b"",
        ] {
            assert_eq!(started(other), None, "{other:x?}");
        }
    }

    #[test]
    fn start_tls_is_asked_for_by_its_name() {
        let (_, inside, behind) = Part::split(START_TLS).unwrap();
        let (_, number, inside) = Part::split(inside).unwrap();
        let (operation, inside, _) = Part::split(inside).unwrap();
        let (_, name, _) = Part::split(inside).unwrap();
        assert_eq!((number, operation.tag, behind), (&[1][..], 0x77, &[][..]));
        assert_eq!(name, b"1.3.6.1.4.1.1466.20037");
    }
}
