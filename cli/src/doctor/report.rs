//! The report: for each service a sentence, then the findings, worst first. For people and as JSON.

use serde::Serialize;

use super::finding::{Finding, Level};
use super::text::Text;
use crate::failure::Failure;
use crate::output::escape::escaped;
use crate::output::json::Document;
use crate::output::{Answer, Format};

/// Everything that the doctor has to say.
pub struct Report {
    /// The user that was asked about.
    pub user: Option<String>,
    /// One for each service.
    pub verdicts: Vec<Verdict>,
    /// In any order.
    pub findings: Vec<Finding>,
}

/// What will happen at a login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The PAM service.
    pub service: String,
    /// What will happen, in words.
    pub sentence: String,
    /// Whether a code will be asked for: of the user, else of whoever needs one. Absent where that cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks_code: Option<bool>,
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    problems: usize,
    verdicts: &'a [Verdict],
    findings: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    level: Level,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    message: &'a str,
    remedy: &'a str,
}

impl Report {
    /// Renders it. Problems make the run fail, after the report is printed.
    pub fn answer(mut self, format: Format) -> Result<Answer, Failure> {
        // The order of codes within a level is that of the document.
        self.findings.sort_by(|a, b| {
            (a.level, &a.service, a.code, &a.message).cmp(&(b.level, &b.service, b.code, &b.message))
        });
        self.findings.dedup_by(|a, b| (a.code, &a.place, &a.message) == (b.code, &b.place, &b.message));
        let problems = self.findings.iter().filter(|finding| finding.level == Level::Problem).count();
        let told = Told {
            user: self.user.as_deref(),
            problems,
            verdicts: &self.verdicts,
            findings: self.findings.iter().map(item).collect(),
        };
        let answer = Answer::one(format, &Document::new("doctor_report", &told), || self.text())?;
        Ok(if problems > 0 { answer.failing(Failure::ProblemsFound { count: problems }) } else { answer })
    }

    /// The form for people. Whatever came from outside is escaped.
    pub fn text(&self) -> String {
        let width = self.verdicts.iter().map(|verdict| escaped(&verdict.service).len()).max().unwrap_or(0);
        let whose = self.user.as_deref().map(|user| format!("{}: ", escaped(user))).unwrap_or_default();
        let mut text = String::new();
        for verdict in &self.verdicts {
            let (service, sentence) = (escaped(&verdict.service), escaped(&verdict.sentence));
            text.push_str(&format!("{service:width$}  {whose}{sentence}\n"));
        }
        for finding in &self.findings {
            let service = finding.service.as_deref().map(|name| format!("{}: ", escaped(name)));
            let place = finding.place.as_ref().map(|place| format!("{}: ", escaped(&place.text())));
            text.push_str(&format!(
                "\n{} {}\n  {}{}{}\n  right: {}\n",
                finding.level.word(),
                finding.code.name(),
                service.unwrap_or_default(),
                place.unwrap_or_default(),
                folded(&finding.message),
                folded(&finding.remedy),
            ));
        }
        text
    }
}

/// A text of several lines, all but the first set in.
fn folded(text: &Text) -> String {
    text.shown().replace('\n', "\n    ")
}

fn item(finding: &Finding) -> Item<'_> {
    Item {
        level: finding.level,
        code: finding.code.name(),
        service: finding.service.as_deref(),
        file: finding.place.as_ref().map(|place| place.file.as_str()),
        line: finding.place.as_ref().and_then(|place| place.line),
        message: finding.message.plain(),
        remedy: finding.remedy.plain(),
    }
}
