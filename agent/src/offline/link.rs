//! The agent's way to the service of offline passwords.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use wire::offline::OfflineOrders;

use super::keeper::Standing;
use super::messages::{BEGIN_PATH, Begin, Begun, ORDERS_PATH, REDEEM_PATH, Redeem, Redeemed, STANDING_PATH};
use crate::secret_body;

/// How long it may take: files that are brought to disk, on a disk that is slow.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// Longest text that is typed, and the names around it, as JSON.
const REDEEM_BYTES_MAX: usize = 8 * 1_024;

/// Why there was no answer. The log has it.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It does not run, or does not speak.
    #[error("the service of offline passwords does not answer")]
    Silent,
    /// It refused.
    #[error("the service of offline passwords refused with {0}")]
    Refused(StatusCode),
    /// What came is no answer.
    #[error("what the service of offline passwords answered cannot be read")]
    Form,
}

/// Asks it.
#[derive(Clone, Debug)]
pub struct Link {
    socket: PathBuf,
    /// Whether something may still let in that was used before: nobody asks where it does not.
    has_grants: Arc<AtomicBool>,
}

impl Link {
    /// * `socket`: where it listens.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, has_grants: Arc::new(AtomicBool::new(true)) }
    }

    /// How it stands.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn standing(&self) -> Result<Standing, LinkError> {
        let standing: Standing = self.ask(Method::GET, STANDING_PATH, Bytes::new()).await?;
        self.has_grants.store(standing.frozen_until.is_some(), Ordering::Relaxed);
        Ok(standing)
    }

    /// Passes on what a verifier says.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn obey(&self, orders: &OfflineOrders) -> Result<Standing, LinkError> {
        self.ask(Method::POST, ORDERS_PATH, json(orders)).await
    }

    /// Whether a password that was used may still let somebody in.
    pub fn has_grants(&self) -> bool {
        self.has_grants.load(Ordering::Relaxed)
    }

    /// What holds for a login.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn begin(&self, begin: &Begin) -> Result<Begun, LinkError> {
        self.ask(Method::POST, BEGIN_PATH, json(begin)).await
    }

    /// Has it check what was typed.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn redeem(&self, redeem: &Redeem) -> Result<Redeemed, LinkError> {
        let asked = self.ask(Method::POST, REDEEM_PATH, secret_body::of(redeem, REDEEM_BYTES_MAX)).await;
        self.has_grants.store(true, Ordering::Relaxed);
        asked
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, LinkError> {
        let asked = tokio::time::timeout(ANSWER_TIMEOUT, self.exchange(method, path, body)).await;
        let (status, body) = asked.map_err(|_| LinkError::Silent)??;
        if status != StatusCode::OK {
            return Err(LinkError::Refused(status));
        }
        serde_json::from_slice(&body).map_err(|_| LinkError::Form)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), LinkError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|_| LinkError::Silent)?;
        let (mut sender, driver) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|_| LinkError::Silent)?;
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.body(Full::new(body)).map_err(|_| LinkError::Form)?;
        let asked = async {
            let reply = sender.send_request(request).await.map_err(|_| LinkError::Silent)?;
            let status = reply.status();
            let body = Limited::new(reply.into_body(), wire::BODY_BYTES_MAX).collect().await;
            Ok((status, body.map_err(|_| LinkError::Form)?.to_bytes()))
        };
        tokio::select! {
            answered = asked => answered,
            // It ends with the connection, and the answer is there by then or never.
            _ = driver => Err(LinkError::Silent),
        }
    }
}

fn json<T: Serialize>(message: &T) -> Bytes {
    serde_json::to_vec(message).expect("messages hold only numbers, texts and lists").into()
}
