//! A web configuration: YAML, and what it means.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bcrypt::HashParts;
use rustls::ServerConfig;
use serde::Deserialize;
use serde_saphyr::{Error, Location, MessageFormatter, Spanned, UserMessageFormatter};

use super::rate::Rate;
use super::section::TlsSection;
use super::texts::Texts;
use super::users::Users;
use crate::config::{GoDuration, did_you_mean, quote};

/// The greatest cost of a hash; each step doubles the time, and this is about a minute.
const COST_MAX: u32 = 20;

/// What a web configuration comes to.
pub(super) struct WebConfig {
    /// `None`: plain HTTP.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Names in lower case.
    pub(super) headers: Vec<(&'static str, String)>,
    /// Nobody: everybody may ask.
    pub(super) users: Users,
    /// `None`: as often as one likes.
    pub(super) rate: Option<Rate>,
    /// What is accepted and probably not meant.
    pub(super) warnings: Vec<Mistake>,
}

/// What is wrong with a web configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Line and column, from 1; none if it concerns all of it.
    place: Option<(u64, u64)>,
    /// In the words of the toolkit where it has some.
    message: String,
    /// What is allowed.
    pub(super) help: Option<String>,
}

impl Mistake {
    pub(super) fn at(place: Location, message: impl Into<String>) -> Self {
        let place = (place != Location::UNKNOWN).then(|| (place.line(), place.column()));
        Self { place, message: message.into(), help: None }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Adds what was probably meant, or else what is allowed.
    pub(super) fn choices(self, found: &str, allowed: &[&str]) -> Self {
        match did_you_mean(found, allowed.iter().copied()) {
            Some(close) => self.help(format!("did you mean '{close}'?")),
            None => self.help(format!("allowed: {}", allowed.join(", "))),
        }
    }

    fn of_yaml(error: &Error) -> Self {
        let error = error.without_snippet();
        let place = error.location().unwrap_or(Location::UNKNOWN);
        match error {
            Error::SerdeUnknownField { field, expected, .. } => {
                Self::at(place, format!("field {field} not found")).choices(field, expected)
            }
            Error::DuplicateMappingKey { key, .. } => {
                Self::at(place, format!("field {} already set", key.as_deref().unwrap_or_default()))
            }
            error => Self::at(place, UserMessageFormatter.format_message(error)),
        }
    }

    /// The mistake as a sentence with its place, in the file that is called `file`.
    pub(super) fn in_file<'a>(&'a self, file: &'a str) -> impl fmt::Display + 'a {
        struct InFile<'a>(&'a Mistake, &'a str);
        impl fmt::Display for InFile<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self(Mistake { place, message, .. }, file) = self;
                match place {
                    Some((line, column)) => write!(f, "{file}:{line}:{column}: {message}"),
                    None => write!(f, "{file}: {message}"),
                }
            }
        }
        InFile(self, file)
    }
}

/// Reads the web configuration at `path`, and the files that it names, into `texts`.
///
/// # Errors
/// All that is wrong with it; of what is not YAML the first.
pub(super) fn load(path: &Path, texts: &mut Texts) -> Result<WebConfig, Vec<Mistake>> {
    let whole = |message: String| vec![Mistake::at(Location::UNKNOWN, message)];
    let text = texts.read(path).map_err(whole)?;
    let text = String::from_utf8(text).map_err(|_| whole("it is not UTF-8".to_owned()))?;
    let options = serde_saphyr::options! { with_snippet: false };
    let document: Option<Document> =
        serde_saphyr::from_str_with_options(&text, options).map_err(|e| vec![Mistake::of_yaml(&e)])?;
    let Document { tls_server_config, http_server_config, rate_limit, basic_auth_users } =
        document.unwrap_or_default();
    let mut mistakes = Vec::new();
    let mut warnings = Vec::new();
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let tls = tls_server_config.unwrap_or_default();
    let tls = tls.read(folder, texts, &mut mistakes, &mut warnings);
    let headers = headers(http_server_config.unwrap_or_default(), &mut mistakes);
    let users = users(basic_auth_users.unwrap_or_default(), &mut mistakes);
    let rate = rate(rate_limit.unwrap_or_default(), &mut mistakes, &mut warnings);
    if mistakes.is_empty() { Ok(WebConfig { tls, headers, users, rate, warnings }) } else { Err(mistakes) }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Document {
    tls_server_config: Option<TlsSection>,
    http_server_config: Option<HttpSection>,
    rate_limit: Option<RateSection>,
    basic_auth_users: Option<BTreeMap<String, Spanned<String>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpSection {
    /// Taken either way: HTTP/1.1 is what there is.
    #[serde(rename = "http2")]
    _http2: Option<bool>,
    headers: Option<BTreeMap<String, Spanned<String>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RateSection {
    interval: Option<Spanned<String>>,
    burst: Option<Spanned<i64>>,
}

/// The fields that may be configured, what they are called on the wire, and their values, if not any.
const HEADERS: &[(&str, &str, &[&str])] = &[
    ("Content-Security-Policy", "content-security-policy", &[]),
    ("Strict-Transport-Security", "strict-transport-security", &[]),
    ("X-Content-Type-Options", "x-content-type-options", &["nosniff"]),
    ("X-Frame-Options", "x-frame-options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", "x-xss-protection", &[]),
];

fn headers(section: HttpSection, mistakes: &mut Vec<Mistake>) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    for (name, Spanned { value, referenced, .. }) in section.headers.unwrap_or_default() {
        let Some((_, on_the_wire, values)) = HEADERS.iter().find(|(known, ..)| *known == name) else {
            let names: Vec<&str> = HEADERS.iter().map(|(name, ..)| *name).collect();
            let message = format!("HTTP header {} can not be configured", quote(&name));
            mistakes.push(Mistake::at(referenced, message).choices(&name, &names));
            continue;
        };
        if !values.is_empty() && !values.contains(&value.as_str()) {
            let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
            let message = format!(
                "invalid value for {name}. Expected one of: [{}], but got: {}",
                quoted.join(" "),
                quote(&value)
            );
            mistakes.push(Mistake::at(referenced, message));
        } else if value.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f) {
            mistakes.push(Mistake::at(referenced, format!("{name} cannot have control characters")));
        } else {
            headers.push((*on_the_wire, value));
        }
    }
    headers
}

fn users(section: BTreeMap<String, Spanned<String>>, mistakes: &mut Vec<Mistake>) -> Users {
    let mut users = Users::new();
    for (name, Spanned { value: hash, referenced, .. }) in section {
        match hash.parse::<HashParts>() {
            // What is wrong is not shown: it may be the password itself.
            Err(_) => mistakes.push(
                Mistake::at(referenced, format!("the password of {} is no hash by bcrypt", quote(&name)))
                    .help("this asks for a password and makes one: htpasswd -nBC 10 ''"),
            ),
            Ok(parts) if !(COST_MIN..=COST_MAX).contains(&parts.get_cost()) => {
                let cost = parts.get_cost();
                let message = format!("the hash of {} has cost {cost}", quote(&name));
                mistakes.push(
                    Mistake::at(referenced, message).help(format!("allowed: {COST_MIN} to {COST_MAX}")),
                );
            }
            Ok(_) => drop(users.insert(name, hash)),
        }
    }
    users
}

/// The least that bcrypt knows.
const COST_MIN: u32 = 4;

fn rate(section: RateSection, mistakes: &mut Vec<Mistake>, warnings: &mut Vec<Mistake>) -> Option<Rate> {
    let Spanned { value, referenced, .. } = section.interval?;
    // As Go's reader of YAML: a bare number is nanoseconds.
    let interval = match value.parse::<i64>() {
        Ok(nanoseconds) => Ok(GoDuration { nanoseconds }),
        Err(_) => GoDuration::parse(&value),
    };
    let interval = match interval {
        Ok(interval) => interval.positive()?,
        Err(why) => {
            mistakes.push(Mistake::at(referenced, why).help("such as 1s or 500ms; 0: no limit"));
            return None;
        }
    };
    let (burst, place) = section.burst.map_or((0, referenced), |burst| (burst.value, burst.referenced));
    if burst < 1 {
        let message = format!("a burst of {burst} lets no request through");
        warnings.push(Mistake::at(place, message));
    }
    let burst = u32::try_from(burst.max(0)).unwrap_or(u32::MAX);
    (interval > Duration::ZERO).then_some(Rate { interval, burst })
}
