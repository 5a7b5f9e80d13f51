//! A login that a password issued on request lets in, and what leads to one: `request`, `emergency`, `resend`.
//!
//! Whoever asks reads the same, whether or not he is somebody: what becomes of his request is decided in `access`, on one
//! way for all.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::state::Asked;
use super::{Answer, Dialogue, DialogueError, terms, texts};
use crate::access::{AccessRules, AskError, Asked as Outcome, How, Resent, Wish};
use crate::audit::Reason;
use crate::config::RequestMode;
use crate::engine::{Attempt, Decision, RequestKey, Ruling};
use crate::login::Login;
use crate::people::{Desk, EmailAddress, PeopleError, Person, as_one_request};
use crate::policy::{Demand, Leave, RequestTerms, Terms, demand};

/// Longest reason for an emergency, in characters. Source: check C10.
const REASON_CHARACTERS_MAX: usize = 500;

/// A word that is typed instead of a password.
enum Word {
    Request,
    Emergency,
    Resend,
}

impl Word {
    fn of(answer: &str) -> Option<Self> {
        match answer.trim().to_ascii_lowercase().as_str() {
            "request" => Some(Self::Request),
            "emergency" => Some(Self::Emergency),
            "resend" => Some(Self::Resend),
            _ => None,
        }
    }
}

/// What came of a request, once for each time that it is sent.
#[derive(Clone, Debug)]
pub enum Requested {
    /// What its answer says.
    Told(Outcome),
    /// A decision, where one was made instead.
    Decided(Decision),
}

/// Who asks, as far as is known.
enum Asker {
    /// Who has this address, if anybody.
    Address(String),
    /// Whose account it is, if it is one person's.
    Account,
    /// Who has this login name and password, if anybody.
    Login { login: String, password: Zeroizing<String> },
}

impl Dialogue {
    /// Asks for an issued password, or for a word.
    ///
    /// * `whose`: the address that one was asked for with, if it is known.
    pub(super) fn ask_for_issued(
        &self,
        login: &Login,
        mut show: Vec<String>,
        whose: Option<&str>,
        grace: bool,
    ) -> Result<Answer, DialogueError> {
        show.push(texts::words(whose));
        self.ask(login, show, texts::issued_question(whose, grace), Asked::Issued { grace })
    }

    /// The same, with the address of whoever waits for one at this place.
    pub(super) fn ask_for_issued_again(
        &self,
        login: &Login,
        show: Vec<String>,
        grace: bool,
    ) -> Result<Answer, DialogueError> {
        let waiting = login.user_name().ok().and_then(|user| {
            let host = login.host.as_ref().map(|host| host.id);
            self.requests.waiting_for(host, &user, self.clock.now())
        });
        self.ask_for_issued(login, show, waiting.as_deref(), grace)
    }

    /// What follows from an answer on the way to an issued password; `None` where a judgement does.
    pub(super) async fn next_of_request(
        self: &Arc<Self>,
        login: &Login,
        asked: &Asked,
        key: RequestKey,
        answer: &Zeroizing<String>,
    ) -> Result<Option<Answer>, DialogueError> {
        let word = match asked {
            Asked::Issued { .. } => match Word::of(answer) {
                Some(word) => Some(word),
                None => return Ok(None),
            },
            Asked::RequestEmail { .. }
            | Asked::RequestReason { .. }
            | Asked::RequestConfirm
            | Asked::RequestLogin
            | Asked::RequestPassword { .. } => None,
            Asked::SecondaryLogin { grace } if !(*grace && answer.is_empty()) => {
                let asked = Asked::SecondaryPassword { login: texts::cut(answer) };
                return self.ask(login, Vec::new(), texts::password_question(), asked).map(Some);
            }
            _ => return Ok(None),
        };
        let (terms, demanded) = self.demanded(login, self.clock.now()).await;
        let Demand::Request { leave } = demanded else {
            // The configuration changed while he typed.
            return self.rule(login, &terms, Reason::TokenMissing).await.map(Some);
        };
        let grace = leave.is_given();
        let next = match word {
            Some(Word::Request) => self.begin_request(login, &terms).await,
            Some(Word::Emergency) => {
                self.ask(login, Vec::new(), texts::email_question(), Asked::RequestEmail { emergency: true })
            }
            Some(Word::Resend) => self.resend(login, grace).await,
            None => self.go_on_asking(login, &terms, asked, key, answer, grace).await,
        };
        next.map(Some)
    }

    /// The next of the questions that lead to a request, or the request.
    async fn go_on_asking(
        self: &Arc<Self>,
        login: &Login,
        terms: &Terms,
        asked: &Asked,
        key: RequestKey,
        answer: &Zeroizing<String>,
        grace: bool,
    ) -> Result<Answer, DialogueError> {
        let ask = |show, question, asked| self.ask(login, show, question, asked);
        match asked {
            Asked::RequestEmail { emergency } => match (EmailAddress::parse(answer.trim()), *emergency) {
                (Err(_), emergency) => {
                    let show = vec![texts::NO_ADDRESS.into()];
                    ask(show, texts::email_question(), Asked::RequestEmail { emergency })
                }
                (Ok(address), true) => {
                    let asked = Asked::RequestReason { email: address.to_string() };
                    ask(Vec::new(), texts::reason_question(), asked)
                }
                (Ok(address), false) => {
                    self.request(login, terms, key, Asker::Address(address.to_string()), None, grace).await
                }
            },
            Asked::RequestReason { email } => {
                let reason: String = answer.trim().chars().take(REASON_CHARACTERS_MAX).collect();
                if reason.is_empty() {
                    let asked = Asked::RequestReason { email: email.clone() };
                    return ask(Vec::new(), texts::reason_question(), asked);
                }
                self.request(login, terms, key, Asker::Address(email.clone()), Some(reason), grace).await
            }
            Asked::RequestConfirm if texts::is_yes(answer) => {
                self.request(login, terms, key, Asker::Account, None, grace).await
            }
            Asked::RequestLogin => {
                let asked = Asked::RequestPassword { login: texts::cut(answer) };
                ask(Vec::new(), texts::password_question(), asked)
            }
            Asked::RequestPassword { login: name } => {
                let asker = Asker::Login { login: name.clone(), password: answer.clone() };
                self.request(login, terms, key, asker, None, grace).await
            }
            _ => self.ask_for_issued_again(login, Vec::new(), grace),
        }
    }

    /// Decides about what is no code of a token: an issued password, or a person's own.
    pub(super) async fn judge_person(&self, attempt: Attempt, asked: Asked, terms: &Terms) -> Decision {
        let demanded = demand(attempt.user.as_deref(), true, terms, self.clock.now());
        let is_left = attempt.typed.is_empty();
        match (asked, demanded) {
            (Asked::Issued { grace: true }, Demand::Request { leave: Leave::Rollout })
            | (Asked::SecondaryLogin { .. }, Demand::Secondary { leave: Leave::Rollout })
                if is_left =>
            {
                self.engine.record(&attempt.occasion, Ruling::new(Reason::Rollout)).await
            }
            (Asked::Issued { .. }, Demand::Request { .. }) => self.engine.verify_issued(attempt).await,
            (Asked::SecondaryPassword { login }, Demand::Secondary { .. }) => {
                self.engine.verify_person(attempt, &login, &self.people).await
            }
            // The configuration changed while he typed.
            (Asked::Issued { .. }, _) => {
                self.engine.refuse_whatever(attempt, None, Ruling::new(Reason::WrongCode)).await
            }
            _ => self.engine.refuse_whatever(attempt, None, Ruling::new(Reason::SecondaryRefused)).await,
        }
    }

    /// `request` was typed: what else is to be known depends on the mode.
    async fn begin_request(&self, login: &Login, terms: &Terms) -> Result<Answer, DialogueError> {
        let mode = RequestTerms::at(login.host.as_ref(), &self.config.load()).mode.value;
        let by_address =
            || self.ask(login, Vec::new(), texts::email_question(), Asked::RequestEmail { emergency: false });
        match mode {
            RequestMode::Approval => by_address(),
            RequestMode::Internal => {
                self.ask(login, Vec::new(), texts::login_question(false), Asked::RequestLogin)
            }
            RequestMode::Directory => match self.persons_of(login).await {
                Err(error) => self.nobody_can_tell(login, terms, &error).await,
                // A shared account: he says which of them he is.
                Ok(persons) if persons.len() > 1 => by_address(),
                Ok(_) => self.ask(login, Vec::new(), texts::confirm_question(), Asked::RequestConfirm),
            },
        }
    }

    async fn resend(&self, login: &Login, grace: bool) -> Result<Answer, DialogueError> {
        let Ok(user) = login.user_name() else {
            return self.ask_for_issued_again(login, vec![texts::resent(&Resent::Nothing)], grace);
        };
        let resent = match self.requests.resend(login.host.as_ref(), &user).await {
            Ok(resent) => resent,
            Err(error) => return self.not_taken(login, &error).await,
        };
        self.ask_for_issued_again(login, vec![texts::resent(&resent)], grace)
    }

    /// Makes the request, once for each time that it is sent, and says what becomes of it.
    async fn request(
        self: &Arc<Self>,
        login: &Login,
        terms: &Terms,
        key: RequestKey,
        asker: Asker,
        emergency: Option<String>,
        grace: bool,
    ) -> Result<Answer, DialogueError> {
        let begun = self.clock.elapsed();
        let typed = match &asker {
            Asker::Address(address) => Some(address.clone()),
            Asker::Account | Asker::Login { .. } => None,
        };
        let occasion = terms::occasion(login.clone(), terms);
        let user = login.user_name().ok().and_then(|name| self.accounts.find(&name));
        let attempt = Attempt { occasion, request: key, user, typed: Zeroizing::default() };
        let this = Arc::clone(self);
        let work = || async move { as_one_request(this.make_request(attempt, asker, emergency)).await };
        let requested = self.requested.once(key, begun, work).await.ok_or(DialogueError::Unavailable)?;
        self.wait_for_the_next_beat(begun).await;
        match requested {
            Requested::Decided(decision) => self.conclude(login, &decision),
            Requested::Told(outcome) => {
                let profile = RequestTerms::at(login.host.as_ref(), &self.config.load()).profile.value;
                let show = vec![texts::requested(&outcome, profile)];
                match typed {
                    Some(address) => self.ask_for_issued(login, show, Some(&address), grace),
                    None => self.ask_for_issued_again(login, show, grace),
                }
            }
        }
    }

    async fn make_request(
        self: Arc<Self>,
        attempt: Attempt,
        asker: Asker,
        emergency: Option<String>,
    ) -> Requested {
        let login = attempt.occasion.login.clone();
        let terms = RequestTerms::at(login.host.as_ref(), &self.config.load());
        let how = match (emergency, terms.mode.value) {
            (Some(reason), _) => How::Emergency { reason },
            (None, RequestMode::Approval) => How::Approval,
            (None, RequestMode::Directory | RequestMode::Internal) => How::Automatic,
        };
        let (typed, person) = match asker {
            Asker::Address(address) => {
                let person = self.person_with(&login, &address).await;
                (address, person)
            }
            Asker::Account => {
                let persons = self.persons_of(&login).await;
                (String::new(), persons.map(|persons| <[_; 1]>::try_from(persons).ok().map(|[one]| one)))
            }
            Asker::Login { login: name, password } => {
                let attempt = Attempt { typed: password, ..attempt.clone() };
                match self.engine.identify(&attempt, &name, &self.people, Desk::Prompt).await {
                    // Not the end of a row of wrong codes, which a request must not be (check B04).
                    Ok((person, _)) => {
                        // He has shown who he is, and nobody comes this far who is nobody.
                        let address = person.email.as_ref().map(ToString::to_string);
                        (address.unwrap_or_default(), Ok(Some(person)))
                    }
                    Err(decision) => return Requested::Decided(decision),
                }
            }
        };
        let person = match person {
            Ok(person) => person,
            Err(error) => {
                let ruling = Ruling::new(Reason::PeopleUnavailable).detail(error.to_string());
                return Requested::Decided(self.engine.record(&attempt.occasion, ruling).await);
            }
        };
        let rules = AccessRules::from(&terms);
        match self.requests.ask(Wish { login, typed, person, how, rules }).await {
            Ok(outcome) => Requested::Told(outcome),
            Err(error) => {
                tracing::warn!(%error, "a request was not taken");
                Requested::Decided(self.engine.record(&attempt.occasion, Ruling::new(Reason::Busy)).await)
            }
        }
    }

    /// Who has this address and may use the account.
    async fn person_with(&self, login: &Login, address: &str) -> Result<Option<Arc<Person>>, PeopleError> {
        let found = self.people.by_email(address).await?;
        let user = login.user_name().ok();
        Ok(found.filter(|found| user.is_some_and(|user| found.accounts.contains(&user))))
    }

    async fn persons_of(&self, login: &Login) -> Result<Vec<Arc<Person>>, PeopleError> {
        match login.user_name() {
            Ok(user) => self.people.of_account(&user).await,
            Err(_) => Ok(Vec::new()),
        }
    }

    async fn nobody_can_tell(
        &self,
        login: &Login,
        terms: &Terms,
        error: &PeopleError,
    ) -> Result<Answer, DialogueError> {
        tracing::warn!(%error, "persons cannot be looked up");
        self.rule(login, terms, Reason::PeopleUnavailable).await
    }

    async fn not_taken(&self, login: &Login, error: &AskError) -> Result<Answer, DialogueError> {
        tracing::warn!(%error, "a request was not taken");
        let terms = self.terms(login, self.clock.now()).await;
        self.rule(login, &terms, Reason::Busy).await
    }
}
