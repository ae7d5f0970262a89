use std::{fmt, path::PathBuf, str::FromStr};

use thiserror::Error;

use super::{Judged, Verdict};
use crate::text::{self, visible};

/// How it is told what has become of conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Plain text, on stderr.
    #[default]
    Text,
    /// Workflow commands of GitHub Actions, on stderr: the runner makes annotations of them.
    Github,
    /// A JUnit report in this file, and text on stderr.
    Junit(PathBuf),
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Github => f.write_str("github"),
            Self::Junit(path) => write!(f, "junit={}", text::path(path)),
        }
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        match text.split_once('=').unwrap_or((text, "")) {
            ("text", "") => Ok(Self::Text),
            ("github", "") => Ok(Self::Github),
            ("junit", "") => Err(FormatError::NoFile),
            ("junit", path) => Ok(Self::Junit(path.into())),
            _ => Err(FormatError::Unknown),
        }
    }
}

/// Why a text is no [`Format`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// None of them.
    #[error("it can be text, github or junit=FILE")]
    Unknown,
    /// `junit` alone.
    #[error("needs a file: junit=FILE")]
    NoFile,
}

/// A line for each condition, or a document.
pub fn render(judged: &[Judged], format: &Format) -> String {
    match format {
        Format::Text => judged.iter().map(|one| one.line() + "\n").collect(),
        Format::Github => judged.iter().map(github).collect(),
        Format::Junit(_) => junit(judged),
    }
}

/// `::error title={title}::{message}`, each part with its own characters escaped; plain text for what
/// passes.
fn github(judged: &Judged) -> String {
    let line = judged.line();
    if !judged.failed() {
        return line + "\n";
    }
    let title = percent_encoded("zombie-trace --fail-if", "%\r\n:,");
    let message = percent_encoded(&visible(&line), "%\r\n");
    format!("::error title={title}::{message}\n")
}

fn percent_encoded(text: &str, special: &str) -> String {
    let mut encoded = String::new();
    for char in text.chars() {
        match special.contains(char) {
            true => encoded += &format!("%{:02X}", u32::from(char)),
            false => encoded.push(char),
        }
    }
    encoded
}

/// A test case a condition.
fn junit(judged: &[Judged]) -> String {
    let count = |wanted: fn(&Judged) -> bool| judged.iter().filter(|one| wanted(one)).count();
    let counts = format!(
        r#"tests="{}" failures="{}" errors="0" skipped="{}""#,
        judged.len(),
        count(Judged::failed),
        count(|one| one.verdict == Verdict::NoData)
    );
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"zombie-trace\" {counts}>\n  \
         <testsuite name=\"zombie-trace --fail-if\" {counts}>\n"
    );
    for one in judged {
        let name = xml_escaped(&one.condition.to_string());
        let explanation = xml_escaped(&one.explanation());
        let outcome = match one.verdict {
            Verdict::Holds(_) | Verdict::Unknown => {
                format!(r#"<failure type="condition" message="{explanation}"/>"#)
            }
            Verdict::NoData => format!(r#"<skipped message="{explanation}"/>"#),
            Verdict::DoesNotHold(_) => format!("<system-out>{explanation}</system-out>"),
        };
        xml += &format!(
            "    <testcase classname=\"zombie-trace\" name=\"{name}\">\n      {outcome}\n    </testcase>\n"
        );
    }
    xml + "  </testsuite>\n</testsuites>\n"
}

fn xml_escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Value;

    fn judged() -> Vec<Judged> {
        [
            ("p99>50ms", Verdict::Holds(Value::Time(62_314_517))),
            ("alive<1", Verdict::DoesNotHold(Value::Number(4))),
            ("max>1s", Verdict::NoData),
            ("p50>+20%", Verdict::Holds(Value::Change(24.0))),
        ]
        .map(|(condition, verdict)| Judged {
            condition: condition.parse().unwrap(),
            verdict,
            error_ns: 0,
        })
        .to_vec()
    }

    #[test]
    fn formats() {
        for text in ["text", "github", "junit=a=b.xml"] {
            assert_eq!(text.parse::<Format>().unwrap().to_string(), text);
        }
        assert_eq!("junit".parse::<Format>(), Err(FormatError::NoFile));
        assert_eq!("junit=".parse::<Format>(), Err(FormatError::NoFile));
        for text in ["", "xml", "github=x", "JUnit"] {
            assert_eq!(text.parse::<Format>(), Err(FormatError::Unknown), "{text}");
        }
    }

    #[test]
    fn text_has_a_line_for_each() {
        assert_eq!(
            render(&judged(), &Format::Text),
            "FAIL p99 = 62.3 ms (limit 50 ms)\n\
             PASS alive = 4 (at least 1)\n\
             PASS max: no zombie was reaped (limit 1 s)\n\
             FAIL p50 changed by +24.0% (limit +20%)\n"
        );
    }

    #[test]
    fn github_gets_workflow_commands() {
        assert_eq!(
            render(&judged(), &Format::Github),
            "::error title=zombie-trace --fail-if::FAIL p99 = 62.3 ms (limit 50 ms)\n\
             PASS alive = 4 (at least 1)\n\
             PASS max: no zombie was reaped (limit 1 s)\n\
             ::error title=zombie-trace --fail-if::FAIL p50 changed by +24.0%25 (limit +20%25)\n"
        );
        assert_eq!(
            percent_encoded("a:b,c%\r\n", "%\r\n:,"),
            "a%3Ab%2Cc%25%0D%0A"
        );
    }

    #[test]
    fn junit_is_a_document_with_a_case_a_condition() {
        let xml = render(&judged(), &Format::Junit("x".into()));
        let document = roxmltree::Document::parse(&xml).unwrap();
        let suites = document.root_element();
        let suite = suites.first_element_child().unwrap();
        for (node, name) in [(suites, "testsuites"), (suite, "testsuite")] {
            assert_eq!(node.tag_name().name(), name);
            for (count, value) in [("tests", "4"), ("failures", "2"), ("skipped", "1")] {
                assert_eq!(node.attribute(count), Some(value), "{count}");
            }
        }
        let cases: Vec<_> = suite
            .children()
            .filter(roxmltree::Node::is_element)
            .collect();
        let found = cases.iter().map(|case| {
            let outcome = case.first_element_child().unwrap();
            let said = outcome.attribute("message").or(outcome.text());
            (
                case.attribute("name").unwrap(),
                outcome.tag_name().name(),
                said.unwrap(),
            )
        });
        assert_eq!(
            found.collect::<Vec<_>>(),
            [
                ("p99>50ms", "failure", "p99 = 62.3 ms (limit 50 ms)"),
                ("alive<1", "system-out", "alive = 4 (at least 1)"),
                ("max>1s", "skipped", "max: no zombie was reaped (limit 1 s)"),
                ("p50>+20%", "failure", "p50 changed by +24.0% (limit +20%)"),
            ]
        );
    }

    #[test]
    fn xml_has_its_characters_escaped() {
        let xml = format!(r#"<a b="{0}">{0}</a>"#, xml_escaped("<&>\"'"));
        let document = roxmltree::Document::parse(&xml).unwrap();
        let root = document.root_element();
        assert_eq!(
            (root.attribute("b"), root.text()),
            (Some("<&>\"'"), Some("<&>\"'"))
        );
    }
}
