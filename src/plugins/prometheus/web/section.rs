//! The part of a web configuration about TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::file::Mistake;
use super::texts::Texts;
use crate::tls::names::{self, Known, Version};
use crate::tls::{Authorities, ClientAuth, Clients, Identity, Offer};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsSection {
    cert: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
    client_ca: Option<Spanned<String>>,
    cert_file: Option<Spanned<String>>,
    key_file: Option<Spanned<String>>,
    client_auth_type: Option<Spanned<String>>,
    client_ca_file: Option<Spanned<String>>,
    cipher_suites: Option<Vec<Spanned<String>>>,
    curve_preferences: Option<Vec<Spanned<String>>>,
    min_version: Option<Spanned<String>>,
    max_version: Option<Spanned<String>>,
    prefer_server_cipher_suites: Option<bool>,
    client_allowed_sans: Option<Vec<String>>,
}

/// A text that is given in the configuration or stands in a file.
struct Given {
    bytes: Vec<u8>,
    place: Location,
}

/// What a section is read with.
struct Reading<'a> {
    folder: &'a Path,
    texts: &'a mut Texts,
    mistakes: &'a mut Vec<Mistake>,
    warnings: &'a mut Vec<Mistake>,
}

impl TlsSection {
    /// What connections are taken up with; `None` for plain HTTP, and if there are mistakes. Relative paths begin at `folder`.
    pub(super) fn read(
        self,
        folder: &Path,
        texts: &mut Texts,
        mistakes: &mut Vec<Mistake>,
        warnings: &mut Vec<Mistake>,
    ) -> Option<Arc<ServerConfig>> {
        let before = mistakes.len();
        let mut reading = Reading { folder, texts, mistakes, warnings };
        let certificate = reading.given("cert_file", self.cert_file, self.cert);
        let key = reading.given("key_file", self.key_file, self.key);
        let authorities = reading.given("client_ca_file", self.client_ca_file, self.client_ca);
        let auth = self.client_auth_type.filter(|auth| !auth.value.is_empty());
        let nothing_given = certificate.is_none() && key.is_none() && authorities.is_none() && auth.is_none();
        if nothing_given && reading.mistakes.len() == before {
            return None;
        }
        let identity = reading.identity(certificate, key, before);
        let clients = reading.clients(auth, authorities, self.client_allowed_sans);
        let offer = reading.offer(
            [self.min_version, self.max_version],
            self.cipher_suites.unwrap_or_default(),
            self.curve_preferences.unwrap_or_default(),
        );
        let mut offer = offer?;
        offer.prefers_own_order = self.prefer_server_cipher_suites.unwrap_or(true);
        if mistakes.len() > before {
            return None;
        }
        match offer.server(&identity?, clients, &["http/1.1"]) {
            Ok(server) => Some(server),
            Err(error) => {
                mistakes.push(Mistake::at(Location::UNKNOWN, error.to_string()));
                None
            }
        }
    }
}

impl Reading<'_> {
    fn mistake(&mut self, place: Location, message: impl Into<String>) {
        self.mistakes.push(Mistake::at(place, message));
    }

    /// The text of a file or, if none is named, the one that is given in its place.
    fn given(
        &mut self,
        what: &str,
        file: Option<Spanned<String>>,
        text: Option<Spanned<String>>,
    ) -> Option<Given> {
        let is_there = |text: &Spanned<String>| !text.value.is_empty();
        let Some(file) = file.filter(is_there) else {
            let text = text.filter(is_there)?;
            return Some(Given { bytes: text.value.into_bytes(), place: text.referenced });
        };
        let path = self.folder.join(&file.value);
        match self.texts.read(&path) {
            Ok(bytes) => Some(Given { bytes, place: file.referenced }),
            Err(why) => {
                self.mistake(file.referenced, format!("failed to read {what} ({}): {why}", path.display()));
                None
            }
        }
    }

    fn identity(
        &mut self,
        certificate: Option<Given>,
        key: Option<Given>,
        mistakes_before: usize,
    ) -> Option<Identity> {
        let (Some(certificate), Some(key)) = (&certificate, &key) else {
            // Unless one is named, and could not be read.
            if self.mistakes.len() == mistakes_before {
                let missing = if certificate.is_none() { "cert or cert_file" } else { "key or key_file" };
                self.mistake(Location::UNKNOWN, format!("missing one of {missing}"));
            }
            return None;
        };
        match Identity::from_pem(&certificate.bytes, &key.bytes) {
            Ok(identity) => Some(identity),
            Err(error) => {
                self.mistake(certificate.place, format!("failed to load X509KeyPair: {error}"));
                None
            }
        }
    }

    fn clients(
        &mut self,
        auth: Option<Spanned<String>>,
        given: Option<Given>,
        allowed: Option<Vec<String>>,
    ) -> Option<Arc<Clients>> {
        let place = auth.as_ref().map_or(Location::UNKNOWN, |auth| auth.referenced);
        let name = auth.map(|auth| auth.value).unwrap_or_default();
        let Some(auth) = ClientAuth::named(&name) else {
            let mistake = Mistake::at(place, format!("invalid ClientAuth: {name}"));
            self.mistakes.push(mistake.choices(&name, ClientAuth::NAMES));
            return None;
        };
        let mut authorities = None;
        if let Some(Given { bytes, place }) = given {
            match Authorities::from_pem(&bytes) {
                Ok(read) => authorities = Some(read),
                Err(error) => self.mistake(place, format!("client CA's: {error}")),
            }
            if auth == ClientAuth::NoClientCert {
                self.mistake(place, "client CA's have been configured without a Client Auth Policy");
            }
        } else if auth.verifies() && self.mistakes.is_empty() {
            let mistake = Mistake::at(place, format!("{name}: there is nobody to verify by"));
            self.mistakes.push(mistake.help("client_ca_file is missing"));
        }
        if auth == ClientAuth::NoClientCert && allowed.is_some() {
            let message = "client_allowed_sans is not looked at without client_auth_type";
            self.warnings.push(Mistake::at(place, message));
        }
        if auth.verifies() && authorities.is_none() {
            return None;
        }
        match Clients::new(auth, authorities.as_ref(), allowed) {
            Ok(clients) => clients,
            Err(error) => {
                self.mistake(place, format!("client CA's: {error}"));
                None
            }
        }
    }

    fn offer(
        &mut self,
        [min, max]: [Option<Spanned<String>>; 2],
        suites: Vec<Spanned<String>>,
        curves: Vec<Spanned<String>>,
    ) -> Option<Offer> {
        let place = max.as_ref().or(min.as_ref()).map_or(Location::UNKNOWN, |version| version.referenced);
        let min = self.version("min_version", min, Version::Tls12);
        let max = self.version("max_version", max, Version::Tls13);
        let suites =
            self.names(suites, "cipher", "cipher_suites", names::suite, &names::suites().collect::<Vec<_>>());
        let curves = self.names(
            curves,
            "curve",
            "curve_preferences",
            names::curve,
            &names::curves().collect::<Vec<_>>(),
        );
        let (min, max, suites, curves) = (min?, max?, suites?, curves?);
        let offer = Offer::default().groups(&curves);
        let offer = offer
            .versions(min, max)
            .and_then(|offer| if suites.is_empty() { Ok(offer) } else { offer.suites(&suites) });
        offer.map_err(|error| self.mistake(place, error.to_string())).ok()
    }

    fn version(&mut self, what: &str, found: Option<Spanned<String>>, default: Version) -> Option<Version> {
        let Some(Spanned { value, referenced, .. }) = found else { return Some(default) };
        let Some(version) = Version::named(&value) else {
            let mistake = Mistake::at(referenced, format!("unknown TLS version: {value}"));
            self.mistakes.push(mistake.choices(&value, &["TLS12", "TLS13"]));
            return None;
        };
        if what == "min_version" && !version.is_spoken() {
            let message = format!("min_version {value}: the oldest that is spoken is TLS12");
            self.warnings.push(Mistake::at(referenced, message));
        }
        Some(version)
    }

    /// What a list of Go's names stands for. Those that are not here are left out with a warning; if none is here, that is a mistake.
    fn names<T>(
        &mut self,
        listed: Vec<Spanned<String>>,
        kind: &str,
        list: &str,
        look: fn(&str) -> Option<Known<T>>,
        here: &[&str],
    ) -> Option<Vec<T>> {
        let mut found = Vec::new();
        let (mut elsewhere, mut is_good) = (Vec::new(), true);
        for Spanned { value, referenced, .. } in listed {
            match look(&value) {
                Some(Known::Here(known)) => found.push(known),
                Some(Known::Elsewhere) => elsewhere.push((value, referenced)),
                None => {
                    let mistake = Mistake::at(referenced, format!("unknown {kind}: {value}"));
                    self.mistakes.push(mistake.choices(&value, here));
                    is_good = false;
                }
            }
        }
        if let (true, true, Some((_, place))) = (is_good, found.is_empty(), elsewhere.first()) {
            let mistake = Mistake::at(*place, format!("{list} has none that waypost has"));
            self.mistakes.push(mistake.help(format!("allowed: {}", here.join(", "))));
            return None;
        }
        for (name, place) in elsewhere {
            let message = format!("{kind} {name} is left out: waypost does not have it");
            self.warnings.push(Mistake::at(place, message));
        }
        is_good.then_some(found)
    }
}
