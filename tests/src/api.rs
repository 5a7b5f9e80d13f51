//! Verification without a dialogue, as other programs ask for it: by `curl`, over every transport.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use wire::verify::{BATCH_PATH, VERIFY_PATH};

use crate::login_socket::random_id;
use crate::machine::run;
use crate::verifier::config;

/// Where the API listens in tests.
pub const ADDRESS: &str = "127.0.0.1:7878";
/// The file with its key.
pub const KEY_FILE: &str = "/etc/postern/api.key";
/// A key.
pub const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Its certificate, where it has one; that of the pages too.
pub const CERTIFICATE_FILE: &str = "/etc/postern/api.pem";
const PRIVATE_KEY_FILE: &str = "/etc/postern/api-private.pem";
const HEADER_FILE: &str = "/etc/postern/api-header";

/// How a program asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The login socket, HTTP/1.1.
    Unix,
    /// The login socket, HTTP/2 by prior knowledge.
    UnixHttp2,
    /// The API without a certificate, HTTP/1.1.
    Tcp,
    /// The API without a certificate, HTTP/2 by prior knowledge.
    TcpHttp2,
    /// The API with a certificate, HTTP/1.1.
    Tls,
    /// The API with a certificate, HTTP/2 by agreement.
    TlsHttp2,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// HTTP version, as curl says it: `1.1` or `2`.
    pub version: String,
    /// The body.
    pub body: Value,
}

impl Answer {
    /// The verdict of one code.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn verdict(&self) -> &str {
        self.body["verdict"].as_str().unwrap_or_else(|| panic!("no verdict: {self:?}"))
    }

    /// The verdicts of a batch.
    ///
    /// # Panics
    /// When there are none.
    #[track_caller]
    pub fn verdicts(&self) -> Vec<&str> {
        let items = self.body["items"].as_array().unwrap_or_else(|| panic!("no verdicts: {self:?}"));
        items.iter().map(|item| item["verdict"].as_str().expect("a verdict")).collect()
    }
}

/// The rig's configuration with an API on loopback.
pub fn plain() -> String {
    config(&format!("[api]\nlisten = \"{ADDRESS}\"\nkey_file = \"{KEY_FILE}\"\n"))
}

/// The same with a certificate.
pub fn encrypted() -> String {
    let files =
        format!("certificate_file = \"{CERTIFICATE_FILE}\"\nprivate_key_file = \"{PRIVATE_KEY_FILE}\"\n");
    format!("{}{files}", plain())
}

/// Writes the API's key, where a configuration's folder is.
pub fn write_key(key: &str) {
    for (path, text) in [(KEY_FILE, key.to_owned()), (HEADER_FILE, format!("authorization: Bearer {key}\n"))]
    {
        fs::write(path, text).expect("writing the key");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("writing the key");
    }
}

/// Makes a certificate for `localhost`.
pub fn make_certificate() {
    let names = "subjectAltName=DNS:localhost";
    let new =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let to =
        ["-keyout", PRIVATE_KEY_FILE, "-out", CERTIFICATE_FILE, "-subj", "/CN=localhost", "-addext", names];
    run("openssl", &[&new[..], &to[..]].concat());
    fs::set_permissions(PRIVATE_KEY_FILE, fs::Permissions::from_mode(0o600)).expect("the private key");
}

/// One item, under a new request id.
pub fn item(user: &str, code: &str) -> Value {
    let request_id = random_id().expect("an id");
    json!({"request_id": request_id, "user": user, "service": "vpn", "rhost": "192.0.2.44", "code": code})
}

/// Asks about one code.
#[track_caller]
pub fn verify(transport: Transport, item: &Value) -> Answer {
    answer(&ask(transport, VERIFY_PATH, item, &["--header", &format!("@{HEADER_FILE}")]))
}

/// Asks about many.
#[track_caller]
pub fn verify_all(transport: Transport, items: &[Value]) -> Answer {
    let batch = json!({ "items": items });
    answer(&ask(transport, BATCH_PATH, &batch, &["--header", &format!("@{HEADER_FILE}")]))
}

/// Runs curl.
///
/// * `more`: its further arguments, such as a key.
pub fn ask(transport: Transport, path: &str, body: &Value, more: &[&str]) -> Output {
    let socket = ["--unix-socket", wire::LOGIN_SOCKET];
    let (arguments, place): (&[&str], String) = match transport {
        Transport::Unix => (&socket, "http://localhost".into()),
        Transport::UnixHttp2 => {
            (&[socket[0], socket[1], "--http2-prior-knowledge"], "http://localhost".into())
        }
        Transport::Tcp => (&[], format!("http://{ADDRESS}")),
        Transport::TcpHttp2 => (&["--http2-prior-knowledge"], format!("http://{ADDRESS}")),
        Transport::Tls => (&["--cacert", CERTIFICATE_FILE, "--http1.1"], "https://localhost:7878".into()),
        Transport::TlsHttp2 => (&["--cacert", CERTIFICATE_FILE, "--http2"], "https://localhost:7878".into()),
    };
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--max-time",
        "25",
        "--write-out",
        "\n%{http_version} %{http_code}",
    ]);
    curl.args(["--header", "content-type: application/json", "--data-binary", "@-"]);
    curl.args(arguments).args(more).arg(format!("{place}{path}"));
    curl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut curl = curl.spawn().expect("curl");
    let mut input = curl.stdin.take().expect("its input");
    input.write_all(body.to_string().as_bytes()).expect("telling curl");
    drop(input);
    curl.wait_with_output().expect("curl")
}

/// Reads what curl says.
///
/// # Panics
/// When it got no answer.
#[track_caller]
pub fn answer(output: &Output) -> Answer {
    let text = String::from_utf8_lossy(&output.stdout);
    let parts = text.rsplit_once('\n').and_then(|(body, rest)| Some((body, rest.split_once(' ')?)));
    let Some((body, (version, status))) = parts.filter(|_| output.status.success()) else {
        panic!("no answer: {output:?}");
    };
    let body = serde_json::from_str(body).unwrap_or_else(|_| panic!("not JSON: {body:?}"));
    Answer { status: status.parse().expect("a status"), version: version.into(), body }
}
