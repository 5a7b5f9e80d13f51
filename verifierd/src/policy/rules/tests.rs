use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::hosts::{GroupName, HostId, HostName};

/// Monday, 23 November 2026, 12:00 UTC.
const NOON: UnixTime = 1_795_435_200;

fn rules(text: &str) -> Vec<Rule> {
    Config::parse(&format!("version = 1\n{text}")).unwrap_or_else(|faults| panic!("{text}: {faults}")).rules
}

/// One rule that refuses.
fn rule(conditions: &str) -> Vec<Rule> {
    rules(&format!("[[access.rule]]\nname = \"r\"\nthen = \"deny\"\n{conditions}\n"))
}

fn web1() -> HostIdentity {
    HostIdentity {
        id: HostId::from_random([1; 16]),
        name: HostName::new("web1").unwrap(),
        group: Some(GroupName::new("web").unwrap()),
    }
}

/// A login of alice at web1 by ssh from 192.0.2.7 on a Monday at noon.
fn check(conditions: &str, memberships: Option<&Memberships>, expected: &Holding) {
    let (host, user) = (web1(), UserName::new("alice").unwrap());
    let login = Circumstances {
        host: Some(&host),
        user: &user,
        service: "sshd",
        rhost: Some("192.0.2.7"),
        now: NOON,
    };
    assert_eq!(&holding(&rule(conditions)[0], &login, memberships), expected, "{conditions}");
}

fn told(answers: &[(UnixGroup, Result<bool, &str>)]) -> Memberships {
    answers.iter().map(|(group, told)| (group.clone(), told.map_err(str::to_owned))).collect()
}

// covers: A10
#[test]
fn each_condition_holds_for_what_it_names_and_for_nothing_else() {
    use Holding::{No, Yes};
    check("", None, &Yes);
    check("source = [\"192.0.2.0/24\"]", None, &Yes);
    check("source = [\"198.51.100.0/24\", \"192.0.2.7/32\"]", None, &Yes);
    check("source = [\"192.0.3.0/24\", \"2001:db8::/32\", \"::/0\"]", None, &No);
    check("host = [\"web2\", \"web1\"]", None, &Yes);
    check("host = [\"web\"]", None, &No);
    check("group = [\"web\"]", None, &Yes);
    check("group = [\"web1\"]", None, &No);
    check("service = [\"sshd\", \"login\"]", None, &Yes);
    check("service = [\"ssh\"]", None, &No);
    check("user = [\"alice\"]", None, &Yes);
    check("user = [\"Alice\", \"bob\"]", None, &No);
    check("time = \"mon 12:00-12:01\"", None, &Yes);
    check("time = \"mon 12:01-12:00\"", None, &No);
    check("time = \"mon 12:00-13:00\"\nzone = \"+01:00\"", None, &No);
}

// covers: A10
#[test]
fn all_conditions_of_a_rule_must_hold() {
    let right = [
        "source = [\"192.0.2.0/24\"]",
        "host = [\"web1\"]",
        "group = [\"web\"]",
        "service = [\"sshd\"]",
        "user = [\"alice\"]",
        "time = \"mon-fri 08:00-18:00\"",
    ];
    let wrong = [
        "source = [\"192.0.3.0/24\"]",
        "host = [\"web2\"]",
        "group = [\"db\"]",
        "service = [\"sudo\"]",
        "user = [\"bob\"]",
        "time = \"sat-sun 08:00-18:00\"",
    ];
    check(&right.join("\n"), None, &Holding::Yes);
    for which in 0..right.len() {
        let mut conditions = right;
        conditions[which] = wrong[which];
        check(&conditions.join("\n"), None, &Holding::No);
    }
}

// covers: I14
#[test]
fn what_the_name_service_cannot_tell_is_not_known_unless_another_group_or_condition_decides() {
    let (staff, id) = (UnixGroup::Name("staff".into()), UnixGroup::Id(50));
    let both = "user_group = [\"staff\", 50]";
    let unknown = |why: &str| Holding::Unknown(why.into());
    check(both, None, &Holding::NotAsked);
    for (of_staff, of_id, expected) in [
        (Ok(true), Ok(false), Holding::Yes),
        (Ok(false), Ok(true), Holding::Yes),
        (Ok(false), Ok(false), Holding::No),
        (Err("down"), Ok(true), Holding::Yes),
        (Err("down"), Ok(false), unknown("down")),
        (Ok(false), Err("down"), unknown("down")),
    ] {
        let told = told(&[(staff.clone(), of_staff), (id.clone(), of_id)]);
        check(both, Some(&told), &expected);
        check(&format!("{both}\nuser = [\"bob\"]"), Some(&told), &Holding::No);
        check(&format!("{both}\nsource = [\"192.0.3.0/24\"]"), Some(&told), &Holding::No);
    }
    check(both, Some(&Memberships::new()), &unknown("nobody asked about the Unix group 50"));
}

// covers: A10
#[test]
fn a_source_counts_as_the_address_that_it_is_and_a_name_as_not_known() {
    let networks = |text: &str| rule(&format!("source = [{text}]"))[0].sources.clone();
    let named = || Holding::Unknown("the source is a name, not an address".into());
    let local = networks("\"192.0.2.0/24\", \"2001:db8::/32\", \"fe80::/10\"");
    for (rhost, expected) in [
        (Some("192.0.2.255"), Holding::Yes),
        (Some(" ::ffff:192.0.2.1 "), Holding::Yes),
        (Some("2001:db8:ffff::1"), Holding::Yes),
        (Some("fe80::1%eth0"), Holding::Yes),
        (Some("192.0.3.0"), Holding::No),
        (Some("2001:db9::"), Holding::No),
        (None, Holding::No),
        (Some(" "), Holding::No),
        (Some("192.0.2.1.example.org"), named()),
        (Some("localhost"), named()),
        (Some("192.0.2"), named()),
    ] {
        assert_eq!(comes_from(&local, rhost), expected, "{rhost:?}");
    }
    assert_eq!(comes_from(&networks("\"0.0.0.0/0\", \"::/0\""), None), Holding::No, "from no network");
    assert_eq!(comes_from(&[], Some("localhost")), Holding::Yes, "without the condition nobody looks");
}

// covers: A10, I14
#[test]
fn hosts_and_groups_are_those_of_the_certificate_and_the_machine_itself_is_none() {
    let user = UserName::new("alice").unwrap();
    let without_group = HostIdentity { group: None, ..web1() };
    let walk = |host: Option<&HostIdentity>, conditions: &str| {
        let login = Circumstances { host, user: &user, service: "sshd", rhost: None, now: NOON };
        decide(&rule(conditions), &login, None) != Walk::Ended(Ruled::NoRule)
    };
    assert!(
        walk(Some(&without_group), "host = [\"web1\"]") && !walk(Some(&without_group), "group = [\"web\"]")
    );
    assert!(!walk(None, "host = [\"web1\"]") && !walk(None, "group = [\"web\"]") && walk(None, ""));
}

// covers: I14
#[test]
fn only_rules_that_may_decide_ask_for_groups() {
    let list = rules(
        "[[access.rule]]\nname = \"a\"\nthen = \"deny\"\nuser_group = [\"one\"]\nservice = [\"sudo\"]\n\
         [[access.rule]]\nname = \"b\"\nthen = \"deny\"\nuser_group = [\"two\"]\nsource = [\"192.0.2.0/24\"]\n\
         [[access.rule]]\nname = \"c\"\nthen = \"allow\"\nuser_group = [\"three\", 3]\n",
    );
    let user = UserName::new("alice").unwrap();
    let walk = |service, rhost| {
        let login = Circumstances { host: None, user: &user, service, rhost, now: NOON };
        decide(&list, &login, None)
    };
    let needs = |names: &[&str]| {
        let named = names.iter().map(|name| UnixGroup::Name((*name).into()));
        Walk::NeedsGroups(named.chain([UnixGroup::Id(3)]).collect())
    };
    assert_eq!(walk("sshd", Some("192.0.2.1")), needs(&["two", "three"]));
    assert_eq!(walk("sudo", None), needs(&["one", "three"]));
    assert_eq!(walk("sshd", None), needs(&["three"]));
}

/// A rule as the model sees it: each condition with whether it holds for the one login that is asked about.
#[derive(Clone, Debug)]
struct Model {
    then: usize,
    /// Source, service, user, time: absent, or whether it holds.
    known: [Option<bool>; 4],
    /// The Unix group, and what the name service says.
    group: Option<Option<bool>>,
}

const THEN: [&str; 4] = ["deny", "require-token", "require-any-otp", "allow"];

impl Model {
    fn text(&self, number: usize) -> String {
        let holds_or_not = [
            ["source = [\"192.0.2.0/24\"]", "source = [\"198.51.100.0/24\"]"],
            ["service = [\"sshd\"]", "service = [\"sudo\"]"],
            ["user = [\"alice\"]", "user = [\"bob\"]"],
            ["time = \"mon 12:00-13:00\"", "time = \"tue 12:00-13:00\""],
        ];
        let mut lines = vec![format!("[[access.rule]]\nname = \"{number}\"\nthen = \"{}\"", THEN[self.then])];
        for (known, texts) in self.known.iter().zip(holds_or_not) {
            lines.extend(known.map(|holds| texts[usize::from(!holds)].to_owned()));
        }
        lines.extend(self.group.map(|told| format!("user_group = [{}]", told.map_or(9, usize::from))));
        lines.join("\n")
    }

    /// Whether it holds; `None` where nobody can tell.
    fn holds(&self) -> Option<bool> {
        match (self.known.contains(&Some(false)), self.group) {
            (true, _) | (_, Some(Some(false))) => Some(false),
            (false, Some(None)) => None,
            (false, Some(Some(true)) | None) => Some(true),
        }
    }
}

fn model() -> impl Strategy<Value = Model> {
    let known = prop::array::uniform4(prop::option::of(prop::bool::weighted(0.8)));
    (0..THEN.len(), known, prop::option::of(prop::option::of(any::<bool>())))
        .prop_map(|(then, known, group)| Model { then, known, group })
}

proptest! {
    // covers: A10, I14
    #[test]
    fn the_first_rule_that_holds_decides_and_one_that_might_ends_the_walk(models in prop::collection::vec(model(), 0..8)) {
        let text: Vec<String> = models.iter().zip(0..).map(|(model, number)| model.text(number)).collect();
        let list = rules(&text.join("\n"));
        let (host, user) = (web1(), UserName::new("alice").unwrap());
        let rhost = Some("192.0.2.7");
        let login = Circumstances { host: Some(&host), user: &user, service: "sshd", rhost, now: NOON };
        let told = told(&[
            (UnixGroup::Id(1), Ok(true)),
            (UnixGroup::Id(0), Ok(false)),
            (UnixGroup::Id(9), Err("down")),
        ]);
        let deciding = models.iter().zip(0..).find(|(model, _)| model.holds() != Some(false));
        let expected = match deciding {
            None => Ruled::NoRule,
            Some((model, number)) => {
                let rule = Arc::clone(&list[number].name);
                match model.holds() {
                    Some(_) => Ruled::Decided { rule, then: list[number].then },
                    None => Ruled::Undecidable { rule, why: "down".into() },
                }
            }
        };
        prop_assert_eq!(decide(&list, &login, Some(&told)), Walk::Ended(expected));
    }
}
