//! Pages on which somebody only looks: what he asks, and what is said to it.

use askama::Template;
use hyper::StatusCode;
use serve::Reply;

use super::asking::Refused;
use super::pages::{Page, Shown};
use super::parts::{Field, sentence};

/// A page of questions and answers. It changes nothing, so it asks by GET, and an address is all there is to it.
#[derive(Template)]
#[template(path = "web/look.html")]
pub(super) struct Look<'a> {
    /// Who looks.
    pub(super) visitor: &'a Shown,
    /// What stands above it.
    pub(super) title: &'a str,
    /// What could not be said, and why.
    pub(super) fault: String,
    /// Where its questions go.
    pub(super) action: &'a str,
    /// What the button says that sends them.
    pub(super) button: &'a str,
    /// The questions.
    pub(super) questions: Vec<Field>,
    /// From where it renews itself; not at all where this is empty.
    pub(super) renewal: String,
    /// What is said.
    pub(super) sections: Vec<Section>,
    /// Where it goes on: words and addresses.
    pub(super) links: Vec<(&'static str, String)>,
}

/// Something that is said.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    heading: &'static str,
    text: String,
    html: String,
}

impl Section {
    /// Made of a template.
    pub(super) fn new(heading: &'static str, part: &impl Template) -> Self {
        let html = part.render().unwrap_or_else(|error| {
            tracing::error!(%error, "a page cannot be put together");
            "This cannot be shown.".into()
        });
        Self { heading, text: String::new(), html }
    }

    /// A sentence.
    pub(super) fn sentence(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

impl<'a> Look<'a> {
    /// A page that asks nothing.
    pub(super) fn new(visitor: &'a Shown, title: &'a str) -> Self {
        Self {
            visitor,
            title,
            fault: String::new(),
            action: "",
            button: "Show",
            questions: Vec::new(),
            renewal: String::new(),
            sections: Vec::new(),
            links: Vec::new(),
        }
    }

    /// The answer.
    pub(super) fn reply(self) -> Reply {
        Page::of(&self).reply(StatusCode::OK)
    }

    /// The same, where something was refused. Whom the page is not for is asked nothing.
    pub(super) fn refused(mut self, refused: &Refused) -> Reply {
        if refused.status == StatusCode::FORBIDDEN {
            self.questions.clear();
        }
        self.fault = sentence(&refused.message);
        Page::of(&self).reply(refused.status)
    }
}
