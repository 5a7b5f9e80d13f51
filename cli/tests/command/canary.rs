//! Broken files of tokens: whatever is wrong with one, nothing that is printed or written holds a piece of a secret.

use std::fs;

use serde_json::{Value, json};

use crate::fake::{Ended, Fake, Reply};
use crate::import::Folder;

const HEX: &str = "8f3a1c5e77b2d9046a1be2c3d4f50617a9b8c7d6";
const BASE32: &str = "K5QWY3TSMVZW62LEMFXGIZLSMVQWY4TU";
const BASE64: &str = "j4Qz8Xk2LmN7vRt1Wc5yPb0sGhE=";

/// How many characters of a secret in a row are too many.
const PIECE: usize = 8;

/// A daemon that finds fault with every row, and repeats its serial number as it was sent.
fn daemon() -> Fake {
    Fake::hearing(|asked| {
        let body = match asked.line.as_str() {
            "POST /v1/imports" => json!({"id": "I1"}),
            "POST /v1/imports/I1/rows" => {
                let sent: Value = serde_json::from_str(&asked.body).expect("JSON");
                let rows = sent["rows"].as_array().expect("rows").clone();
                let fault =
                    |row: &Value| json!({"row": row["row"], "serial": row["serial"], "reason": "it exists"});
                json!({"faults": rows.iter().map(fault).collect::<Vec<_>>(), "staged": 0})
            }
            _ => json!({"tokens": 0}),
        };
        Reply::Says(200, body.to_string())
    })
}

/// Lists in which one thing or another went wrong; `§` stands for the secret.
const LISTS: &[&str] = &[
    // swapped columns, with and without a heading that says so
    "§,2600000005001,hotp\n",
    "§,2600000005001,hotp,6,0\n§,2600000005002,totp,6,30\n",
    "serial,secret,type\n§,2600000005001,hotp\n",
    "secret,serial,type\n2600000005001,§,hotp\n",
    "§,§,hotp\n",
    "§,§,motp\n",
    "hotp,§,2600000005001\n",
    "2600000005001,hotp,§\n",
    "2600000005001,§,§\n",
    "2600000005001,§,hotp,§,§,§\n",
    "2600000005001,§,totp,6,§\n",
    "2600000005001,§,hotp,6,0,§\n",
    "§\n",
    "§,\n",
    ",§,hotp\n",
    // other separators, also in the middle of a list with commas
    "2600000005001;§;hotp\n",
    "§;2600000005001;hotp\n",
    "§\t2600000005001\thotp\n",
    "2600000005001|§|hotp\n",
    "2600000005001 § hotp\n",
    "serial,secret,type\n2600000005001;§;hotp\n",
    "2600000005000,§,hotp\n2600000005001;§;hotp\n2600000005002\t§\thotp\n",
    "2600000005001;§;hotp,§,hotp\n",
    "serial;secret,type\n2600000005001;§,hotp\n",
    // quotes that are not closed, or stand in the wrong place
    "\"2600000005001,§,hotp\n",
    "2600000005001,\"§,hotp\n2600000005002,§,hotp\n",
    "2600000005001,§,\"hotp\n2600000005002,§,hotp\n",
    "\"2600000005001,§,hotp\n\"2600000005002,§,hotp\n",
    "2600000005001,\"§,hotp\n2600000005002,\"§,hotp\n",
    "'2600000005001','§','hotp'\n",
    "\"2600000005001\"\"§\",§,hotp,9\n",
    // prefixes, pieces, and lines of other kinds
    "hex:§,2600000005001,hotp\n",
    "base32:§,2600000005001,hotp\n",
    "=§,2600000005001,hotp\n",
    "2600000005001§,§,hotp,9\n",
    "§§,2600000005001,hotp\n",
    "§!,2600000005001,hotp\n",
    "2600000005001,§!,hotp\n",
    "otpauth://totp/x?secret=§,2600000005001,totp\n",
    "§,serial,secret\n",
    "serial,§,type\n",
    "serial,secret,type,§\n",
    "2600000005001,§,hotp,6,0,SHA1,§\n",
    "\u{fffd}§,2600000005001,hotp\n",
];

const CONTAINER: &str = r#"<?xml version="1.0"?>
<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc"><KeyPackage>
<DeviceInfo><SerialNo>2600123456789</SerialNo></DeviceInfo>
<Key Id="k1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:hotp">
<AlgorithmParameters><Suite>SHA1</Suite><ResponseFormat Length="6" Encoding="DECIMAL"/></AlgorithmParameters>
<Data><Secret><PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</PlainValue></Secret>
<Counter><PlainValue>7</PlainValue></Counter></Data><Policy><KeyUsage>OTP</KeyUsage></Policy>
</Key></KeyPackage></KeyContainer>"#;

/// What in a container becomes the secret.
const PLACES: &[&str] = &[
    ">2600123456789<",
    "\"k1\"",
    ">SHA1<",
    "\"6\"",
    "\"DECIMAL\"",
    "\"urn:ietf:params:xml:ns:keyprov:pskc:hotp\"",
    ">MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=<",
    ">7<",
    ">OTP<",
    "\"1.0\" xmlns",
];

fn containers(secret: &str) -> Vec<String> {
    let with = |place: &str| {
        let (open, close) = if place.starts_with('>') { (">", "<") } else { ("\"", "\"") };
        let rest = if place.ends_with("xmlns") { " xmlns" } else { "" };
        CONTAINER.replacen(place, &format!("{open}{secret}{close}{rest}"), 1)
    };
    let mut all: Vec<String> = PLACES.iter().map(|place| with(place)).collect();
    // Without a serial number the key's name takes its place.
    all.push(with("\"k1\"").replace("<DeviceInfo><SerialNo>2600123456789</SerialNo></DeviceInfo>", ""));
    all.push(CONTAINER.replace("<Policy>", &format!("<Policy><PINPolicy PINUsageMode=\"{secret}\"/>")));
    all.push(CONTAINER.replace(">2600123456789<", &format!(">&{secret};<")));
    all.push(CONTAINER.replace("<KeyPackage>", &format!("{secret}<KeyPackage>")));
    all
}

/// Every piece of the secret that is too long to be told, in lower case.
fn pieces(secret: &str) -> Vec<String> {
    let symbols: Vec<char> = secret.chars().filter(|symbol| !" -".contains(*symbol)).collect();
    symbols.windows(PIECE).map(|piece| piece.iter().collect::<String>().to_lowercase()).collect()
}

fn check(text: &str, secret: &str) {
    for form in ["table", "json", "ndjson"] {
        let folder = Folder::with(text);
        let rejects = folder.text("rejects.csv");
        let Ended { exit, stdout, stderr } =
            folder.import(&daemon(), &["-v", "--yes", "-o", form, "--reject-file", &rejects]);
        assert_eq!(exit, 1, "{text}: {stderr}");
        let written = fs::read_to_string(&rejects).unwrap_or_default();
        for told in [stdout, stderr, written] {
            let bare: String = told.chars().filter(|symbol| !" -".contains(*symbol)).collect();
            let bare = bare.to_lowercase();
            let found = pieces(secret).into_iter().find(|piece| bare.contains(piece));
            assert_eq!(found, None, "{form}: {text}\n{told}");
        }
    }
}

/// covers: A18
#[test]
fn no_piece_of_a_secret_leaves_a_broken_list() {
    let grouped = "k5qw y3ts mvzw 62le mfxg izls mvqw y4tu";
    let cut_off = &HEX[..20];
    for secret in [HEX, BASE32, BASE64, grouped, cut_off] {
        for list in LISTS {
            check(&list.replace('§', secret), secret);
        }
    }
}

/// covers: A18
#[test]
fn no_piece_of_a_secret_leaves_a_broken_container() {
    for secret in [HEX, BASE32, BASE64] {
        for text in containers(secret) {
            check(&text, secret);
        }
    }
}
