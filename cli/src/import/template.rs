//! `postern token export-template`: a file as `import` reads it, to be filled in.

use pskc::{Algorithm, KeyPackage, Protection, TokenRow, TokenType, Validity};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::args::FileFormat;
use crate::failure::Failure;
use crate::output::json::Document;
use crate::output::{Answer, Format};

/// A file's text, for those who want it as JSON.
#[derive(Serialize)]
struct Template<'a> {
    format: &'static str,
    text: &'a str,
}

/// Prints a file with an example of each type of token. Their serial numbers and secrets are no one's.
pub fn run(format: FileFormat, output: Format) -> Result<Answer, Failure> {
    let (name, text) = match format {
        FileFormat::Csv => ("csv", pskc::csv::template().to_owned()),
        FileFormat::Pskc => ("pskc", pskc_template()),
    };
    let template = Template { format: name, text: &text };
    Answer::one(output, &Document::new("import_template", &template), || text.clone())
}

fn pskc_template() -> String {
    let packages = [package(1, TokenType::Totp), package(2, TokenType::Hotp)];
    // Nothing is encrypted, so nothing is drawn.
    let document = pskc::write(&packages, &Protection::None, &mut |_| {});
    String::from_utf8_lossy(&document).into_owned()
}

fn package(row: u64, token_type: TokenType) -> KeyPackage {
    let (serial, time_interval, counter) = match token_type {
        TokenType::Totp => ("EXAMPLE-TOTP", Some(30), None),
        TokenType::Hotp => ("EXAMPLE-HOTP", None, Some(0)),
    };
    // Twenty bytes, all but the last of them zero: nobody's secret.
    let mut secret = Zeroizing::new(vec![0; 20]);
    secret[19] = u8::try_from(row).unwrap_or_default();
    KeyPackage {
        token: TokenRow {
            row,
            serial: serial.to_owned(),
            token_type,
            secret,
            algorithm: Algorithm::Sha1,
            digits: 6,
            time_interval,
            counter,
            time_drift: None,
        },
        key_id: serial.to_owned(),
        manufacturer: None,
        model: None,
        issuer: None,
        device_validity: Validity::default(),
        key_validity: Validity::default(),
        key_usages: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use pskc::Unlock;

    use super::*;

    #[test]
    fn each_template_is_read_back_with_one_token_of_each_type() {
        let list = pskc::csv::read(pskc::csv::template().as_bytes()).expect("a list").rows;
        let tokens: Vec<TokenType> = list.into_iter().map(|row| row.expect("a token").token_type).collect();
        assert_eq!(tokens, [TokenType::Totp, TokenType::Hotp]);
        let document = pskc::read(pskc_template().as_bytes(), &Unlock::None).expect("a container").packages;
        let tokens: Vec<TokenRow> = document.into_iter().map(|each| each.expect("a token").token).collect();
        assert_eq!(
            tokens.iter().map(|token| token.token_type).collect::<Vec<_>>(),
            [TokenType::Totp, TokenType::Hotp]
        );
        assert_eq!((tokens[0].time_interval, tokens[1].counter), (Some(30), Some(0)));
    }
}
