//! Pages of templates, and the forms that come back.

use askama::Template;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serve::{Reply, body};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::Asked;
use super::escaping::visible_page;
use crate::http::roles::{Right, Verb, right};
use crate::people::Person;

/// What a page of one sentence says.
#[derive(Template)]
#[template(path = "web/message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    visitor: Option<&'a Shown>,
}

/// Who is signed in, as the head of a page has it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// His name.
    pub name: String,
    /// What his forms carry.
    pub form_word: String,
    /// The pages that he may see.
    pub sections: Vec<Section>,
    /// Where he is.
    path: String,
}

impl Shown {
    /// How the link to a section tells that he is there, if he is (WAI-ARIA, `aria-current`): on its own page, or on one
    /// that it leads to.
    pub fn current(&self, section: &Section) -> Option<&'static str> {
        let below = self.path.strip_prefix(section.path)?;
        match below.chars().next() {
            None => Some("page"),
            Some('/') => Some("true"),
            Some(_) => None,
        }
    }
}

/// A page that the head of every page leads to.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Where it is.
    pub path: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// What has to be granted.
    verb: Verb,
}

/// These pages, in the order in which they stand there.
const SECTIONS: [Section; 13] = [
    Section { path: "/requests", name: "Access requests", verb: Verb::RequestList },
    Section { path: "/users", name: "Users", verb: Verb::UserList },
    Section { path: "/tokens", name: "Tokens", verb: Verb::TokenList },
    Section { path: "/persons", name: "Persons", verb: Verb::PersonList },
    Section { path: "/sessions", name: "Sessions", verb: Verb::SessionList },
    Section { path: "/hosts", name: "Hosts", verb: Verb::HostList },
    Section { path: "/offline", name: "Offline passwords", verb: Verb::OfflineList },
    Section { path: "/policy", name: "Policy", verb: Verb::PolicyShow },
    Section { path: "/bans", name: "Bans", verb: Verb::BanList },
    Section { path: "/audit", name: "Audit trail", verb: Verb::AuditShow },
    Section { path: "/explain", name: "Explain", verb: Verb::Explain },
    Section { path: "/status", name: "Status", verb: Verb::Status },
    Section { path: "/account", name: "Your account", verb: Verb::SelfShow },
];

/// Who is signed in, what he may see, and what his forms carry.
pub(super) fn shown(asked: &Asked<'_>, person: &Person) -> Shown {
    let form_word = asked.visitor.as_ref().map(|(_, visitor)| visitor.form_word.clone());
    let may_see = |section: &Section| right(section.verb, person.role) != Right::Nothing;
    Shown {
        name: person.login.clone(),
        form_word: form_word.unwrap_or_default(),
        sections: SECTIONS.into_iter().filter(may_see).collect(),
        path: asked.path.to_owned(),
    }
}

/// The answer where nothing is.
pub(super) fn nothing_here(asked: &Asked<'_>, person: &Person) -> Reply {
    let visitor = shown(asked, person);
    Page::message("Not found", "Nothing is at this address.", &visitor).reply(StatusCode::NOT_FOUND)
}

/// Whether somebody may do something, to his own or to everybody's: what he may not, no page offers him.
pub(super) fn may(person: &Person, verb: Verb) -> bool {
    right(verb, person.role) != Right::Nothing
}

/// The text of a page.
pub struct Page(String);

impl Page {
    /// A page of a template.
    pub fn of(template: &impl Template) -> Self {
        Self(template.render().map_or_else(
            |error| {
                tracing::error!(%error, "a page cannot be put together");
                "This page cannot be shown.".into()
            },
            |page| visible_page(&page),
        ))
    }

    /// A page of one sentence, for whoever is not signed in.
    pub fn nothing(text: &str) -> Self {
        Self::of(&Message { title: "Postern", text, visitor: None })
    }

    /// The same for somebody who is.
    pub fn message(title: &str, text: &str, visitor: &Shown) -> Self {
        Self::of(&Message { title, text, visitor: Some(visitor) })
    }

    /// The answer.
    pub fn reply(self, status: StatusCode) -> Reply {
        let mut reply = Response::new(Full::new(Bytes::from(self.0)));
        *reply.status_mut() = status;
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        reply
    }
}

/// Sends a browser to another page with a GET.
///
/// * `to`: a path of ours, encoded (see [`super::asking::path`]).
pub fn redirect(to: &str) -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::SEE_OTHER;
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    reply.headers_mut().insert(LOCATION, to);
    reply
}

/// The fields of a form: of the query where one is read, of the body where one is sent.
#[derive(Default)]
pub struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// Reads a form, wiped after use. Anything but an ordinary form is refused: other types are what pages of others can
    /// send without being asked.
    ///
    /// # Errors
    /// The answer to what is no form.
    pub async fn read(head: &Parts, incoming: Incoming) -> Result<Self, Reply> {
        if matches!(head.method, Method::GET | Method::HEAD) {
            return Ok(Self::of(head.uri.query().unwrap_or_default().as_bytes()));
        }
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Page::nothing("This is no form.").reply(StatusCode::FORBIDDEN));
        }
        let read = body::read(Request::new(incoming)).await?;
        let read = Zeroizing::new(read.to_vec());
        Ok(Self::of(&read))
    }

    fn of(text: &[u8]) -> Self {
        let fields = form_urlencoded::parse(text);
        Self(fields.map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned()))).collect())
    }

    /// What was typed into a field, without the blanks around it; none where that is nothing.
    pub fn typed(&self, name: &str) -> Option<&str> {
        self.field(name).map(|typed| typed.trim()).filter(|typed| !typed.is_empty())
    }

    /// A form as a test fills it in.
    #[cfg(test)]
    pub fn of_fields(fields: &[(&str, &str)]) -> Self {
        let field = |(name, value): &(&str, &str)| ((*name).to_owned(), Zeroizing::new((*value).to_owned()));
        Self(fields.iter().map(field).collect())
    }

    /// A field that stands there once.
    pub fn field(&self, name: &str) -> Option<&Zeroizing<String>> {
        let mut found = self.0.iter().filter(|(known, _)| known == name);
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value)
    }
}
