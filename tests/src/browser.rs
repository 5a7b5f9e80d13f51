//! A real browser: Chromium without a window, driven over WebDriver.
//!
//! It trusts the one certificate of the rig, finds no machine but this one, and notes what its console says and what it
//! asks for. Everything that it starts ends with it.
//!
//! Source: W3C WebDriver; the Chrome DevTools Protocol, where WebDriver has no word for something.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use data_encoding::{BASE64, HEXLOWER};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thirtyfour::common::command::ExtensionCommand;
use thirtyfour::error::WebDriverResult;
use thirtyfour::extensions::query::ElementPollerNoWait;
use thirtyfour::{By, Capabilities, TypingData, WebDriver, WebElement};
use tokio::runtime::Runtime;

use crate::api::CERTIFICATE_FILE;
use crate::machine::{folder, run};
use crate::pages::BASE;
use crate::terminal::plain_environment;
use crate::time::{PATIENCE, wait_at_most, wait_for};

pub use thirtyfour::Key;

/// Debian's driver.
const DRIVER: &str = "/usr/bin/chromedriver";

/// What the browser is told besides the certificate and its folder: no window, no sandbox of its own (it runs as root,
/// in ours), nothing in the background, and no name but ours.
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-crash-reporter",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
];

/// Width, height and grey values of a picture, in base 64 both.
const GREY: &str = "return (async (text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
  const { width, height } = picture;
  const paper = new OffscreenCanvas(width, height).getContext('2d');
  paper.drawImage(picture, 0, 0);
  const { data } = paper.getImageData(0, 0, width, height);
  let grey = '';
  for (let at = 0; at < data.length; at += 4)
    grey += String.fromCharCode((data[at] + data[at + 1] + data[at + 2]) / 3);
  return [width, height, btoa(grey)];
})(arguments[0])";

/// The browser's pages about itself, such as the one that it begins with.
const OWN_PAGES: [&str; 2] = ["chrome://", "chrome-untrusted://"];

/// The next driver's port: a port that was given back is not taken again.
static PORT: AtomicU16 = AtomicU16::new(9515);

/// How the browser looks at a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Width of its window in CSS pixels.
    pub width: u32,
    /// Height of its window.
    pub height: u32,
    /// Whether its reader likes it dark.
    pub is_dark: bool,
}

impl Look {
    /// A desk.
    pub const DESKTOP: Self = Self { width: 1280, height: 800, is_dark: false };
    /// A phone held upright.
    pub const PHONE: Self = Self { width: 390, height: 844, is_dark: false };
    /// The smallest that a page has to fit. Source: WCAG 2.2, 1.4.10 (reflow).
    pub const NARROW: Self = Self { width: 320, height: 640, is_dark: false };

    /// The same in the dark.
    #[must_use]
    pub const fn dark(self) -> Self {
        Self { is_dark: true, ..self }
    }
}

/// A browser with cookies of its own; ended when dropped.
pub struct Browser {
    runtime: Runtime,
    session: Option<WebDriver>,
    driver: Child,
    /// The browser's own process.
    process: Option<Pid>,
    profile: PathBuf,
}

impl Browser {
    /// Starts one that knows nobody, and trusts the certificate of `api::make_certificate`, which must be there.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let port = PORT.fetch_add(1, Ordering::Relaxed);
        let profile = folder().join(format!("browser-{port}"));
        let _ = fs::remove_dir_all(&profile);
        fs::create_dir_all(&profile).expect("its folder");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let log = fs::File::create(profile.join("driver.log")).expect("its log");
        let mut command = Command::new(DRIVER);
        command.arg(format!("--port={port}")).env("HOME", &profile).current_dir("/");
        plain_environment(&mut command);
        let log_too = log.try_clone().expect("its log");
        let driver = command.stdin(Stdio::null()).stdout(log).stderr(log_too).spawn().expect("chromedriver");
        let mut browser = Self { runtime, session: None, driver, process: None, profile };
        browser.open_session(port);
        browser.look(Look::DESKTOP);
        browser
    }

    fn open_session(&mut self, port: u16) {
        wait_for("chromedriver", || {
            let ended = self.driver.try_wait().expect("chromedriver");
            assert!(ended.is_none(), "chromedriver ended: {}", self.driver_log());
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        let client = reqwest::Client::builder().no_proxy().timeout(2 * PATIENCE).build().expect("a client");
        let address = format!("http://127.0.0.1:{port}");
        let connected = WebDriver::builder(address, self.capabilities())
            .poller(Arc::new(ElementPollerNoWait))
            .client(client)
            .connect();
        let session = self
            .runtime
            .block_on(connected)
            .unwrap_or_else(|error| panic!("no browser: {error}\n{}", self.driver_log()));
        let process = session.handle().capabilities().get("goog:processID").and_then(Value::as_i64);
        self.process = process.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        self.session = Some(session);
    }

    fn capabilities(&self) -> Capabilities {
        let mut flags: Vec<String> = FLAGS.iter().map(ToString::to_string).collect();
        flags.push(format!("--user-data-dir={}", self.profile.join("profile").display()));
        flags.push(format!("--ignore-certificate-errors-spki-list={}", key_of(CERTIFICATE_FILE)));
        let told = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": flags },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let Value::Object(told) = told else { unreachable!("an object") };
        Capabilities::from(told)
    }

    /// The session, for what is not here. Its futures are run by [`Self::wait`].
    pub fn session(&self) -> &WebDriver {
        self.session.as_ref().expect("it runs")
    }

    /// Runs what the session is asked.
    pub fn wait<T>(&self, asked: impl Future<Output = T>) -> T {
        self.runtime.block_on(asked)
    }

    /// Goes to a page and waits until it is there.
    ///
    /// * `place`: a path of ours, or a whole address.
    ///
    /// # Panics
    /// When the browser cannot show it.
    #[track_caller]
    pub fn open(&self, place: &str) {
        let address = if place.starts_with('/') { format!("{BASE}{place}") } else { place.to_owned() };
        let opened = self.wait(self.session().goto(address.as_str()));
        opened.unwrap_or_else(|error| panic!("cannot open {address}: {error}"));
    }

    /// Where it is: the path of a page of ours, or the whole address of another.
    ///
    /// # Panics
    /// When the browser has ended.
    pub fn place(&self) -> String {
        let address = self.wait(self.session().current_url()).expect("an address").to_string();
        address.strip_prefix(BASE).map(str::to_owned).unwrap_or(address)
    }

    /// Waits until it is there.
    ///
    /// # Panics
    /// When it does not get there.
    #[track_caller]
    pub fn expect_place(&self, place: &str) {
        let there = wait_at_most(PATIENCE, || (self.place() == place).then_some(()));
        assert!(there.is_some(), "at {} and not at {place}:\n{}", self.place(), self.text());
    }

    /// All that a reader of the page sees.
    pub fn text(&self) -> String {
        self.try_script("return document.body ? document.body.innerText : ''", &[]).unwrap_or_default()
    }

    /// Waits until the page shows a text.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn expect_text(&self, text: &str) {
        let shown = wait_at_most(PATIENCE, || self.text().contains(text).then_some(()));
        assert!(shown.is_some(), "no {text:?} at {}:\n{}", self.place(), self.text());
    }

    /// Whether the page has such an element.
    pub fn has(&self, selector: &str) -> bool {
        self.try_script("return document.querySelector(arguments[0]) !== null", &[json!(selector)])
            .unwrap_or_default()
    }

    /// Waits for an element.
    ///
    /// * `selector`: of CSS.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn element(&self, selector: &str) -> WebElement {
        let found = wait_at_most(PATIENCE, || self.wait(self.session().find(By::Css(selector))).ok());
        found.unwrap_or_else(|| panic!("no {selector} at {}:\n{}", self.place(), self.text()))
    }

    /// Clicks on an element, as a mouse does: it must be there to be seen.
    ///
    /// # Panics
    /// When it cannot be clicked on.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.wait(element.click()).unwrap_or_else(|error| panic!("cannot click on {selector}: {error}"));
    }

    /// Types into an element in place of what stands there.
    ///
    /// # Panics
    /// When it takes no text.
    #[track_caller]
    pub fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        let typed = self.wait(async {
            element.clear().await?;
            element.send_keys(text).await
        });
        typed.unwrap_or_else(|error| panic!("cannot type into {selector}: {error}"));
    }

    /// Presses keys, wherever the page has its focus.
    ///
    /// * `keys`: text, or a [`Key`].
    ///
    /// # Panics
    /// When the browser has ended.
    pub fn press(&self, keys: impl Into<TypingData>) {
        let keys: TypingData = keys.into();
        let text: String = keys.as_vec().into_iter().collect();
        self.wait(self.session().action_chain().send_keys(text).perform()).expect("keys");
    }

    /// Runs a script in the page, whatever the page's own rules for scripts say.
    ///
    /// * `script`: the body of a function, whose `arguments` are `given`.
    ///
    /// # Panics
    /// When it fails, or gives something else than a `T`.
    #[track_caller]
    pub fn script<T: DeserializeOwned>(&self, script: &str, given: &[Value]) -> T {
        self.try_script(script, given).unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// The same where the page may be about to go.
    ///
    /// # Errors
    /// When the script cannot be run, or gives something else than a `T`.
    pub fn try_script<T: DeserializeOwned>(&self, script: &str, given: &[Value]) -> WebDriverResult<T> {
        self.wait(self.session().execute(script, given.to_vec()))?.convert()
    }

    /// A command of WebDriver that belongs to an extension, such as the authenticators of WebAuthn.
    ///
    /// * `path`: after that of the session, such as `/webauthn/authenticator`.
    /// * `body`: what a `POST` says; without it the method is `DELETE`.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn extension(&self, path: &str, body: Option<Value>) -> Value {
        let answer = self.wait(self.session().cmd(thirtyfour::common::command::Command::ExtensionCommand(
            Box::new(Extension { path: path.into(), body }),
        )));
        let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        answer.value().unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A command of the DevTools Protocol.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn devtools(&self, method: &str, parameters: &Value) -> Value {
        self.extension("/goog/cdp/execute", Some(json!({ "cmd": method, "params": parameters })))
    }

    /// Looks at pages otherwise from now on.
    pub fn look(&self, look: Look) {
        let Look { width, height, is_dark } = look;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if is_dark { "dark" } else { "light" };
        let features = [
            json!({ "name": "prefers-color-scheme", "value": scheme }),
            json!({ "name": "prefers-reduced-motion", "value": "reduce" }),
        ];
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// A picture of the whole page, as PNG.
    ///
    /// # Panics
    /// When the browser gives none.
    #[track_caller]
    pub fn picture(&self) -> Vec<u8> {
        let answer = self.devtools(
            "Page.captureScreenshot",
            &json!({ "format": "png", "captureBeyondViewport": true, "clip": self.whole_page() }),
        );
        BASE64.decode(answer["data"].as_str().expect("a picture").as_bytes()).expect("a picture")
    }

    /// What the QR code says that the page shows, to a telephone that is held before it.
    ///
    /// # Panics
    /// When the browser gives no picture.
    pub fn scan(&self) -> Option<String> {
        let picture = BASE64.encode(&self.picture());
        let (width, height, grey): (usize, usize, String) = self.script(GREY, &[json!(picture)]);
        let grey = BASE64.decode(grey.as_bytes()).expect("base 64");
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| grey[y * width + x]);
        image.detect_grids().first()?.decode().ok().map(|(_, text)| text)
    }

    fn whole_page(&self) -> Value {
        let size = &self.devtools("Page.getLayoutMetrics", &json!({}))["cssContentSize"];
        json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 })
    }

    /// What the console has said since it was asked last: faults of scripts, and whatever a page's policy refuses.
    ///
    /// # Panics
    /// When the browser has ended.
    pub fn console(&self) -> Vec<String> {
        let entries = self.wait(self.session().browser_log()).expect("the console");
        let said =
            entries.into_iter().filter(|entry| !OWN_PAGES.iter().any(|own| entry.message.contains(own)));
        said.map(|entry| format!("{} {}", entry.level, entry.message)).collect()
    }

    /// Every address that it has asked for since it was asked last, whether there was an answer or not.
    ///
    /// # Panics
    /// When the browser has ended.
    pub fn requested(&self) -> Vec<String> {
        let events = self.wait(self.session().get_log("performance")).expect("what was asked for");
        let address = |text: &str| {
            let event: Value = serde_json::from_str(text).expect("an event");
            let (method, parameters) = (&event["message"]["method"], &event["message"]["params"]);
            let page = parameters["documentURL"].as_str().unwrap_or_default();
            let is_own = OWN_PAGES.iter().any(|own| page.starts_with(own));
            let is_request = method == "Network.requestWillBeSent" && !is_own;
            is_request.then(|| parameters["request"]["url"].as_str().expect("an address").to_owned())
        };
        events.iter().filter_map(|event| address(&event.message)).collect()
    }

    fn driver_log(&self) -> String {
        fs::read_to_string(self.profile.join("driver.log")).unwrap_or_default()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() && self.session.is_some() {
            println!("--- the browser stands at {}\n{}", self.place(), self.text());
        }
        if let Some(session) = self.session.take() {
            // A browser that has died does not answer; it is ended below.
            let _ = self.runtime.block_on(session.quit());
        }
        if let Some(process) = self.process {
            let ended = wait_at_most(PATIENCE, || test_kill_process(process).is_err().then_some(()));
            if ended.is_none() {
                let _ = kill_process(process, Signal::KILL);
            }
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}

/// A command that thirtyfour has no name for.
#[derive(Debug)]
struct Extension {
    path: Arc<str>,
    body: Option<Value>,
}

impl ExtensionCommand for Extension {
    fn parameters_json(&self) -> Option<Value> {
        self.body.clone()
    }

    fn method(&self) -> Method {
        if self.body.is_some() { Method::POST } else { Method::DELETE }
    }

    fn endpoint(&self) -> Arc<str> {
        Arc::clone(&self.path)
    }
}

/// The hash of a certificate's public key, as the browser's list of trusted keys has it.
fn key_of(certificate: &str) -> String {
    let file = |name: &str| folder().join(name).display().to_string();
    let (pem, der) = (file("browser-key.pem"), file("browser-key.der"));
    run("openssl", &["x509", "-in", certificate, "-noout", "-pubkey", "-out", &pem]);
    run("openssl", &["pkey", "-pubin", "-in", &pem, "-outform", "der", "-out", &der]);
    let said = run("openssl", &["dgst", "-sha256", "-r", &der]);
    let hash = HEXLOWER.decode(said.split(' ').next().unwrap_or_default().as_bytes()).expect("a hash");
    BASE64.encode(&hash)
}
