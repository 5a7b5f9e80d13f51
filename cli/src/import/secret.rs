//! The secret of one token, for `postern token add`.

use std::path::Path;

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::private_file;
use crate::failure::Failure;
use crate::typed::Typed;

/// Reads a secret out of a file or, where the path is `-`, asks for it; returns it in hexadecimal.
///
/// # Errors
/// When the file cannot be read or others can, or when there is no secret of 16 to 128 bytes in it. No error
/// repeats what it holds.
pub fn read(path: &Path, typed: &Typed) -> Result<Zeroizing<String>, Failure> {
    let is_stdin = path.as_os_str() == "-";
    let line = if is_stdin { typed.line("the secret", "Secret: ")? } else { private_file::first_line(path)? };
    let path = if is_stdin { Path::new("stdin") } else { path };
    parse(&line).map_err(|problem| Failure::UnfitFile { path: path.into(), problem })
}

/// A secret is written here as in a list of tokens, so it is read as the only row of one.
fn parse(line: &str) -> Result<Zeroizing<String>, String> {
    let quoted = Zeroizing::new(line.replace('"', "\"\""));
    let list = Zeroizing::new(format!("S,\"{}\",hotp\n", *quoted));
    let rows = pskc::csv::read(list.as_bytes()).map_err(|error| format!("holds no secret: {error}"))?.rows;
    match rows.into_iter().next() {
        Some(Ok(row)) => Ok(Zeroizing::new(HEXLOWER.encode(&row.secret))),
        Some(Err(fault)) => Err(format!("holds no secret of a token: {}", fault.reason)),
        None => Err("holds no secret".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_base32_or_hexadecimal() {
        let hex = "3132333435363738393031323334353637383930";
        for line in [hex, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "gezd gnbv gy3t qojq gezd gnbv gy3t qojq"] {
            assert_eq!(parse(line).expect(line).as_str(), hex);
        }
    }

    /// covers: A18
    #[test]
    fn what_is_no_secret_is_refused_without_being_repeated() {
        let long = "41".repeat(129);
        for line in ["zzzz!", "\"", "a,b", "GEZDGNBV", "00112233", long.as_str(), "x\",\"y"] {
            let problem = parse(line).expect_err(line);
            assert!(problem.starts_with("holds no secret of a token: the secret "), "{line}: {problem}");
            assert!(!problem.contains(line) || line.len() < 4, "{line}: {problem}");
        }
    }
}
