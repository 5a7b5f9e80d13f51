use super::*;

fn check(text: &str, expected: &str) {
    let faults = Config::parse(text).expect_err(text).to_string();
    assert!(faults.contains(expected), "{faults:?} does not say {expected:?}");
}

// covers: I13
#[test]
fn a_configuration_that_says_only_its_version_has_the_safe_defaults() {
    let config = Config::parse("version = 1").unwrap();
    assert_eq!(config.on_unenrolled, OnUnenrolled::Deny);
    assert_eq!(config.login_socket, Path::new(wire::LOGIN_SOCKET));
    assert_eq!(config.user_socket, Path::new(wire::USER_SOCKET));
    let enrolment = Enrolment {
        issuer: "Postern".into(),
        with: EnrolWith::App,
        open_for: None,
        at_hosts: false,
        grace: Grace::Unlimited,
    };
    assert_eq!(config.enrolment, enrolment);
    assert_eq!((config.look_ahead, config.require_token, config.notify), (10, false, None));
}

// covers: I13
#[test]
fn faults_name_the_key_the_value_and_what_would_be_right() {
    check("", "missing field `version`");
    check("version = 2", "version = 2: this daemon reads version 1");
    check("version = 1\nstate_dri = \"/x\"", "state_dri");
    check("version = 1\nstate_dir = \"x\"", "state_dir = \"x\": an absolute path is needed");
    check("version = 1\non_unenrolled = \"allow\"", "unknown variant `allow`");
    check("version = 1\n[enrolment]\ngrace = \"limited\"", "grace_period or grace_logins is needed");
    check("version = 1\n[enrolment]\ngrace_logins = 3", "go with enrolment.grace = \"limited\" only");
    check("version = 1\n[enrolment]\nissuer = \"a:b\"", "without a colon");
    check("version = 1\n[enrolment]\nwith = \"card\"", "unknown variant `card`");
    check("version = 1\n[enrolment]\nopen_for = \"0s\"", "enrolment.open_for = \"0s\": a time such as");
    check("version = 1\n[enrolment]\nopen_for = 30", "open_for = 30");
    check("version = 1\n[sockets]\nadmin = \"/run/postern/login.sock\"", "the same path");
    check("version = 1\n[sockets]\nuser = \"/run/postern/admin.sock\"", "sockets.admin and sockets.user");
    check("version = 1\n[sockets]\nuser = \"user.sock\"", "sockets.user = \"user.sock\": an absolute path");
    check("version = 1\n[access]\nrequire_token = 1", "require_token = 1");
}

// covers: E1, E2
#[test]
fn one_setting_says_the_login_step_and_the_terms_of_requests_are_bounded() {
    let access = |lines: &str| format!("version = 1\n[access]\n{lines}");
    check(&access("login_step = \"both\""), "unknown variant `both`");
    check(&access("login_step = [\"request\", \"secondary\"]"), "login_step");
    check(&access("login_step = \"request\"\nlogin_step = \"secondary\""), "duplicate key");
    check(&access("request_ttl = \"59s\""), "access.request_ttl = \"59s\": \"1m\" to \"7days\" is needed");
    check(
        &access("password_ttl = \"25h\""),
        "access.password_ttl = \"1day 1h\": \"1m\" to \"1day\" is needed",
    );
    check(&access("profile = \"strict\"\npassword_ttl = \"11m\""), "at most \"10m\" goes with profile");
    check(&access("approvers = [\"carol\", \"carol\"]"), "\"carol\" stands there twice");
    check(&access("approvers = [\"car ol\"]"), "is no login name of a person");
    check("version = 1\n[group.web]\nrequest_ttl = \"1s\"", "group.web.request_ttl = \"1s\"");
    let text = access("login_step = \"request\"\napprovers = [\"carol\"]\nprofile = \"strict\"")
        + "\n[group.web]\nlogin_step = \"secondary\"\n[host.web1]\nrequest_mode = \"internal\"\npassword_ttl = \"5m\"";
    let config = Config::parse(&text).unwrap();
    assert_eq!(Config::parse(&config.to_text()).unwrap(), config);
    assert_eq!(config.requests.approvers, ["carol"]);
    let web1 = config.hosts.values().next().unwrap().requests.clone();
    assert_eq!((web1.mode, web1.login_step), (Some(RequestMode::Internal), None));
}

// covers: F15
#[test]
fn the_api_listens_to_the_network_only_with_a_certificate() {
    let with = |lines: &str| format!("version = 1\n[api]\nkey_file = \"/k\"\n{lines}");
    let files = "certificate_file = \"/c\"\nprivate_key_file = \"/p\"";
    for local in ["127.0.0.1:7878", "[::1]:7878", "127.9.9.9:1", "[::ffff:127.0.0.1]:7878"] {
        let api = Config::parse(&with(&format!("listen = {local:?}"))).unwrap().api.unwrap();
        assert_eq!((api.listen, api.certificate), (local.parse().unwrap(), None));
    }
    for open in ["0.0.0.0:7878", "[::]:7878", "192.0.2.1:7878", "[::ffff:192.0.2.1]:7878"] {
        check(&with(&format!("listen = {open:?}")), "only a loopback address such as 127.0.0.1 is served");
        let api = Config::parse(&with(&format!("listen = {open:?}\n{files}"))).unwrap().api.unwrap();
        assert!(api.certificate.is_some() && api.may_listen_at(open.parse().unwrap()));
    }
}

#[test]
fn faults_of_the_api_name_the_key_the_value_and_what_would_be_right() {
    let with = |lines: &str| format!("version = 1\n[api]\n{lines}");
    let (listen, key_file) = ("listen = \"127.0.0.1:1\"\n", "key_file = \"/k\"\n");
    check(&with(listen), "missing field `key_file`");
    check(&with(key_file), "missing field `listen`");
    check(
        &with(&format!("listen = \"localhost\"\n{key_file}")),
        "api.listen = \"localhost\": an address and a port",
    );
    check(&with(&format!("{listen}key_file = \"k\"")), "api.key_file = \"k\": an absolute path is needed");
    check(&with(&format!("{listen}{key_file}certificate_file = \"/c\"")), "one of them alone is of no use");
    check(&with(&format!("{listen}{key_file}key = \"00\"")), "unknown field `key`");
}

// covers: A09
#[test]
fn a_look_ahead_outside_its_bounds_is_refused_with_its_value() {
    let with = |value: &str| format!("version = 1\n[token]\nlook_ahead = {value}");
    for value in ["1", "10", "100"] {
        assert_eq!(Config::parse(&with(value)).unwrap().look_ahead.to_string(), value);
    }
    let outside = [
        "0",
        "101",
        "-1",
        "4294967295",
        "4294967296",
        "4294967297",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551617",
        "-9223372036854775808",
    ];
    for value in outside {
        check(&with(value), &format!("token.look_ahead = {value}: 1 to 100 is needed"));
    }
    for value in ["10.0", "\"10\"", "true", "[10]"] {
        check(&with(value), &format!("look_ahead = {value}"));
    }
}

#[test]
fn the_program_to_be_told_is_an_absolute_path() {
    let with = |value: &str| format!("version = 1\n[notify]\ncommand = {value}");
    for value in
        ["[]", "[\"tell\"]", "[\"\", \"/x\"]", "[\"/bin/tell\\u0000\"]", "[\"/bin/tell\", \"a\\u0000\"]"]
    {
        check(&with(value), "the absolute path of a program is needed");
    }
    check(&with("\"/bin/tell\""), "command");
    let command = Config::parse(&with("[\"/usr/local/sbin/tell\", \"by mail\"]")).unwrap().notify;
    assert_eq!(command, Some(vec!["/usr/local/sbin/tell".into(), "by mail".into()]));
}

// covers: E25
#[test]
fn a_program_that_others_may_change_is_a_fault_of_the_configuration() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let set =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    set(folder.path(), 0o700);
    let (program, file) = (folder.path().join("tell"), folder.path().join("verifierd.toml"));
    std::fs::write(&program, "#!/bin/sh\n").unwrap();
    std::fs::write(&file, format!("version = 1\n[notify]\ncommand = [{program:?}]\n")).unwrap();
    set(&file, 0o600);
    set(&program, 0o755);
    Config::load(&file).unwrap();
    set(&program, 0o757);
    let fault = Config::load(&file).unwrap_err().to_string();
    assert!(fault.contains("notify.command") && fault.contains("take away 0002"), "{fault}");
    std::fs::remove_file(&program).unwrap();
    let fault = Config::load(&file).unwrap_err().to_string();
    assert!(fault.contains("no file"), "{fault}");
}

#[test]
fn all_faults_are_reported_at_once() {
    let faults = Config::parse("version = 3\nstate_dir = \"a\"\nkey_file = \"b\"").unwrap_err();
    assert_eq!(faults.0.len(), 3);
}

#[test]
fn what_is_shown_is_a_configuration_with_the_same_settings() {
    for text in [
        "version = 1",
        "version = 1\nkey_file = \"/k\"\non_unenrolled = \"enroll\"\n[enrolment]\ngrace = \"none\"",
        "version = 1\n[enrolment]\ngrace = \"limited\"\ngrace_period = \"90m\"\ngrace_logins = 2",
        "version = 1\n[enrolment]\nwith = \"token\"\nopen_for = \"30d\"\n[token]\nlook_ahead = 100\n\
         [access]\nrequire_token = true\n[notify]\ncommand = [\"/bin/tell\", \"a\"]\n\
         [api]\nlisten = \"192.0.2.1:443\"\nkey_file = \"/a\"\ncertificate_file = \"/c\"\nprivate_key_file = \"/p\"\n\
         [roles]\nadmin = [\"ann\"]\nhelpdesk = [\"dora\", \"eve\"]\n[sockets]\nuser = \"/run/u\"",
    ] {
        let config = Config::parse(text).unwrap();
        assert_eq!(Config::parse(&config.to_text()).unwrap(), config);
    }
}

#[test]
fn the_sample_file_is_the_defaults() {
    let sample = Config::parse(include_str!("../../../systemd/verifierd.toml")).unwrap();
    let defaults = Config::parse("version = 1\nkey_file = \"/etc/postern/master.key\"").unwrap();
    assert_eq!(sample, defaults);
}

#[test]
fn limited_grace_has_a_period_a_number_of_logins_or_both() {
    let text = "version = 1\n[enrolment]\ngrace = \"limited\"\ngrace_period = \"14d\"\ngrace_logins = 5";
    let grace = Config::parse(text).unwrap().enrolment.grace;
    assert_eq!(grace, Grace::Limited { period: Some(Duration::from_secs(14 * 86_400)), logins: Some(5) });
}

#[test]
fn only_paths_that_are_open_already_need_a_restart() {
    let old = Config::parse("version = 1").unwrap();
    let newer =
        "version = 1\n[sockets]\nuser = \"/run/u\"\n[token]\nlook_ahead = 5\n[roles]\nadmin = [\"ann\"]";
    assert_eq!(old.needs_restart(&Config::parse(newer).unwrap()), ["sockets.user"]);
    let api = |port: u16, key: &str| {
        Config::parse(&format!("version = 1\n[api]\nlisten = \"127.0.0.1:{port}\"\nkey_file = {key:?}"))
            .unwrap()
    };
    assert_eq!(old.needs_restart(&api(1, "/k")), ["api.listen"]);
    assert_eq!(api(1, "/k").needs_restart(&api(2, "/k")), ["api.listen"]);
    assert!(api(1, "/k").needs_restart(&api(1, "/other")).is_empty());
}

fn with_rule(lines: &str) -> String {
    format!("version = 1\n[[access.rule]]\nname = \"r\"\nthen = \"deny\"\n{lines}")
}

// covers: A10
#[test]
fn faults_of_a_rule_name_the_rule_the_key_the_value_and_what_would_be_right() {
    let named =
        |lines: &str, expected: &str| check(&with_rule(lines), &format!("access.rule \"r\": {expected}"));
    named("source = [\"192.0.2.0\"]", "source = \"192.0.2.0\": a network such as \"192.0.2.0/24\" or");
    named("source = [\"192.0.2.7/24\"]", "source = \"192.0.2.7/24\": 192.0.2.0/24 is its network");
    named("source = [\"192.0.2.0/33\"]", "source = \"192.0.2.0/33\": a network such as");
    named(
        "source = [\"::ffff:192.0.2.0/120\"]",
        "source = \"::ffff:192.0.2.0/120\": an IPv4 network is written as one",
    );
    named("source = [\"example.org\"]", "source = \"example.org\": a network such as");
    named("host = [\"Web1\"]", "host = \"Web1\": not a name of a host or a group");
    named("group = [\"\"]", "group = \"\": not a name of a host or a group");
    named("service = [\"\"]", "service = \"\": the name of a PAM service such as \"sshd\" is needed");
    named("service = [\"a/b\"]", "service = \"a/b\": the name of a PAM service");
    named("user = [\"1000\"]", "user = \"1000\": not an account name");
    named(
        "time = \"always\"",
        "time = \"always\": days and times such as \"mon-fri 08:00-18:00\" are needed",
    );
    named("zone = \"UTC\"", "zone: goes with time only");
    named(
        "time = \"08:00-18:00\"\nzone = \"CET\"",
        "zone = \"CET\": \"UTC\" or a distance from it such as \"+01:00\"",
    );
    let unnamed = |name: &str, expected: &str| {
        let text = format!("version = 1\n[[access.rule]]\nname = {name}\nthen = \"deny\"");
        check(&text, &format!("access.rule 1: name = {expected}"));
    };
    unnamed("\"\"", "\"\": 1 to 64 printable ASCII characters without quotes are needed");
    unnamed("\" r\"", "\" r\": 1 to 64");
    unnamed("\"a\\nb\"", "\"a\\nb\": 1 to 64");
    check(
        &format!("{}\n[[access.rule]]\nname = \"r\"\nthen = \"allow\"", with_rule("")),
        "access.rule 2: name = \"r\": another rule has it",
    );
    check("version = 1\n[[access.rule]]\nname = \"r\"", "missing field `then`");
    check("version = 1\n[[access.rule]]\nname = \"r\"\nthen = \"require\"", "unknown variant `require`");
    check(&with_rule("users = [\"alice\"]"), "unknown field `users`");
}

// covers: A10, I05
#[test]
fn an_empty_list_is_a_fault_since_nobody_can_mean_everybody_by_it() {
    for key in ["source", "host", "group", "service", "user", "user_group"] {
        check(
            &with_rule(&format!("{key} = []")),
            &format!("access.rule \"r\": {key} = []: something is needed in it"),
        );
    }
}

// covers: I14
#[test]
fn a_unix_group_is_a_name_in_quotes_or_a_number_without() {
    let groups = |text: &str| {
        Config::parse(&with_rule(&format!("user_group = {text}")))
            .map(|config| config.rules[0].user_groups.clone())
    };
    let right: std::collections::BTreeSet<_> =
        [UnixGroup::Id(0), UnixGroup::Id(4_294_967_294), UnixGroup::Name("domain users".into())].into();
    assert_eq!(groups("[0, \"domain users\", 4294967294]"), Ok(right));
    for wrong in [
        "\"1000\"",
        "\"\"",
        "-1",
        "4294967295",
        "4294967296",
        "1.5",
        "true",
        "\"a:b\"",
        "\"a,b\"",
        "\"a\\u0000\"",
    ] {
        let said = groups(&format!("[{wrong}]")).expect_err(wrong).to_string();
        assert!(
            said.contains("the name of a Unix group in quotes, or its number without, is needed"),
            "{wrong}: {said}"
        );
    }
}

// covers: P9
#[test]
fn a_roll_out_has_a_day_and_a_day_has_a_roll_out() {
    for (table, key) in [("access", "access"), ("group.web", "group.web"), ("host.web1", "host.web1")] {
        let with = |lines: &str| format!("version = 1\n[{table}]\n{lines}");
        check(
            &with("rollout = \"observe\""),
            &format!("{key}.rollout: rollout_until is needed, the day from which on"),
        );
        check(
            &with("rollout_until = \"2026-12-01\""),
            &format!("{key}.rollout_until: goes with rollout = \"observe\" or \"grace\" only"),
        );
        check(&with("rollout = \"enforce\"\nrollout_until = \"2026-12-01\""), "goes with rollout = ");
        for wrong in
            ["1.12.2026", "2026-13-01", "2026-02-30", "2026-12-1", "2026-12-01T00:00:00Z", "", "1969-12-31"]
        {
            let text = with(&format!("rollout = \"grace\"\nrollout_until = \"{wrong}\""));
            check(&text, &format!("{key}.rollout_until = {wrong:?}: a day such as \"2027-03-01\" is needed"));
        }
        check(&with("rollout = \"later\"\nrollout_until = \"2026-12-01\""), "unknown variant `later`");
    }
}

#[test]
fn faults_of_hosts_and_groups_name_their_table() {
    check(
        "version = 1\n[host.Web1]\nrequire_token = true",
        "[host.\"Web1\"]: not a name of a host or a group",
    );
    check("version = 1\n[group.web]\nissuer = \"x\"", "unknown field `issuer`");
    check("version = 1\n[group.web.enrolment]\nissuer = \"x\"", "unknown field `issuer`");
    check(
        "version = 1\n[group.web.enrolment]\ngrace = \"limited\"",
        "group.web.enrolment.grace = \"limited\": grace_period or",
    );
    check(
        "version = 1\n[host.web1.enrolment]\ngrace_logins = 3",
        "go with host.web1.enrolment.grace = \"limited\" only",
    );
    check("version = 1\n[host.web1.enrolment]\nopen_for = \"0s\"", "host.web1.enrolment.open_for = \"0s\"");
}

// covers: A10, P9
#[test]
fn policy_that_is_shown_is_the_same_policy_and_needs_no_restart() {
    let text = "version = 1\n[access]\nrollout = \"grace\"\nrollout_until = \"2026-12-01\"\n\
        [[access.rule]]\nname = \"one\"\nsource = [\"192.0.2.0/24\", \"2001:db8::/32\"]\nhost = [\"web1\"]\ngroup = [\"web\"]\n\
        service = [\"sshd\"]\nuser = [\"alice\"]\nuser_group = [\"staff\", 50]\ntime = \"mon-fri 22:00-06:00\"\nzone = \"-08:30\"\n\
        then = \"require-token\"\n[[access.rule]]\nname = \"two\"\nthen = \"allow\"\n\
        [group.web]\non_unenrolled = \"enroll\"\nrollout = \"observe\"\nrollout_until = \"2027-01-01\"\n\
        [host.web1]\nrequire_token = true\nrollout = \"enforce\"\n\
        [host.web1.enrolment]\nwith = \"token\"\nopen_for = \"30d\"\ngrace = \"limited\"\ngrace_period = \"1h\"\ngrace_logins = 2";
    let config = Config::parse(text).unwrap();
    assert_eq!(Config::parse(&config.to_text()).unwrap(), config, "{}", config.to_text());
    assert!(Config::parse("version = 1").unwrap().needs_restart(&config).is_empty());
    let named = config.named_in_policy();
    assert_eq!((named.hosts.len(), named.groups.len(), named.unix_groups.len()), (2, 2, 2));
}

// covers: A10
#[test]
fn all_faults_of_policy_are_told_at_once() {
    let text = "version = 1\n[access]\nrollout = \"grace\"\n[[access.rule]]\nname = \"\"\nsource = [\"x\", \"y\"]\nuser = []\n\
        time = \"x\"\nthen = \"deny\"\n[group.Web]\n[host.web1]\nrollout = \"observe\"";
    assert_eq!(Config::parse(text).unwrap_err().0.len(), 8);
}

#[test]
fn every_example_of_the_policy_page_is_a_configuration() {
    let page = include_str!("../../../docs/policy.md");
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        Config::parse(&format!("version = 1\n{example}"))
            .unwrap_or_else(|faults| panic!("{example}\n{faults}"));
    }
}

#[test]
fn what_is_no_toml_is_told_in_one_line_with_its_number() {
    for (text, said) in [
        ("version = 1\nstate_dir = \n", "  line 2, `state_dir =`: "),
        ("version = 1\n[audit\n", "  line 2, `[audit`: "),
        (
            "version = 1\n\n  nothing_of_ours = 7\n",
            "  line 3, `nothing_of_ours = 7`: unknown field `nothing_of_ours`",
        ),
        ("version = 1\nversion = 1", "  line 2, `version = 1`: "),
        ("version = \"\"\"\n", "  line "),
    ] {
        let told = Config::parse(text).unwrap_err().to_string();
        assert!(told.starts_with(said) && told.lines().count() == 1, "{text:?}: {told:?}");
    }
}
