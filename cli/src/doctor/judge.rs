//! What is wrong with a service's auth stack, found by looking at every way through it.

use super::arguments;
use super::finding::{Code, Finding, Level, Place};
use super::line::Rule;
use super::modules::{self, Ending, Part};
use super::stack::{Entry, Stack};
use super::text::Text;
use super::walk::{Factor, Walk, walks};

/// The line that the recipes give.
const RIGHT_LINE: &str = "`auth requisite pam_postern.so`, after what checks the password";

/// An auth stack with what was found in it.
pub struct Judged {
    /// Every way through it.
    pub walks: Vec<Walk>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// Looks at a service's auth stack. `factor_before`: something else than PAM checks who the user is before PAM is
/// asked, as sshd does with a key.
pub fn judge(stack: &Stack, factor_before: bool) -> Judged {
    let (walks, too_wide) = walks(stack);
    let mut findings: Vec<Finding> = stack.faults.clone();
    findings.extend(too_wide.then(|| {
        let message = "this stack has more ways through it than are looked at";
        Finding::new(Code::StackTooWide, message, "fewer modules, or try by hand what is not said here")
    }));
    findings
        .extend(walks.iter().find_map(|walk| walk.jumped_too_far).map(|index| jump_too_far(stack, index)));
    let ours: Vec<&Entry> = stack.entries.iter().filter(|entry| entry.is_ours()).collect();
    if let Some(first) = ours.first() {
        findings.extend(ours.iter().filter_map(|entry| argument(entry)));
        let view = View { stack, walks: &walks, line: first.place.clone(), factor_before };
        let checks = [
            View::refusal_not_final,
            View::skipped,
            View::exempted,
            View::after_wrong_password,
            View::before_password,
            View::first_factor_missing,
            View::fails_open,
            View::nobody_gets_in,
            View::not_demanded_refused,
            View::asked_twice,
        ];
        findings.extend(checks.iter().filter_map(|check| check(&view)));
    }
    Judged { walks, findings }
}

fn jump_too_far(stack: &Stack, index: usize) -> Finding {
    let message = "this control jumps past the end of the stack, which PAM takes for a refusal";
    let finding = Finding::new(Code::JumpTooFar, message, "a jump over as many modules as follow, less one");
    match stack.entries.get(index) {
        Some(entry) => finding.at(entry.place.clone()),
        None => finding,
    }
}

fn argument(entry: &Entry) -> Option<Finding> {
    let (word, expected) = arguments::parse(&entry.rule()?.arguments).err()?;
    let message = format!("the module refuses every login of the service: `{word}` is no argument of it");
    Some(Finding::new(Code::ArgumentUnknown, message, expected).at(entry.place.clone()))
}

struct View<'a> {
    stack: &'a Stack,
    walks: &'a [Walk],
    line: Place,
    factor_before: bool,
}

impl View<'_> {
    fn found(&self, code: Code, message: impl Into<Text>, remedy: impl Into<Text>) -> Finding {
        Finding::new(code, message, remedy).at(self.line.clone())
    }

    fn any(&self, is_so: impl Fn(&Walk) -> bool) -> bool {
        self.walks.iter().any(is_so)
    }

    /// Whether the user is who he says, as far as something other than the code can tell.
    fn proved(&self, factor: Factor) -> bool {
        self.factor_before || factor == Factor::Right
    }

    /// A warning where a module that is not known might be the factor that seems to be missing.
    fn unless_unknown(&self, finding: Finding) -> Finding {
        let mut before = self.stack.entries.iter().take_while(|entry| !entry.is_ours());
        let is_unknown =
            |entry: &Entry| entry.rule().is_some_and(|rule| modules::part(rule) == Part::Unknown);
        if before.any(is_unknown) { finding.at_level(Level::Warning) } else { finding }
    }

    fn rule(&self) -> Option<&Rule> {
        self.stack.entries.iter().find(|entry| entry.is_ours()).and_then(Entry::rule)
    }

    fn refusal_not_final(&self) -> Option<Finding> {
        self.any(|walk| walk.is_in && walk.ours == Some(Ending::Refused)).then(|| {
            let control = self.rule().map_or("", |rule| rule.control_text.as_str());
            let message = format!("a refused code does not end the login: `{control}` lets it go on");
            self.found(Code::RefusalNotFinal, message, RIGHT_LINE)
        })
    }

    /// The steps that pass over our line on a way in on which it is not asked.
    fn skippers(&self) -> impl Iterator<Item = (&Entry, Part)> {
        let mut indices: Vec<usize> = self
            .walks
            .iter()
            .filter(|walk| walk.is_in && walk.ours.is_none())
            .filter_map(|walk| walk.skipped_by)
            .collect();
        indices.sort_unstable();
        indices.dedup();
        let entries = indices.into_iter().filter_map(|index| self.stack.entries.get(index));
        entries.filter_map(|entry| Some((entry, modules::part(entry.rule()?))))
    }

    fn skipped(&self) -> Option<Finding> {
        let (entry, _) = self.skippers().find(|(_, part)| !matches!(part, Part::Condition | Part::RootOk))?;
        let rule = entry.rule()?;
        let message = format!(
            "no code is asked: where {} says yes, `{}` passes over {}",
            rule.module,
            rule.control_text,
            self.line.text()
        );
        let remedy = "`requisite` instead of `sufficient`; with several such modules, jumps over pam_deny.so that end \
                      before our line, as in Debian's common-auth";
        Some(Finding::new(Code::ModuleSkipped, message, remedy).at(entry.place.clone()))
    }

    fn exempted(&self) -> Option<Finding> {
        let (entry, part) =
            self.skippers().find(|(_, part)| matches!(part, Part::Condition | Part::RootOk))?;
        let rule = entry.rule()?;
        let whom = if part == Part::RootOk { "root" } else { "some users" };
        let words = [std::slice::from_ref(&rule.module), &rule.arguments].concat().join(" ");
        let message = format!("no code is asked of {whom}: `{words}` passes over our line");
        Some(Finding::new(Code::UsersExempted, message, "nothing, if that is meant").at(entry.place.clone()))
    }

    fn after_wrong_password(&self) -> Option<Finding> {
        self.any(|walk| walk.factor_before_ours == Some(Factor::Wrong)).then(|| {
            let message =
                "our line is reached after a wrong password: whoever enrols is shown the new secret";
            let remedy =
                "`requisite` for what checks the password, or a jump to pam_deny.so as in common-auth";
            self.found(Code::AskedAfterWrongPassword, message, remedy)
        })
    }

    fn before_password(&self) -> Option<Finding> {
        let asks_later =
            |walk: &Walk| walk.factor_before_ours == Some(Factor::None) && walk.factor != Factor::None;
        (!self.factor_before && self.any(asks_later)).then(|| {
            let message =
                "our line stands before the password: whoever enrols is shown the new secret without it";
            self.unless_unknown(self.found(Code::AskedBeforePassword, message, RIGHT_LINE))
        })
    }

    fn first_factor_missing(&self) -> Option<Finding> {
        let nothing_else = |walk: &Walk| walk.is_in && walk.ours.is_some() && !self.proved(walk.factor);
        let wrong_only = |walk: &Walk| walk.factor_before_ours == Some(Factor::Wrong);
        self.any(|walk| nothing_else(walk) && !wrong_only(walk)).then(|| {
            let free = self.any(|walk| nothing_else(walk) && walk.ours == Some(Ending::NotDemanded));
            let whoever = if free { "; whoever needs none gets in with nothing" } else { "" };
            let message = format!("nothing but a code is asked{whoever}");
            let remedy =
                "`@include common-auth` before our line; for sshd, `publickey` in AuthenticationMethods";
            self.unless_unknown(self.found(Code::FirstFactorMissing, message, remedy))
        })
    }

    fn fails_open(&self) -> Option<Finding> {
        self.any(|walk| walk.is_in && walk.ours == Some(Ending::Unavailable)).then(|| {
            let message = "while no verifier answers, logins of this service go on without a code";
            self.found(Code::FailsOpen, message, "nothing, if that is meant; else no `fail=open`")
        })
    }

    fn nobody_gets_in(&self) -> Option<Finding> {
        let accepted = |walk: &Walk| walk.ours == Some(Ending::Accepted) && walk.is_in;
        (!self.any(accepted)).then(|| {
            let message = "even with the right code nobody gets in through this stack";
            self.found(Code::NobodyGetsIn, message, "the recipe for this service in docs/recipes.md")
        })
    }

    fn not_demanded_refused(&self) -> Option<Finding> {
        let is_in = |ending: Ending| self.any(|walk| walk.is_in && walk.ours == Some(ending));
        (is_in(Ending::Accepted) && !is_in(Ending::NotDemanded)).then(|| {
            let message =
                "whoever needs no code is refused: our line then says nothing, and no other says yes";
            self.found(Code::NotDemandedRefused, message, "`auth required pam_permit.so` after our line")
        })
    }

    fn asked_twice(&self) -> Option<Finding> {
        let asks = |walk: &Walk| {
            let ours =
                |(index, _): &&(usize, Ending)| self.stack.entries.get(*index).is_some_and(Entry::is_ours);
            walk.asked.iter().filter(ours).count()
        };
        self.any(|walk| walk.is_in && asks(walk) > 1).then(|| {
            let message = "one login asks for two codes, and the second has to be a new one";
            self.found(Code::AskedTwice, message, "our line in one of the files alone")
        })
    }
}
