use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::file::load;
use super::rate::Rate;
use super::users::credentials;
use super::*;

/// A folder for one test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("waypost-web-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let folder = Self(path);
        folder.renew();
        folder.write("ca.pem", &made().0);
        folder.write("junk.pem", "nothing\n");
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    /// Writes a certificate and its key.
    fn renew(&self) {
        let (certificate, key) = made();
        self.write("server.pem", &certificate);
        self.write("server.key", &key);
    }

    fn path(&self) -> PathBuf {
        self.0.join("web.yml")
    }

    /// What comes of the configuration `text`.
    fn load(&self, text: &str) -> Result<WebConfig, Vec<Mistake>> {
        self.write("web.yml", text);
        load(&self.path(), &mut Texts::default())
    }

    fn open(&self, text: &str) -> Arc<Web> {
        self.write("web.yml", text);
        let (directives, _) = crate::chain::testing::directives(&format!("tls {}", self.path().display()));
        let (web, _) = open(&directives[0].args[0]).unwrap();
        web
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn made() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn told(mistakes: &[Mistake]) -> Vec<String> {
    mistakes
        .iter()
        .map(|mistake| {
            let help = mistake.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{}{help}", mistake.in_file("web.yml"))
        })
        .collect()
}

const PAIR: &str = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";

#[test]
fn mistakes_have_their_place() {
    let folder = Folder::new("mistakes");
    let check = |text: &str, want: &[&str]| {
        let got = folder.load(text).err().unwrap_or_default();
        let got: Vec<String> =
            told(&got).iter().map(|l| l.replace(&folder.0.display().to_string(), "DIR")).collect();
        assert_eq!(got, want, "{text}");
    };
    let in_tls = |line: &str| format!("{PAIR}  {line}\n");
    check(
        "tls_server_conf:\n",
        &["web.yml:1:1: field tls_server_conf not found (did you mean 'tls_server_config'?)"],
    );
    check(
        "tls_server_config:\n  cert_filse: server.pem\n",
        &["web.yml:2:3: field cert_filse not found (did you mean 'cert_file'?)"],
    );
    check(&in_tls("cert_file: server.pem"), &["web.yml:4:3: field cert_file already set"]);
    check("rate_limit:\n  - 1\n", &["web.yml:2:3: expected mapping start"]);
    check("tls_server_config: {cert_file: server.pem}\n", &["web.yml: missing one of key or key_file"]);
    check("tls_server_config: {key_file: server.key}\n", &["web.yml: missing one of cert or cert_file"]);
    check(
        "tls_server_config:\n  cert_file: none.pem\n  key_file: server.key\n",
        &[
            "web.yml:2:14: failed to read cert_file (DIR/none.pem): open DIR/none.pem: no such file or directory",
        ],
    );
    check(
        "tls_server_config:\n  cert_file: junk.pem\n  key_file: server.key\n",
        &["web.yml:2:14: failed to load X509KeyPair: tls: failed to find any PEM data in certificate input"],
    );
    check(
        "tls_server_config:\n  cert_file: ca.pem\n  key_file: server.key\n",
        &["web.yml:2:14: failed to load X509KeyPair: tls: private key does not match public key"],
    );
    check(
        &in_tls("min_version: TLS14"),
        &["web.yml:4:16: unknown TLS version: TLS14 (did you mean 'TLS12'?)"],
    );
    check(
        &in_tls("max_version: TLS11"),
        &["web.yml:4:16: no version of TLS is left: there are TLS12 and TLS13"],
    );
    check(
        &in_tls("cipher_suites: [RC4]"),
        &[&format!(
            "web.yml:4:19: unknown cipher: RC4 (allowed: {})",
            crate::tls::names::suites().collect::<Vec<_>>().join(", ")
        )],
    );
    check(
        &in_tls("cipher_suites:\n    - TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
        &[&format!(
            "web.yml:5:7: cipher_suites has none that waypost has (allowed: {})",
            crate::tls::names::suites().collect::<Vec<_>>().join(", ")
        )],
    );
    check(
        &in_tls("curve_preferences: [CurveP521]"),
        &[
            "web.yml:4:23: curve_preferences has none that waypost has (allowed: X25519, CurveP256, CurveP384)",
        ],
    );
    check(
        &in_tls("curve_preferences: [P256]"),
        &["web.yml:4:23: unknown curve: P256 (allowed: X25519, CurveP256, CurveP384)"],
    );
    check(
        &in_tls("client_auth_type: Maybe"),
        &[
            "web.yml:4:21: invalid ClientAuth: Maybe (allowed: NoClientCert, RequireAndVerifyClientCert, VerifyClientCertIfGiven, RequireAnyClientCert, RequestClientCert)",
        ],
    );
    check(
        &in_tls("client_ca_file: ca.pem"),
        &["web.yml:4:19: client CA's have been configured without a Client Auth Policy"],
    );
    check(
        &in_tls("client_auth_type: RequireAndVerifyClientCert"),
        &[
            "web.yml:4:21: RequireAndVerifyClientCert: there is nobody to verify by (client_ca_file is missing)",
        ],
    );
    check(
        &in_tls("client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: junk.pem"),
        &["web.yml:5:19: client CA's: no certificate in PEM"],
    );
    check(
        "http_server_config:\n  headers:\n    X-Other: a\n    X-Frame-Options: all\n",
        &[
            "web.yml:4:22: invalid value for X-Frame-Options. Expected one of: [\"deny\" \"sameorigin\"], but got: \"all\"",
            "web.yml:3:14: HTTP header \"X-Other\" can not be configured (allowed: Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, X-XSS-Protection)",
        ],
    );
    check(
        "basic_auth_users:\n  alice: secret\n  bob: $2y$31$qRTBuFoULoYNA7AQ/F3ck.trZBPyjV64.oA4ZsSBCIWvXuvQlQTuu\n",
        &[
            "web.yml:2:10: the password of \"alice\" is no hash by bcrypt (this asks for a password and makes one: htpasswd -nBC 10 '')",
            "web.yml:3:8: the hash of \"bob\" has cost 31 (allowed: 4 to 20)",
        ],
    );
    check(
        "rate_limit:\n  interval: soon\n",
        &["web.yml:2:13: time: invalid duration \"soon\" (such as 1s or 500ms; 0: no limit)"],
    );
    fs::remove_file(folder.path()).unwrap();
    let gone = load(&folder.path(), &mut Texts::default()).err().unwrap();
    assert!(told(&gone)[0].ends_with("web.yml: no such file or directory"), "{gone:?}");
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let folder = Folder::new("warnings");
    let check = |text: &str, want: &[&str]| {
        let config = folder.load(text).map_err(|m| told(&m)).unwrap();
        assert_eq!(told(&config.warnings), want, "{text}");
    };
    check(PAIR, &[]);
    check(
        &format!("{PAIR}  min_version: TLS10\n"),
        &["web.yml:4:16: min_version TLS10: the oldest that is spoken is TLS12"],
    );
    check(
        &format!(
            "{PAIR}  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n"
        ),
        &["web.yml:4:19: cipher TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA is left out: waypost does not have it"],
    );
    check(
        &format!("{PAIR}  client_allowed_sans: [a]\n"),
        &["web.yml: client_allowed_sans is not looked at without client_auth_type"],
    );
    check("rate_limit: {interval: 1s, burst: 0}\n", &["web.yml:1:35: a burst of 0 lets no request through"]);
}

#[test]
fn all_that_the_toolkit_knows_is_read() {
    let folder = Folder::new("all");
    let indented = |text: String| text.lines().map(|l| format!("    {l}\n")).collect::<String>();
    let read = |name: &str| fs::read_to_string(folder.0.join(name)).unwrap();
    let text = format!(
        "tls_server_config:\n  cert: |\n{}  key: |\n{}  client_ca: |\n{}\
         \x20 client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [a]\n  min_version: TLS12\n  max_version: TLS13\n\
         \x20 cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n  prefer_server_cipher_suites: false\n\
         \x20 curve_preferences: [CurveP256]\nhttp_server_config:\n  http2: off\n  headers:\n    X-XSS-Protection: 1\n\
         rate_limit:\n  interval: 1000000\n  burst: 3\n\
         basic_auth_users:\n  alice: $2y$10$qRTBuFoULoYNA7AQ/F3ck.trZBPyjV64.oA4ZsSBCIWvXuvQlQTuu\n",
        indented(read("server.pem")),
        indented(read("server.key")),
        indented(read("ca.pem")),
    );
    let config = folder.load(&text).map_err(|m| told(&m)).unwrap();
    let tls = config.tls.unwrap();
    assert!(!tls.ignore_client_order && tls.alpn_protocols == [b"http/1.1"]);
    assert_eq!(config.headers, [("x-xss-protection", "1".to_owned())]);
    assert_eq!(config.rate, Some(Rate { interval: Duration::from_millis(1), burst: 3 }));
    assert!(config.users.contains_key("alice") && config.warnings.is_empty());
    for nothing in ["", "---\n", "tls_server_config:\nhttp_server_config:\nrate_limit:\nbasic_auth_users:\n"]
    {
        let config = folder.load(nothing).map_err(|m| told(&m)).unwrap();
        assert!(config.tls.is_none() && config.users.is_empty() && config.rate.is_none(), "{nothing}");
    }
}

#[test]
fn a_rate_is_kept() {
    let rate = Rate { interval: Duration::from_secs(1), burst: 2 };
    let mut bucket = Bucket::default();
    let mut at = |seconds: f64| bucket.take(rate, Mono(1) + Duration::from_secs_f64(seconds));
    assert!(at(0.0) && at(0.0) && !at(0.0) && !at(0.9), "two at once, and no more");
    assert!(at(1.0) && !at(1.9) && at(2.0), "one each second");
    assert!(at(10.0) && at(10.0) && !at(10.0), "what was not used is saved up to a limit");
    let none = Rate { burst: 0, ..rate };
    assert!(!bucket.take(none, Mono(1) + Duration::from_secs(100)));
}

#[test]
fn names_and_passwords_are_read() {
    let check = |field: &str, want: Option<(&str, &str)>| {
        let want = want.map(|(user, password)| (user.as_bytes().to_vec(), password.as_bytes().to_vec()));
        assert_eq!(credentials(field.as_bytes()), want, "{field}");
    };
    check("Basic YWxpY2U6YTpi", Some(("alice", "a:b")));
    check("bASIC Og==", Some(("", "")));
    check("Basic YWxpY2U=", None);
    check("Basic YWxpY2U", None);
    check("Basic", None);
    check("Bearer YWxpY2U6YTpi", None);
    check("", None);
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn passwords_are_looked_up_one_at_a_time_and_right_ones_known_again() {
    let users = BTreeMap::from([("alice".to_owned(), bcrypt::hash("open", 4).unwrap())]);
    let field = |text: &str| {
        use base64::Engine;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text)).into_bytes()
    };
    let passwords = Passwords::default();
    run(async {
        let check = async |text: &str| passwords.check(&users, Some(&field(text))).await;
        assert_eq!(check("alice:shut").await, Answer::Wrong);
        assert_eq!(check("bob:open").await, Answer::Wrong);
        assert_eq!(passwords.check(&users, None).await, Answer::Wrong);
        assert_eq!(check("alice:open").await, Answer::Right);
        // While somebody else has the turn, whoever was right is let through, and nobody else.
        let turn = passwords.hold();
        assert_eq!(check("alice:open").await, Answer::Right);
        tokio::time::pause();
        assert_eq!(check("alice:shut").await, Answer::Busy);
        drop(turn);
        tokio::time::resume();
        assert_eq!(check("alice:shut").await, Answer::Wrong);
    });
}

#[test]
fn files_that_change_count_at_once_and_broken_ones_not_at_all() {
    let folder = Folder::new("change");
    let web = folder.open(PAIR);
    let now = || run(web.current());
    let first = now();
    assert!(Arc::ptr_eq(&first, &now()), "nothing was read again");
    folder.renew();
    let second = now();
    assert!(!Arc::ptr_eq(&first, &second));
    folder.write("server.key", "broken\n");
    assert!(Arc::ptr_eq(&second, &now()));
    folder.write("web.yml", "tls_server_config: {cert: }\nx: y\n");
    assert!(Arc::ptr_eq(&second, &now()));
    // TLS does not end without a reload.
    folder.write("web.yml", "");
    assert!(Arc::ptr_eq(&second, &now()));
    folder.renew();
    folder.write("web.yml", &format!("{PAIR}http_server_config: {{headers: {{X-Frame-Options: deny}}}}\n"));
    assert_eq!(now().headers, [("x-frame-options", "deny".to_owned())]);
    fs::remove_file(Path::new(&folder.path())).unwrap();
    assert_eq!(now().headers.len(), 1);
}
