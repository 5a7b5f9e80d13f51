//! One file of `/etc/pam.d` as lines: comments, continuation, brackets, controls.
//!
//! Pure. What Linux-PAM cannot read it takes for a module that refuses; so does this. Source: pam.conf(5) and
//! libpam/pam_handlers.c.

use std::collections::BTreeMap;

/// What stands in a PAM file, one logical line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line on which it starts, from 1.
    pub number: u32,
    /// What it says.
    pub words: Words,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// `@include FILE`: all lines of the file.
    IncludeAll(String),
    /// `auth include FILE`: the lines of one type.
    Include(Kind, String),
    /// `auth substack FILE`: the same, and its decisions end it alone.
    Substack(Kind, String),
    /// A module.
    Rule(Kind, Rule),
    /// Not readable; PAM takes it for a refusal. The text says why.
    Malformed(Option<Kind>, String),
}

/// The four stacks of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who is it?
    Auth,
    /// May he?
    Account,
    /// Change the password.
    Password,
    /// Begin and end of a session.
    Session,
}

/// A module with its control and arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// As written: `requisite` or `[success=1 default=ignore]`.
    pub control_text: String,
    /// What its results do.
    pub control: Control,
    /// As written: a name or an absolute path.
    pub module: String,
    /// The rest of the line.
    pub arguments: Vec<String>,
}

impl Rule {
    /// The name of the module's file, without its folder.
    pub fn module_name(&self) -> &str {
        self.module.rsplit('/').next().unwrap_or(&self.module)
    }

    /// Whether this is our module.
    pub fn is_ours(&self) -> bool {
        self.module_name() == OUR_MODULE
    }
}

/// The file name of our module.
pub const OUR_MODULE: &str = "pam_postern.so";

/// What happens to the stack after a module's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Ignore,
    /// Counts as a yes, if nobody said no.
    Ok,
    /// The same, and ends the stack.
    Done,
    /// Counts as a no.
    Bad,
    /// The same, and ends the stack.
    Die,
    /// Forgets what was said so far.
    Reset,
    /// Skips so many modules.
    Jump(u32),
}

/// The actions of a control by the names of PAM's results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control(BTreeMap<String, Action>);

impl Control {
    /// What a result does. One that is not named counts as `default`, and without that as a no.
    pub fn action(&self, result: &str) -> Action {
        self.0.get(result).or_else(|| self.0.get("default")).copied().unwrap_or(Action::Bad)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let rows: &[(&str, Action)] = match text.to_ascii_lowercase().as_str() {
            "required" => &[("success", Action::Ok), ("ignore", Action::Ignore), ("default", Action::Bad)],
            "requisite" => &[("success", Action::Ok), ("ignore", Action::Ignore), ("default", Action::Die)],
            "sufficient" => &[("success", Action::Done), ("default", Action::Ignore)],
            "optional" => &[("success", Action::Ok), ("default", Action::Ignore)],
            _ => return Self::parse_bracket(text),
        };
        Ok(Self(rows.iter().map(|(name, action)| ((*name).to_owned(), *action)).collect()))
    }

    fn parse_bracket(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let inner = inner.ok_or_else(|| format!("`{text}` is no control"))?;
        // PAM allows blanks around the equals sign.
        let tight = inner.split('=').map(str::trim).collect::<Vec<_>>().join("=");
        let mut actions = BTreeMap::new();
        for pair in tight.split_whitespace() {
            let (name, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is no name=action"))?;
            if !RESULTS.contains(&name) {
                return Err(format!("`{name}` is no result of a PAM module"));
            }
            actions.insert(name.to_owned(), parse_action(value)?);
        }
        Ok(Self(actions))
    }
}

fn parse_action(value: &str) -> Result<Action, String> {
    Ok(match value {
        "ignore" => Action::Ignore,
        "ok" => Action::Ok,
        "done" => Action::Done,
        "bad" => Action::Bad,
        "die" => Action::Die,
        "reset" => Action::Reset,
        digits => match digits.parse() {
            Ok(count) if count > 0 => Action::Jump(count),
            _ => return Err(format!("`{value}` is no action")),
        },
    })
}

/// The names that a bracketed control may use: `_pam_tokens` of libpam/pam_tokens.h.
const RESULTS: [&str; 33] = [
    "success",
    "open_err",
    "symbol_err",
    "service_err",
    "system_err",
    "buf_err",
    "perm_denied",
    "auth_err",
    "cred_insufficient",
    "authinfo_unavail",
    "user_unknown",
    "maxtries",
    "new_authtok_reqd",
    "acct_expired",
    "session_err",
    "cred_unavail",
    "cred_expired",
    "cred_err",
    "no_module_data",
    "conv_err",
    "authtok_err",
    "authtok_recover_err",
    "authtok_lock_busy",
    "authtok_disable_aging",
    "try_again",
    "ignore",
    "abort",
    "authtok_expired",
    "module_unknown",
    "bad_item",
    "conv_again",
    "incomplete",
    "default",
];

/// Reads a file. A carriage return at the end of a line is left out here; [`has_crlf`] tells of it.
pub fn parse(text: &str) -> Vec<Line> {
    logical_lines(text)
        .into_iter()
        .filter_map(|(number, line)| {
            let tokens = tokens(&line);
            (!tokens.is_empty()).then(|| Line { number, words: words(&tokens) })
        })
        .collect()
}

/// The first line that ends with a carriage return.
pub fn has_crlf(text: &str) -> Option<u32> {
    let index = text.split('\n').position(|line| line.ends_with('\r'))?;
    u32::try_from(index + 1).ok()
}

/// Joins what a backslash continues and drops comments. A comment reaches to the end of its line, also over a
/// backslash there.
fn logical_lines(text: &str) -> Vec<(u32, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(u32, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end_matches('\r');
        let (content, commented) = match line.split_once('#') {
            Some((before, _)) => (before, true),
            None => (line, false),
        };
        let trimmed = content.trim_end_matches([' ', '\t']);
        let continued = trimmed.strip_suffix('\\').filter(|_| !commented);
        let (start, mut whole) = open.take().unwrap_or((number, String::new()));
        whole.push_str(continued.unwrap_or(trimmed));
        match continued {
            Some(_) => {
                whole.push(' ');
                open = Some((start, whole));
            }
            None => lines.push((start, whole)),
        }
    }
    lines.extend(open);
    lines
}

/// Splits at blanks. A token that starts with `[` reaches to the next `]` that has no backslash before it.
fn tokens(line: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start_matches([' ', '\t']);
    while !rest.is_empty() {
        let length = if rest.starts_with('[') { bracket_length(rest) } else { None };
        let length = length.or_else(|| rest.find([' ', '\t'])).unwrap_or(rest.len());
        let (token, behind) = rest.split_at(length);
        tokens.push(token.replace(r"\]", "]"));
        rest = behind.trim_start_matches([' ', '\t']);
    }
    tokens
}

fn bracket_length(text: &str) -> Option<usize> {
    let mut before = ' ';
    for (index, character) in text.char_indices() {
        if character == ']' && before != '\\' {
            return Some(index + 1);
        }
        before = character;
    }
    None
}

fn words(tokens: &[String]) -> Words {
    let first = tokens.first().map_or("", String::as_str);
    let second = tokens.get(1);
    if first == "@include" {
        return match second {
            Some(file) => Words::IncludeAll(file.clone()),
            None => Words::Malformed(None, "@include names no file".to_owned()),
        };
    }
    let Some(kind) = kind(first.strip_prefix('-').unwrap_or(first)) else {
        return Words::Malformed(None, format!("`{first}` is no type: auth, account, password or session"));
    };
    let Some(control_text) = second else {
        return Words::Malformed(Some(kind), "it has no control and no module".to_owned());
    };
    let Some(target) = tokens.get(2) else {
        return Words::Malformed(Some(kind), "it has no module".to_owned());
    };
    match control_text.to_ascii_lowercase().as_str() {
        "include" => return Words::Include(kind, target.clone()),
        "substack" => return Words::Substack(kind, target.clone()),
        _ => {}
    }
    match Control::parse(control_text) {
        Ok(control) => Words::Rule(
            kind,
            Rule {
                control_text: control_text.clone(),
                control,
                module: target.clone(),
                arguments: tokens.iter().skip(3).map(|token| unbracketed(token)).collect(),
            },
        ),
        Err(why) => Words::Malformed(Some(kind), why),
    }
}

fn kind(word: &str) -> Option<Kind> {
    match word.to_ascii_lowercase().as_str() {
        "auth" => Some(Kind::Auth),
        "account" => Some(Kind::Account),
        "password" => Some(Kind::Password),
        "session" => Some(Kind::Session),
        _ => None,
    }
}

/// An argument without the brackets that hold its blanks together.
fn unbracketed(token: &str) -> String {
    let inner = token.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(token).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Words {
        let mut lines = parse(text);
        assert_eq!(lines.len(), 1, "{text:?}");
        lines.remove(0).words
    }

    fn rule(text: &str) -> Rule {
        match only(text) {
            Words::Rule(Kind::Auth, rule) => rule,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn comments_and_empty_lines_say_nothing() {
        assert_eq!(parse("# all\n\n   \t\n  # indented\n"), []);
        assert_eq!(rule("auth required pam_x.so # because\n").arguments, [""; 0]);
    }

    #[test]
    fn a_backslash_continues_the_line_but_not_a_comment() {
        let lines = parse(
            "auth \\\n required \\\n pam_x.so a\nauth required pam_y.so # no \\\nauth required pam_z.so\n",
        );
        let numbers: Vec<u32> = lines.iter().map(|line| line.number).collect();
        assert_eq!(numbers, [1, 4, 5]);
        assert!(matches!(&lines[0].words, Words::Rule(_, rule) if rule.arguments == ["a"]));
    }

    #[test]
    fn the_named_controls_are_their_brackets() {
        let table = [
            ("required", Action::Ok, Action::Ignore, Action::Bad),
            ("REQUISITE", Action::Ok, Action::Ignore, Action::Die),
            ("sufficient", Action::Done, Action::Ignore, Action::Ignore),
            ("optional", Action::Ok, Action::Ignore, Action::Ignore),
            ("[success=1 default=ignore]", Action::Jump(1), Action::Ignore, Action::Ignore),
            ("[ success = ok ignore=reset default = die ]", Action::Ok, Action::Reset, Action::Die),
            ("[success=ok]", Action::Ok, Action::Bad, Action::Bad),
        ];
        for (text, success, ignore, auth_err) in table {
            let control = rule(&format!("-auth {text} pam_x.so")).control;
            let found = ["success", "ignore", "auth_err"].map(|result| control.action(result));
            assert_eq!(found, [success, ignore, auth_err], "{text}");
        }
    }

    #[test]
    fn brackets_hold_an_argument_together() {
        let rule = rule(r"auth requisite /lib/security/pam_postern.so [prompt=Code [6\]: ] quiet");
        assert_eq!(rule.arguments, ["prompt=Code [6]: ", "quiet"]);
        assert!(rule.is_ours());
    }

    #[test]
    fn includes_are_told_apart() {
        assert_eq!(only("@include common-auth"), Words::IncludeAll("common-auth".into()));
        assert_eq!(only("auth include a"), Words::Include(Kind::Auth, "a".into()));
        assert_eq!(only("account substack b"), Words::Substack(Kind::Account, "b".into()));
    }

    #[test]
    fn what_pam_cannot_read_is_malformed() {
        for text in [
            "atuh required pam_x.so",
            "auth",
            "auth required",
            "auth requird pam_x.so",
            "auth [success=ok defualt=die] pam_x.so",
            "auth [success=OK] pam_x.so",
            "auth [success=0] pam_x.so",
            "auth [SUCCESS=ok] pam_x.so",
            "auth [success] pam_x.so",
            "@include",
        ] {
            assert!(matches!(only(text), Words::Malformed(..)), "{text}");
        }
    }

    #[test]
    fn carriage_returns_are_told_of_and_left_out() {
        let text = "# x\nauth required pam_x.so quiet\r\n";
        assert_eq!(has_crlf(text), Some(2));
        assert_eq!(has_crlf("auth\n"), None);
        assert_eq!(rule("auth required pam_x.so quiet\r\n").arguments, ["quiet"]);
        assert_eq!(parse(text)[0].number, 2);
    }
}
