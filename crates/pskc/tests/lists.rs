//! Lists of tokens as CSV.

use pskc::csv::{CsvError, read, template};
use pskc::{Algorithm, TokenRow, TokenType};

const HEX: &str = "3132333435363738393031323334353637383930";
const BASE32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

#[test]
fn a_list_with_a_heading_is_read_by_its_names() {
    let list = "type,serial,algorithm,digits,period|counter,secret\n\
                totp,S1,SHA256,8,60,3132333435363738393031323334353637383930\n\
                HOTP, S2 ,,,7,gezd gnbv gy3t qojq gezd gnbv gy3t qojq\n\
                Totp,S3,,,,hex:3132333435363738393031323334353637383930\n";
    let rows = all_right(list);
    check(&rows[0], 2, "S1", TokenType::Totp, (Algorithm::Sha256, 8), (Some(60), None));
    check(&rows[1], 3, "S2", TokenType::Hotp, (Algorithm::Sha1, 6), (None, Some(7)));
    check(&rows[2], 4, "S3", TokenType::Totp, (Algorithm::Sha1, 6), (Some(30), None));
}

#[test]
fn a_list_without_a_heading_has_the_order_of_privacyidea() {
    let list =
        format!("S1,{HEX},TOTP,6,60\nS2,{BASE32},hotp,8,12\nS3,{HEX},HOTP\nS4,{HEX},totp,6,30,SHA512\n");
    let rows = all_right(&list);
    check(&rows[0], 1, "S1", TokenType::Totp, (Algorithm::Sha1, 6), (Some(60), None));
    check(&rows[1], 2, "S2", TokenType::Hotp, (Algorithm::Sha1, 8), (None, Some(12)));
    check(&rows[2], 3, "S3", TokenType::Hotp, (Algorithm::Sha1, 6), (None, Some(0)));
    check(&rows[3], 4, "S4", TokenType::Totp, (Algorithm::Sha512, 6), (Some(30), None));
}

#[test]
fn the_fifth_column_has_three_names_and_may_be_two_columns() {
    for name in ["period", "counter", "period|counter"] {
        let rows =
            all_right(&format!("serial,seed,type,digits,{name}\nS1,{HEX},totp,6,60\nS2,{HEX},hotp,6,9\n"));
        assert_eq!((rows[0].time_interval, rows[1].counter), (Some(60), Some(9)), "{name}");
    }
    let rows =
        all_right(&format!("serial,secret,type,period,counter\nS1,{HEX},totp,60,\nS2,{HEX},hotp,30,9\n"));
    assert_eq!((rows[0].time_interval, rows[1].counter), (Some(60), Some(9)));
}

#[test]
fn a_byte_order_mark_crlf_quotes_and_comments_are_fine() {
    let list =
        format!("\u{feff}Serial,Secret,Type\r\n# S0,x,y\r\n\r\n\"S1\",\"{HEX}\",totp\r\nS2,{HEX},hotp");
    let rows = all_right(&list);
    check(&rows[0], 4, "S1", TokenType::Totp, (Algorithm::Sha1, 6), (Some(30), None));
    check(&rows[1], 5, "S2", TokenType::Hotp, (Algorithm::Sha1, 6), (None, Some(0)));
}

// covers: A18
#[test]
fn a_faulty_row_is_named_by_its_line_and_reason() {
    let faults = [
        (String::from("S1"), "the row is too short: 1 of at least 3 cells"),
        (format!("S1,{HEX},totp,6,30,SHA1,more"), "the row is too long: 7 cells for 6 columns"),
        (format!(",{HEX},totp"), "the serial is missing"),
        (format!("=HYPERLINK(1),{HEX},totp"), "formula"),
        (format!("@x,{HEX},totp"), "formula"),
        (format!("a\u{7}b,{HEX},totp"), "control"),
        (format!("S1,{HEX},motp"), "the type is `motp`"),
        (format!("S1,{HEX},"), "the type is ``"),
        (format!("S1,totp,{HEX}"), "the secret"),
        (format!("{HEX},S1,totp"), "looks like a secret: are the columns swapped?"),
        (format!("S1,{HEX},totp,six"), "digits is `six`"),
        (format!("S1,{HEX},totp,9"), "digits is `9`"),
        (format!("S1,{HEX},totp,6,0"), "time step is 0"),
        (format!("S1,{HEX},totp,6,86401"), "time step is 86401"),
        (format!("S1,{HEX},totp,6,often"), "time step is `often`"),
        (format!("S1,{HEX},hotp,6,9223372036854775808"), "counter is 9223372036854775808"),
        (format!("S1,{HEX},hotp,6,-1"), "counter is `-1`"),
        (format!("S1,{HEX},hotp,6,0,MD5"), "hash is `MD5`"),
        (String::from("S1,,totp"), "the secret is empty"),
        (String::from("S1,AE,totp"), "too short: 1 of"),
        (format!("S1,{},totp", &HEX[..30]), "the secret"),
        (format!("S1,{},totp", "ab".repeat(1024)), "at most 128 bytes"),
        (format!("S1,{},totp", "A".repeat(10_000_000)), "at most 128 bytes"),
        (String::from("S1,geheim!,totp"), "base32"),
    ];
    for (row, problem) in faults {
        let list = format!("R1,{HEX},totp\n\n{row}\nR2,{HEX},hotp\n");
        let rows = read(list.as_bytes()).expect("a row is at fault").rows;
        assert!(rows[0].is_ok() && rows[2].is_ok(), "{problem}");
        let fault = rows[1].as_ref().expect_err(problem);
        assert_eq!(fault.row, 3, "{problem}");
        let found = fault.reason.to_string();
        assert!(found.contains(problem), "{problem:?} is not in {found:?}");
        assert!(!found.contains(&HEX[..13]), "a secret is in {found:?}");
        assert!(matches!(fault.serial.as_str(), "" | "S1"), "{problem}: {}", fault.serial);
    }
}

// covers: A18
#[test]
fn the_serial_of_a_faulty_row_is_told_only_where_the_secret_is_in_its_place() {
    let check = |row: &str, serial: &str| {
        let rows = read(format!("R1,{HEX},totp\n{row}\n").as_bytes()).expect("a row is at fault").rows;
        assert_eq!(rows[1].as_ref().expect_err(row).serial, serial, "{row}");
    };
    check(&format!("S1,{HEX},motp"), "S1");
    check(&format!("S1,{HEX},totp,9"), "S1");
    check(&format!("R1,{HEX},totp"), "R1");
    check(&format!("{HEX},S1,totp"), "");
    check(&format!("{},S1,totp", &HEX[..20]), "");
    check(&format!("S1;{HEX};totp"), "");
    check(&format!("S1;{HEX},{HEX},motp"), "");
    check(&format!("\"S1,{HEX},totp"), "");
    check("S1,,totp", "");
    check(&format!("=S1,{HEX},totp"), "");
    check(&format!("a\u{1b}[2Jb,{HEX},totp"), "");
}

#[test]
fn cells_may_be_separated_by_semicolons_or_tabs() {
    for separator in [";", "\t"] {
        for heading in ["", "serial,secret,type,digits,period|counter\n", "# a, comment\n\n"] {
            let list =
                format!("{heading}S1,{HEX},hotp,8,7\nS2,\"gezd gnbv gy3t qojq gezd gnbv gy3t qojq\",totp\n");
            let list = if heading.starts_with("serial") { list.replace("totp", "totp,,") } else { list };
            let rows = all_right(&list.replace(',', separator));
            assert_eq!((rows[0].serial.as_str(), rows[0].counter), ("S1", Some(7)), "{list}");
            assert_eq!(rows[1].secret.as_slice(), b"12345678901234567890", "{list}");
        }
    }
}

// covers: A18
#[test]
fn a_row_that_is_not_utf_8_is_named_and_the_others_are_read() {
    let mut list = format!("S1,{HEX},totp\nS").into_bytes();
    list.push(0xfc);
    list.extend(format!("2,{HEX},totp\nS3,{HEX},totp\n").bytes());
    let rows = read(&list).expect("a row is at fault").rows;
    let fault = rows[1].as_ref().expect_err("it is not UTF-8");
    assert_eq!((fault.row, fault.reason.to_string().as_str()), (2, "the row is not UTF-8"));
    assert!(rows[0].is_ok() && rows[2].is_ok());
}

// covers: A18
#[test]
fn a_serial_that_stands_there_twice_is_the_later_rows_fault() {
    let list = format!("S1,{HEX},totp\nS2,{HEX},totp\n S1 ,{HEX},hotp\n");
    let rows = read(list.as_bytes()).expect("a row is at fault").rows;
    let fault = rows[2].as_ref().expect_err("it is there already");
    assert_eq!((fault.row, fault.reason.to_string().as_str()), (3, "the serial stands in line 1 already"));
}

#[test]
fn a_heading_that_cannot_be_understood_is_refused_whole() {
    let check = |heading: &str, problem: &str| {
        let list = format!("{heading}\nS1,{HEX},totp,6,30\n");
        let found = read(list.as_bytes()).expect_err(problem).to_string();
        assert!(found.contains(problem), "{problem:?} is not in {found:?}");
    };
    check("serial,secret,type,colour", "column 4 is `colour`");
    check("serial,secret,type,", "column 4 is ``");
    check("serial,type", "no column is headed secret");
    check("serial,secret", "no column is headed type");
    check("serial,secret,seed,type", "two columns are headed secret");
    check("serial,secret,type,period,period|counter", "two columns are headed period|counter");
    assert_eq!(read(b""), Err(CsvError::Empty));
    assert_eq!(read(b"serial,secret,type\n# none\n"), Err(CsvError::Empty));
}

#[test]
fn the_template_is_a_list_of_obvious_examples() {
    let rows = all_right(template());
    assert!(rows.iter().all(|row| row.serial.starts_with("EXAMPLE-")));
    assert_eq!(rows.iter().map(|row| row.secret.len()).collect::<Vec<_>>(), [20, 20]);
    assert_eq!(rows.iter().map(|row| row.token_type).collect::<Vec<_>>(), [TokenType::Totp, TokenType::Hotp]);
}

fn all_right(list: &str) -> Vec<TokenRow> {
    let rows = read(list.as_bytes()).expect("the list is right").rows;
    rows.into_iter()
        .map(|row| row.unwrap_or_else(|fault| panic!("line {}: {}", fault.row, fault.reason)))
        .collect()
}

fn check(
    row: &TokenRow,
    line: u64,
    serial: &str,
    token_type: TokenType,
    (algorithm, digits): (Algorithm, u8),
    (time_interval, counter): (Option<u32>, Option<u64>),
) {
    assert_eq!((row.row, row.serial.as_str()), (line, serial));
    assert_eq!(row.secret.as_slice(), b"12345678901234567890");
    assert_eq!((row.token_type, row.algorithm, row.digits), (token_type, algorithm, digits));
    assert_eq!((row.time_interval, row.counter, row.time_drift), (time_interval, counter, None));
}
