//! The listener for browsers.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::CertificateFiles;

/// Where browsers ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// What people type, and what stands in mails.
    pub base_url: BaseUrl,
    /// What the listener shows.
    pub certificate: CertificateFiles,
}

/// `https://otp.example.org:8443`: what every address of the pages begins with. No path, and no slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    authority: String,
}

impl BaseUrl {
    /// Reads one; `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let authority = text.strip_prefix("https://")?;
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (authority, None),
        };
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        let is_port =
            |port: &str| port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
        let is_right = name.len() <= 253 && name.split('.').all(is_label) && port.is_none_or(is_port);
        // A browser leaves the usual port out of what it sends.
        (is_right && port != Some("443")).then(|| Self { authority: authority.into() })
    }

    /// Name and port, as browsers send them in `Host`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The name alone.
    pub fn name(&self) -> &str {
        self.authority.split(':').next().unwrap_or(&self.authority)
    }

    /// The whole.
    pub fn origin(&self) -> String {
        format!("https://{}", self.authority)
    }
}

/// The section as written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWeb {
    listen: String,
    base_url: String,
    certificate_file: PathBuf,
    private_key_file: PathBuf,
}

impl From<&WebConfig> for RawWeb {
    fn from(web: &WebConfig) -> Self {
        let CertificateFiles { certificate_file, private_key_file } = web.certificate.clone();
        let (listen, base_url) = (web.listen.to_string(), web.base_url.origin());
        Self { listen, base_url, certificate_file, private_key_file }
    }
}

impl RawWeb {
    /// All that is wrong goes into `faults`; the section is `None` then.
    pub(super) fn check(self, faults: &mut Vec<String>) -> Option<WebConfig> {
        let Self { listen: at, base_url: url, certificate_file, private_key_file } = self;
        let before = faults.len();
        for (name, path) in [("certificate_file", &certificate_file), ("private_key_file", &private_key_file)]
        {
            if !path.is_absolute() {
                faults.push(format!("web.{name} = {path:?}: an absolute path is needed"));
            }
        }
        let listen = at.parse::<SocketAddr>().ok();
        if listen.is_none() {
            faults.push(format!(
                "web.listen = {at:?}: an address and a port such as \"0.0.0.0:8443\" is needed"
            ));
        }
        let base_url = BaseUrl::parse(&url);
        if base_url.is_none() {
            faults.push(format!(
                "web.base_url = {url:?}: \"https://\", a name in lower case and maybe a port is needed, such as \
                 \"https://otp.example.org:8443\", without a path, and without the port 443"
            ));
        }
        let certificate = CertificateFiles { certificate_file, private_key_file };
        let web = WebConfig { listen: listen?, base_url: base_url?, certificate };
        (faults.len() == before).then_some(web)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: C08
    #[test]
    fn a_base_url_has_one_form_and_no_path() {
        for right in ["https://otp.example.org", "https://otp:8443", "https://192.0.2.1:8443"] {
            assert_eq!(BaseUrl::parse(right).unwrap().origin(), right);
        }
        for wrong in [
            "http://otp.example.org",
            "https://otp.example.org/",
            "https://otp.example.org/path",
            "https://OTP.example.org",
            "https://otp.example.org:443",
            "https://otp.example.org:0",
            "https://otp.example.org:08443",
            "https://user@otp.example.org",
            "https://",
            "https://otp..org",
            "https://otp.example.org\r\nx:",
            "https://[::1]:8443",
        ] {
            assert_eq!(BaseUrl::parse(wrong), None, "{wrong}");
        }
    }
}
