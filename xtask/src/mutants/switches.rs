//! Writes a function anew so that it runs with or without its guards, as a variable says when it runs.
//!
//! So all mutants of the project are built once. A function of which guards are removed gets, in front of its own body,
//! one more body for each mutant; the rest of the file stays.

use std::ops::Range;

use anyhow::{Context as _, Result, ensure};
use syn::visit::{self, Visit};

use super::Mutant;

/// Names the mutant that a process is to run as.
pub const VARIABLE: &str = "POSTERN_MUTANT";

/// The text of a file with switches for these mutants, which are all of it.
///
/// # Errors
/// When a guard does not stand exactly once in the text, changes nothing, or stands in no body that can be switched.
pub fn place(text: &str, mutants: &[Mutant]) -> Result<String> {
    let mut bodies = Bodies::of(text)?;
    for mutant in mutants {
        bodies.add(text, mutant).with_context(|| format!("mutant {}", mutant.id))?;
    }
    // Where a guard is gone, something is left over.
    let (mut switched, mut written) = (String::from("#![allow(warnings)] "), 0);
    for body in bodies.0.iter().filter(|body| !body.mutants.is_empty()) {
        ensure!(
            body.range.start >= written,
            "guards of a function and of one within it cannot both be switched"
        );
        switched.push_str(&text[written..body.range.start]);
        switched.push_str(&body.switched(text));
        written = body.range.end;
    }
    switched.push_str(&text[written..]);
    Ok(switched)
}

/// The bodies of all functions of a file, in their order.
struct Bodies<'a>(Vec<Body<'a>>);

/// The body of a function, from its opening brace to its closing one.
struct Body<'a> {
    range: Range<usize>,
    mutants: Vec<&'a Mutant>,
}

impl<'a> Bodies<'a> {
    fn of(text: &str) -> Result<Self> {
        let mut bodies = Self(Vec::new());
        bodies.visit_file(&syn::parse_file(text)?);
        Ok(bodies)
    }

    /// Adds a mutant to the innermost body that holds its guard.
    fn add(&mut self, text: &str, mutant: &'a Mutant) -> Result<()> {
        let times = text.matches(&mutant.find).count();
        ensure!(times == 1, "its text stands {times} times in {}, not once", mutant.file.display());
        ensure!(mutant.find != mutant.replace, "it changes nothing");
        let start = text.find(&mutant.find).context("its text is gone")?;
        let end = start + mutant.find.len();
        let holds = |body: &&mut Body<'_>| body.range.start < start && end < body.range.end;
        let body = self.0.iter_mut().filter(holds).min_by_key(|body| body.range.len());
        body.context("its text stands in no function that is decided when it runs")?.mutants.push(mutant);
        Ok(())
    }

    /// Where a function is const, or what it returns has no name, its body cannot be one of several.
    fn note(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let returns_unnamed = match &signature.output {
            syn::ReturnType::Default => false,
            syn::ReturnType::Type(_, kind) => UnnamedType::is_in(kind),
        };
        if signature.constness.is_none() && !returns_unnamed {
            let braces = block.brace_token.span;
            let range = braces.open().byte_range().start..braces.close().byte_range().end;
            self.0.push(Body { range, mutants: Vec::new() });
        }
    }
}

impl<'s> Visit<'s> for Bodies<'_> {
    fn visit_item_fn(&mut self, item: &'s syn::ItemFn) {
        self.note(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'s syn::ImplItemFn) {
        self.note(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'s syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.note(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

impl Body<'_> {
    fn switched(&self, text: &str) -> String {
        let own = &text[self.range.clone()];
        let mut switched = String::from("{ ");
        for mutant in &self.mutants {
            let id = &mutant.id;
            let asked = format!("::std::env::var_os(\"{VARIABLE}\").is_some_and(|id| id == \"{id}\")");
            let without = own.replace(&mutant.find, &mutant.replace);
            switched.push_str(&format!("if {asked} {without} else "));
        }
        switched + own + " }"
    }
}

/// Looks for `impl Trait`.
#[derive(Default)]
struct UnnamedType(bool);

impl UnnamedType {
    fn is_in(kind: &syn::Type) -> bool {
        let mut unnamed = Self::default();
        unnamed.visit_type(kind);
        unnamed.0
    }
}

impl<'s> Visit<'s> for UnnamedType {
    fn visit_type_impl_trait(&mut self, _: &'s syn::TypeImplTrait) {
        self.0 = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(id: &str, find: &str, replace: &str) -> Mutant {
        let text = format!(
            "id = '{id}'\nchecks = ['A05']\nfile = 'a.rs'\npackage = 'p'\ntest = 't'\nfind = '{find}'\nreplace = '{replace}'"
        );
        toml::from_str(&text).expect("a mutant")
    }

    #[test]
    fn a_function_gets_a_body_for_each_mutant_and_the_rest_stays() {
        let text = "// é\nfn f(a: u8) -> bool { a > 1 && a < 9 }\nfn g() {}\n";
        let mutants = [mutant("low", "a > 1", "true"), mutant("high", "a < 9", "true")];
        let switched = place(text, &mutants).expect("both are in a body");
        let asked =
            |id: &str| format!("::std::env::var_os(\"POSTERN_MUTANT\").is_some_and(|id| id == \"{id}\")");
        let expected = format!(
            "#![allow(warnings)] // é\nfn f(a: u8) -> bool {{ if {} {{ true && a < 9 }} else if {} {{ a > 1 && true }} else {{ a > 1 && a < 9 }} }}\nfn g() {{}}\n",
            asked("low"),
            asked("high"),
        );
        assert_eq!(switched, expected);
    }

    #[test]
    fn a_guard_that_is_absent_or_stands_twice_is_an_error() {
        place("fn f() { g(); }", &[mutant("x", "h()", "g()")]).expect_err("absent");
        place("fn f() { g(); g(); }", &[mutant("x", "g()", "h()")]).expect_err("twice");
        place("fn f() { g(); }", &[mutant("x", "g()", "g()")]).expect_err("no change");
    }

    #[test]
    fn what_is_decided_before_it_runs_is_not_switched() {
        for text in [
            "const LIMIT: u8 = 3;",
            "const fn f() -> u8 { 3 }",
            "fn f() -> impl Iterator<Item = u8> { (0..3).filter(|_| true) }",
            "fn f() -> Option<impl Sized> { Some(3) }",
        ] {
            place(text, &[mutant("x", "3", "4")]).expect_err(text);
        }
        let inner = place("fn f() { fn g() -> u8 { 3 } }", &[mutant("x", "3", "4")]).expect("the inner one");
        assert!(inner.contains("fn f() { fn g() -> u8 { if "), "{inner}");
    }

    #[test]
    fn functions_within_one_another_are_not_both_switched() {
        let mutants = [mutant("outer", "3", "4"), mutant("inner", "5", "6")];
        place("fn f() -> u8 { fn g() -> u8 { 5 } 3 }", &mutants).expect_err("one within the other");
    }
}
