//! Odd user names and items: escaped, recorded, never trusted; and the verified user is the one that logs in.

use pam_harness::application::{Item, Phases, Reaction, Style, Transaction, typed};
use pam_harness::code::{AUTH_ERR, PERM_DENIED, SERVICE_ERR, SUCCESS, USER_UNKNOWN};
use pam_harness::process::Terminal;
use pam_harness::site::Site;
use pam_harness::stub::{Stub, ask, done, ok, reply};
use serde_json::json;

// covers: E06
#[test]
fn a_user_name_that_cannot_be_one_is_refused_without_asking_the_verifier() {
    let site = Site::new("");
    let stub = Stub::usual(&site.socket());
    let (long, huge) = (vec![b'x'; 256], vec![b'x'; 33_000]);
    let names: [&[u8]; 8] = [
        b"",
        b"root\nAccepted otp for root",
        b"\x1b]0;x\x07",
        b"a\xff\xfeb",
        b"a\x7f",
        "\u{9b}2J".as_bytes(),
        &long,
        &huge,
    ];
    for name in names {
        let transaction = Transaction { user: Some(name), ..Transaction::default() };
        let outcome = transaction.typing(site.folder(), b"");
        assert_eq!(outcome.code, USER_UNKNOWN, "{name:?}");
        let log = outcome.log.concat();
        assert!(log.starts_with("pam_postern(postern:auth): denied user="), "{log}");
        assert!(
            log.ends_with("rhost=- reason=user-malformed reference=-") && log.is_ascii() && log.len() < 2000
        );
        assert!(!log.contains(char::is_control), "{log}");
        assert_eq!(outcome.log.len(), 1);
    }
    assert!(stub.requests().is_empty());
}

// covers: E06
#[test]
fn an_odd_user_name_is_only_a_name() {
    let site = Site::new("");
    let stub = Stub::usual(&site.socket());
    let longest = "x".repeat(255);
    for name in ["../../../etc/shadow", "a:b", "%n%s", "-oProxyCommand=x", "alice ", "jürgen", &longest] {
        let transaction = Transaction { user: Some(name.as_bytes()), ..Transaction::default() };
        let outcome = transaction.typing(site.folder(), b"123456");
        assert_eq!(outcome.code, SUCCESS, "{name}");
        assert_eq!(stub.requests().last().unwrap().about.0, name);
        assert!(outcome.log.concat().contains(": allowed user="));
        assert_eq!(outcome.log.concat().split(' ').count(), 6, "one word for each field");
    }
}

// covers: E18
#[test]
fn items_are_recorded_in_a_printable_form() {
    let site = Site::new("");
    let stub = Stub::usual(&site.socket());
    let long = [b'x'; 3000];
    let cases: [(&[u8], serde_json::Value); 6] = [
        (b"", json!(null)),
        (b"localhost", json!("localhost")),
        (b"a\nallowed user=root", json!("a\u{fffd}allowed user=root")),
        (b"fe80::1%eth0", json!("fe80::1%eth0")),
        (b"\xff\x1b[2J", json!("\u{fffd}\u{fffd}[2J")),
        (&long, json!("x".repeat(1024))),
    ];
    for (value, expected) in cases {
        let items = vec![(Item::Rhost, value), (Item::Tty, value), (Item::Ruser, value)];
        let outcome = Transaction { items, ..Transaction::default() }.typing(site.folder(), b"wrong");
        assert_eq!(outcome.code, AUTH_ERR);
        let requests = stub.requests();
        let begin = &requests[requests.len() - 2].body;
        assert_eq!([&begin["rhost"], &begin["tty"], &begin["ruser"]], [&expected; 3]);
        assert!(!outcome.log.concat().contains(char::is_control));
    }
    let outcome = Transaction { items: vec![(Item::Tty, b"tty1")], ..Transaction::default() }
        .typing(site.folder(), b"");
    assert_eq!(outcome.code, AUTH_ERR, "a terminal's name grants nothing");
}

// covers: E18
#[test]
fn the_address_is_the_one_sshd_saw_and_not_a_name() {
    let site = Site::new("");
    let stub = Stub::usual(&site.socket());
    let transaction = Transaction {
        items: vec![(Item::Rhost, b"localhost"), (Item::Tty, b"ssh")],
        environment: vec!["SSH_CONNECTION=192.0.2.1 50022 192.0.2.2 22"],
        ..Transaction::default()
    };
    let outcome = transaction.typing(site.folder(), b"123456");
    let begin = stub.requests()[0].body.clone();
    assert_eq!((&begin["rhost"], &begin["tty"]), (&json!("192.0.2.1"), &json!("ssh")));
    let expected = "allowed user=alice rhost=192.0.2.1 reason=verdict reference=ABCD-EFGH";
    assert_eq!(outcome.log, [format!("pam_postern(postern:auth): {expected}")]);
}

#[test]
fn the_request_says_who_and_what_and_nothing_unknown() {
    let site = Site::new("");
    let stub = Stub::usual(&site.socket());
    Transaction::default().typing(site.folder(), b"123456");
    let begin: wire::login::Begin = serde_json::from_value(stub.requests()[0].body.clone()).unwrap();
    assert_eq!((begin.user.as_str(), begin.service.as_str()), ("alice", "postern"));
    assert_eq!((begin.rhost, begin.ruser, begin.tty, begin.columns), (None, None, None, None));
    assert!(begin.request_id.len() == 32 && begin.request_id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let next: wire::login::Continue = serde_json::from_value(stub.requests()[1].body.clone()).unwrap();
    assert_eq!((next.state.as_str(), next.answers), ("sealed", vec!["123456".to_owned()]));
    assert_ne!(next.request_id, begin.request_id);
}

// covers: E18
#[test]
fn only_a_terminal_tells_its_width() {
    let site = Site::new("");
    let stub = Stub::usual(&site.socket());
    let mut terminal = Terminal::open(97);
    let link = site.folder().join("link");
    std::os::unix::fs::symlink(&terminal.name, &link).unwrap();
    let columns = |tty: &str| {
        let items = vec![(Item::Tty, tty.as_bytes())];
        Transaction { items, ..Transaction::default() }.typing(site.folder(), b"");
        stub.requests().last().unwrap().body["columns"].clone()
    };
    assert_eq!(columns(&terminal.name), json!(97));
    for other in ["ssh", "/dev/null", "/dev/pts/../null", "/dev/pts/ptmx", link.to_str().unwrap()] {
        assert_eq!(columns(other), json!(null), "{other}");
    }
    terminal.resize(0);
    assert_eq!(columns(&terminal.name), json!(null));
}

// covers: E17
#[test]
fn libpam_asks_for_the_user_where_none_is_set() {
    let site = Site::new("");
    let stub = Stub::usual(&site.socket());
    let outcome =
        Transaction { user: None, ..Transaction::default() }.run(site.folder(), &mut |_, messages| {
            typed(messages, if messages[0].style == Style::Shown { b"bob" } else { b"123456" })
        });
    assert_eq!(outcome.code, SUCCESS);
    assert_eq!(stub.requests()[0].about.0, "bob");
}

// covers: E17
#[test]
fn a_user_exchanged_during_the_dialogue_is_refused() {
    // While the code is asked for, and while the last text is shown.
    for exchange_at in [Style::Hidden, Style::Info] {
        let site = Site::new("");
        let _stub = Stub::answering(&site.socket(), |request| {
            let begins = request.path == wire::login::BEGIN_PATH;
            let (show, next) = if begins { ("", ask("? ", false)) } else { ("Welcome.", done("allow")) };
            let show: &[&str] = if begins { &[] } else { &[show] };
            ok(&reply(request, show, next))
        });
        let outcome = Transaction::default().run(site.folder(), &mut |handle, messages| {
            if messages[0].style == exchange_at {
                assert_eq!(handle.set(Item::User, b"root"), 0);
            }
            typed(messages, b"123456")
        });
        assert_eq!(outcome.code, AUTH_ERR);
        assert!(outcome.log.concat().contains("denied user=alice rhost=- reason=user-changed"));
    }
}

// covers: E17
#[test]
fn an_earlier_module_decides_which_user_is_verified() {
    let site = Site::empty();
    let line = site.module_line("");
    site.write_service(&format!("auth optional pam_echo.so hello\nauth required {line}\n"));
    let stub = Stub::usual(&site.socket());
    let outcome = Transaction::default().run(site.folder(), &mut |handle, messages| {
        if messages[0].style == Style::Info {
            handle.set(Item::User, b"bob");
        }
        typed(messages, b"123456")
    });
    assert_eq!(outcome.code, SUCCESS);
    assert_eq!(stub.requests()[0].about.0, "bob");
    assert!(outcome.log.concat().contains("allowed user=bob"));
}

// covers: E17
#[test]
fn a_user_exchanged_after_the_login_has_no_account() {
    let site = Site::new("");
    let _stub = Stub::usual(&site.socket());
    let login = |phases, user_after| {
        let transaction = Transaction { phases, user_after, ..Transaction::default() };
        transaction.typing(site.folder(), b"123456")
    };
    assert_eq!(login(Phases::Account, Some(b"root")).code, PERM_DENIED);
    assert_eq!(login(Phases::Account, Some(b"alice")).code, SUCCESS);
    assert_eq!(login(Phases::Account, None).code, SUCCESS);
}

// covers: E17
#[test]
fn authtok_is_used_only_where_configured() {
    for (arguments, sent) in [("", "123456"), ("try_first_pass", "654321"), ("use_first_pass", "654321")] {
        let site = Site::empty();
        let line = site.module_line(arguments);
        site.write_service(&format!("auth optional pam_echo.so hello\nauth required {line}\n"));
        let stub = Stub::usual(&site.socket());
        Transaction::default().run(site.folder(), &mut |handle, messages| {
            if messages[0].style == Style::Info {
                // Allowed while a module converses.
                assert_eq!(handle.set(Item::Authtok, b"654321"), 0);
            }
            typed(messages, b"123456")
        });
        assert_eq!(stub.requests()[1].body["answers"], json!([sent]), "{arguments}");
    }
    let site = Site::new("use_first_pass");
    let stub = Stub::usual(&site.socket());
    let outcome = Transaction::default().typing(site.folder(), b"123456");
    assert_eq!(outcome.code, AUTH_ERR);
    assert!(outcome.seen.is_empty() && stub.requests().len() == 1);
}

#[test]
fn every_other_phase_has_no_objection() {
    let site = Site::empty();
    let line = site.module_line("");
    let all = ["auth", "account", "session"].map(|kind| format!("{kind} required {line}\n")).concat();
    site.write_service(&format!("{all}password required {line}\npassword required pam_permit.so\n"));
    let _stub = Stub::usual(&site.socket());
    let transaction = Transaction { phases: Phases::All, ..Transaction::default() };
    assert_eq!(transaction.typing(site.folder(), b"123456").code, SUCCESS);
}

#[test]
fn a_wrong_argument_refuses_every_login_and_is_named() {
    for (arguments, word) in
        [("nullok", "nullok"), ("fail=opne", "fail\\x3dopne"), ("timeout=5", "timeout\\x3d5")]
    {
        let site = Site::new(arguments);
        let stub = Stub::usual(&site.socket());
        let outcome = Transaction::default().typing(site.folder(), b"123456");
        assert_eq!(outcome.code, SERVICE_ERR);
        let log = outcome.log.concat();
        assert!(log.contains("failed user=- rhost=- reason=arguments-wrong") && log.contains(word), "{log}");
        assert!(stub.requests().is_empty());
    }
}

#[test]
fn the_prompt_argument_may_have_spaces() {
    let site = Site::new("[prompt=Code, please: ]");
    let _stub = Stub::usual(&site.socket());
    let outcome = Transaction::default().run(site.folder(), &mut |_, messages| {
        assert_eq!(messages[0].text, b"Code, please: ");
        typed(messages, b"123456")
    });
    assert_eq!(outcome.code, SUCCESS);
    assert!(matches!(typed(&outcome.seen[0], b""), Reaction::Reply(_)));
}
