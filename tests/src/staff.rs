//! A daemon with pages, and a person of each role who can sign in on them.

use crate::api::make_certificate;
use crate::flows::associated;
use crate::fob::{Fob, drawer};
use crate::pages::{Answer, SECTION, Visitor};
use crate::persons::PASSWORD;
use crate::postern;
use crate::verifier::{Verifier, config};

/// The persons, with their roles.
pub const STAFF: [(&str, &str); 4] =
    [("ann", "admin"), ("dora", "helpdesk"), ("otto", "auditor"), ("alice", "user")];

/// Tokens in the drawer: one for each of them, and two more.
const FOBS: u64 = 6;

/// The daemon, and what its people hold.
pub struct Staff {
    /// Each one's token, in the order of [`STAFF`]; the last two are nobody's, and the daemon does not know them.
    pub fobs: Vec<Fob>,
    _verifier: Verifier,
}

impl Staff {
    /// Starts it.
    ///
    /// * `more`: further sections of its configuration.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start(more: &str) -> Self {
        let mut verifier = Verifier::prepare(&config(&format!("{SECTION}{more}")));
        make_certificate();
        verifier.initialise();
        verifier.launch();
        let mut fobs = drawer(FOBS);
        for ((name, role), fob) in STAFF.iter().zip(&mut fobs) {
            let address = format!("{name}@example.org");
            let words = ["person", "add", name, "--email", &address, "--role", role, "--password"];
            postern::done_with_input(&words, &format!("{PASSWORD}\n"));
            associated(fob, name);
        }
        Self { fobs, _verifier: verifier }
    }

    /// One of its people, signed in.
    ///
    /// # Panics
    /// When he is not let in.
    #[track_caller]
    pub fn visitor(&mut self, name: &str) -> Visitor {
        let visitor = Visitor::new(name);
        let half_way = visitor.post("/sign-in", &[("login", name), ("password", PASSWORD)]);
        assert_eq!(half_way.header("location"), Some("/sign-in"), "{half_way:?}");
        let form = visitor.get("/sign-in").form_word().expect("a form").to_owned();
        let code = self.press(name);
        let signed_in = visitor.post("/sign-in/code", &[("form", &form), ("code", &code)]);
        assert_eq!(signed_in.header("location"), Some("/"), "{signed_in:?}");
        visitor
    }

    /// The next code of somebody's token.
    ///
    /// # Panics
    /// For somebody who is none of them.
    #[track_caller]
    pub fn press(&mut self, name: &str) -> String {
        let place = STAFF.iter().position(|(known, _)| *known == name).expect("one of them");
        self.fobs[place].press()
    }
}

/// Sends a form as somebody who is signed in, with the word that his forms carry.
///
/// # Panics
/// When he is shown no form.
#[track_caller]
pub fn send(visitor: &Visitor, path: &str, fields: &[(&str, &str)]) -> Answer {
    let page = visitor.get("/account");
    let form = page.form_word().expect("a form");
    visitor.post(path, &[&[("form", form)], fields].concat())
}
