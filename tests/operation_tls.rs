//! The page of `prometheus` behind a web configuration: TLS, certificates of clients, passwords. Asked by curl.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::http::{get, try_get};
use crate::support::pki::{Authority, Pair, self_made};
use crate::support::{Lineage, PATIENCE, Server, TestDir, eventually, next_port};

/// A hash of `open`, at the least cost.
fn open() -> String {
    bcrypt::hash("open", 4).expect("a hash")
}

/// A server whose page at `port` stands behind `web.yml` in `dir`.
struct Web {
    server: Option<Server>,
    dir: Arc<TestDir>,
    port: u16,
    ca: Authority,
}

impl Web {
    /// `yaml` stands behind the lines with the server's certificate.
    fn start(yaml: &str) -> Self {
        let (dir, port) = (Arc::new(TestDir::new()), next_port());
        let web = Self { server: None, dir, port, ca: Authority::new("ca") };
        web.dir.write("ca.pem", web.ca.pem());
        web.write("server", &web.ca.server("first"));
        web.configure(yaml);
        let server = Server::with(&web.corefile(true)).dir(&web.dir).start();
        Self { server: Some(server), ..web }
    }

    fn corefile(&self, is_secure: bool) -> String {
        let tls =
            if is_secure { format!("{{\n tls {}\n }}", self.dir.join("web.yml")) } else { String::new() };
        format!(". {{\n whoami\n prometheus 127.0.0.1:{} {tls}\n}}\n", self.port)
    }

    fn configure(&self, yaml: &str) {
        let pair = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";
        self.dir.replace("web.yml", format!("{pair}{yaml}"));
    }

    fn write(&self, name: &str, pair: &Pair) {
        self.dir.write(&format!("{name}.pem"), &pair.certificate);
        self.dir.write(&format!("{name}.key"), &pair.key);
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it was started")
    }

    /// Asks for `path` with curl and these arguments.
    fn ask(&self, path: &str, arguments: &[&str]) -> Asked {
        let output = Command::new("curl")
            .current_dir(self.dir.path())
            .args(["--silent", "--show-error", "--include", "--max-time", "30", "--cacert", "ca.pem"])
            .args(["--write-out", "\n%{ssl_verify_result} %{http_version} %{http_code}"])
            .args(arguments)
            .arg(format!("https://127.0.0.1:{}{path}", self.port))
            .output()
            .expect("curl is there");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (text, end) = text.rsplit_once('\n').expect("what curl adds");
        let mut end = end.split(' ').skip(1);
        let version = end.next().unwrap_or_default().to_owned();
        let status = end.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        Asked { status, version, head: head.to_lowercase(), body: body.to_owned(), error }
    }

    fn status(&self, arguments: &[&str]) -> u16 {
        self.ask("/metrics", arguments).status
    }

    /// Who the server says it is.
    fn subject(&self) -> String {
        let asked = self.ask("/metrics", &["--verbose"]);
        let subject = asked.error.lines().find_map(|line| line.trim().split_once("subject: CN="));
        subject.map(|(_, name)| name.to_owned()).unwrap_or_else(|| panic!("no subject: {}", asked.error))
    }
}

/// What curl says; status 0 if there was no answer.
#[derive(Debug)]
struct Asked {
    status: u16,
    version: String,
    /// In lower case.
    head: String,
    body: String,
    error: String,
}

/// What the server answers to `request` in plain text, up to the end of the connection.
fn plain(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit above zero");
    stream.write_all(request.as_bytes()).expect("it takes bytes");
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn the_page_is_served_over_both_versions_of_tls_and_not_without() {
    let web = Web::start("");
    for version in [["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3", "--tls-max", "1.3"]] {
        let asked = web.ask("/metrics", &version);
        assert_eq!((asked.status, asked.version.as_str()), (200, "1.1"), "{asked:?}");
        assert!(asked.body.contains("coredns_build_info{"), "{asked:?}");
    }
    assert_eq!(web.ask("/other", &[]).body, "404 page not found\n");
    let told = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    assert_eq!(plain(web.port, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"), told);
    assert!(!plain(web.port, "\x16\x03\x01 and what is no handshake\r\n").contains("HTTP"));
    // Who does not know the authority does not ask.
    let stranger = web.ask("/metrics", &["--cacert", "/dev/null"]);
    assert_eq!(stranger.status, 0);
    web.server().wait_for_line("plugin/prometheus: TLS handshake error from 127.0.0.1:");

    web.configure("  min_version: TLS13\n");
    assert_eq!(web.status(&["--tls-max", "1.2"]), 0);
    assert_eq!(web.status(&[]), 200);
    web.configure("  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n");
    assert_eq!(web.status(&["--tlsv1.3"]), 0);
    let asked = web.ask("/metrics", &["--verbose"]);
    assert!(asked.error.contains("TLSv1.2 / ECDHE-ECDSA-AES256-GCM-SHA384"), "{}", asked.error);
}

#[test]
fn clients_are_known_by_their_certificates() {
    let web = Web::start("");
    web.write("ours", &web.ca.client("client.test"));
    web.write("theirs", &Authority::new("other").client("client.test"));
    let own = self_made("own.test");
    web.write("own", &own);
    web.dir.write("clients.pem", web.ca.pem() + &own.certificate);
    let statuses = |yaml: &str| {
        web.configure(yaml);
        ["", "ours", "theirs", "own"].map(|who| {
            let (certificate, key) = (format!("{who}.pem"), format!("{who}.key"));
            let with = ["--cert", &certificate, "--key", &key];
            let both = ["1.2", "1.3"].map(|version| {
                let max = ["--tls-max", version];
                let arguments = if who.is_empty() { max.to_vec() } else { [&max[..], &with[..]].concat() };
                web.status(&arguments)
            });
            assert_eq!(both[0], both[1], "{yaml} {who}: the versions do not differ");
            both[0]
        })
    };
    let auth = |name: &str, more: &str| format!("  client_auth_type: {name}\n{more}");
    let ca = "  client_ca_file: clients.pem\n";
    assert_eq!(statuses(&auth("NoClientCert", "")), [200, 200, 200, 200]);
    assert_eq!(statuses(&auth("RequestClientCert", "")), [200, 200, 200, 200]);
    assert_eq!(statuses(&auth("RequireAnyClientCert", "")), [0, 200, 200, 200]);
    assert_eq!(statuses(&auth("RequireClientCert", "")), [0, 200, 200, 200]);
    assert_eq!(statuses(&auth("VerifyClientCertIfGiven", ca)), [200, 200, 0, 200]);
    assert_eq!(statuses(&auth("RequireAndVerifyClientCert", ca)), [0, 200, 0, 200]);
    let sans = |names: &str| format!("{ca}  client_allowed_sans: [{names}]\n");
    let required = "RequireAndVerifyClientCert";
    assert_eq!(statuses(&auth(required, &sans("x.test, client.test"))), [0, 200, 0, 0]);
    assert_eq!(statuses(&auth(required, &sans("own.test"))), [0, 0, 0, 200]);
    assert_eq!(statuses(&auth("RequireAnyClientCert", &sans("client.test"))), [0, 200, 200, 0]);
    assert_eq!(statuses(&auth("RequestClientCert", &sans("client.test"))), [0, 200, 200, 0]);
    assert_eq!(statuses(&auth(required, &sans(""))), [0, 0, 0, 0]);
}

#[test]
fn users_have_passwords_and_replies_have_headers() {
    let users = format!("basic_auth_users:\n  alice: {}\n", open());
    let headers = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=1\n";
    let web = Web::start(&(headers.to_owned() + &users));
    for (arguments, status) in [
        (&[][..], 401),
        (&["--user", "alice:open"], 200),
        (&["--user", "alice:open"], 200),
        (&["--user", "alice:shut"], 401),
        (&["--user", "bob:open"], 401),
        (&["--user", "alice:"], 401),
        (&["--header", "Authorization: Bearer alice"], 401),
    ] {
        let asked = web.ask("/metrics", arguments);
        assert_eq!(asked.status, status, "{arguments:?}");
        assert!(asked.head.contains("x-frame-options: deny"), "{}", asked.head);
        assert!(asked.head.contains("strict-transport-security: max-age=1"), "{}", asked.head);
        if status == 401 {
            assert_eq!(asked.body, "Unauthorized\n");
            assert!(asked.head.contains("www-authenticate: basic"), "{}", asked.head);
            assert!(asked.head.contains("content-type: text/plain; charset=utf-8"), "{}", asked.head);
            assert!(asked.head.contains("x-content-type-options: nosniff"), "{}", asked.head);
        }
    }
    // What is not there is told to nobody either.
    assert_eq!(web.ask("/other", &[]).status, 401);
    // The file counts from the next request on.
    web.configure("rate_limit: {interval: 1h, burst: 2}\n");
    assert_eq!([web.status(&[]), web.status(&[])], [200, 200]);
    let asked = web.ask("/metrics", &[]);
    assert_eq!((asked.status, asked.body.as_str()), (429, "Too Many Requests\n"));
    // Without TLS, users are asked all the same.
    web.dir.replace("web.yml", users);
    web.server().reload();
    assert_eq!(get(web.port, "/metrics"), (401, "Unauthorized\n".to_owned()));
}

#[test]
fn a_certificate_is_exchanged_without_a_reload() {
    let web = Web::start("");
    assert_eq!(web.subject(), "first");
    web.write("server", &web.ca.server("second"));
    assert_eq!(web.subject(), "second");
    // While it does not go with its key, the one before it is shown.
    web.dir.write("server.pem", web.ca.server("third").certificate);
    assert_eq!(web.subject(), "second");
    web.server().wait_for_line("failed to load X509KeyPair: tls: private key does not match public key");
    web.write("server", &web.ca.server("fourth"));
    assert_eq!(web.subject(), "fourth");
    web.configure("nonsense:\n");
    assert_eq!(web.subject(), "fourth");
    web.server().wait_for_line("web.yml:4:1: field nonsense not found");
}

#[test]
fn a_broken_file_stops_the_start_and_no_service() {
    let web = Web::start("");
    web.dir.write("broken.yml", "tls_server_config:\n  cert_file: none.pem\n  key_file: server.key\n");
    let broken = web.corefile(true).replace("web.yml", "broken.yml");
    let ended = Server::with(&broken.replace(&web.port.to_string(), &next_port().to_string())).run();
    assert_eq!(ended.code(), 1);
    let (first, rest) = ended.stderr.split_once('\n').expect("several lines");
    assert!(first.starts_with("plugin/prometheus: Corefile:4 - Error during parsing: "), "{first}");
    assert!(first.contains("broken.yml:2:14: failed to read cert_file ("), "{first}");
    assert!(first.ends_with("none.pem: no such file or directory"), "{first}");
    assert!(rest.contains("Corefile:4:6"), "{rest}");
    web.dir.write("Corefile", &broken);
    web.server().signal("USR1");
    web.server().wait_for_line("Restart failed: plugin/prometheus: Corefile:4");
    assert_eq!(web.subject(), "first");
}

#[test]
fn a_page_changes_between_plain_and_tls_on_one_address() {
    let web = Web::start("");
    let mut kept = TcpStream::connect((Ipv4Addr::LOCALHOST, web.port)).expect("it listens");
    for _ in 0..2 {
        web.dir.write("Corefile", web.corefile(false));
        web.server().reload();
        assert_eq!(get(web.port, "/metrics").0, 200);
        assert_eq!(web.status(&[]), 0);
        kept = TcpStream::connect((Ipv4Addr::LOCALHOST, web.port)).expect("it listens");
        kept.set_read_timeout(Some(PATIENCE)).expect("a limit above zero");
        kept.write_all(b"GET /other HTTP/1.1\r\nhost: x\r\n\r\n").expect("it takes bytes");
        let mut text = [0; 4096];
        let length = kept.read(&mut text).expect("an answer");
        assert!(text[..length].starts_with(b"HTTP/1.1 404"));
        web.dir.write("Corefile", web.corefile(true));
        web.server().reload();
        assert_eq!(web.status(&[]), 200);
        // A connection from before gets nothing more in plain text.
        kept.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").expect("it takes bytes");
        let mut text = String::new();
        kept.read_to_string(&mut text).expect("the end of the connection");
        assert!(text.starts_with("HTTP/1.1 400") && text.ends_with("to an HTTPS server.\n"), "{text}");
    }
    drop(kept);
    let both = format!(
        ". {{\n whoami\n health 127.0.0.1:{0}\n prometheus 127.0.0.1:{0} {{\n tls {1}\n }}\n}}\n",
        web.port,
        web.dir.join("web.yml")
    );
    web.dir.write("Corefile", both);
    web.server().signal("USR1");
    web.server().wait_for_line("is served there with");
    assert_eq!(web.status(&[]), 200);
}

#[test]
fn an_upgrade_keeps_the_page() {
    let mut web = Web::start("");
    let mut lineage = Lineage::of(web.server.take().expect("it was started"));
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut asked = 0;
            while asked == 0 || !end.load(Ordering::Relaxed) {
                // One that the old process took as it ended may be closed: a scraper asks again.
                let status =
                    Some(web.status(&[])).filter(|status| *status != 0).unwrap_or_else(|| web.status(&[]));
                assert_eq!(status, 200);
                asked += 1;
            }
        });
        lineage.upgrade();
        end.store(true, Ordering::Relaxed);
        asking.join().expect("nobody was refused");
    });
    assert_eq!(web.subject(), "first");
}

#[test]
fn clients_that_never_finish_a_handshake_lose_their_places() {
    let web = Web::start("");
    let held: Vec<TcpStream> = (0..64_usize)
        .map(|n| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, web.port)).expect("it listens");
            // A record of 512 bytes begins.
            let begun: &[u8] = if n % 2 == 0 { b"" } else { b"\x16\x03\x01\x02\x00\x01" };
            stream.write_all(begun).expect("it takes bytes");
            stream
        })
        .collect();
    eventually("places come back", || web.status(&[]) == 200);
    drop(held);
}

#[test]
fn who_guesses_passwords_holds_up_nobody_else() {
    let health = next_port();
    // What is guessed costs more than what is known.
    let (alice, bob) = (open(), open().replace("$04$", "$10$"));
    let web = Web::start(&format!("basic_auth_users:\n  alice: {alice}\n  bob: {bob}\n"));
    web.dir.write(
        "Corefile",
        web.corefile(true).replace("whoami", &format!("whoami\n health 127.0.0.1:{health}")),
    );
    web.server().reload();
    assert_eq!(web.status(&["--user", "alice:open"]), 200);
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let guessing: Vec<_> = (0..4)
            .map(|n| {
                let (web, end) = (&web, &end);
                scope.spawn(move || {
                    while !end.load(Ordering::Relaxed) {
                        let status = web.status(&["--user", &format!("bob:{n}"), "--max-time", "2"]);
                        assert!([0, 401, 503].contains(&status), "{status}");
                    }
                })
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(try_get(health, "/health").map(|(status, _)| status), Some(200));
            assert_eq!(web.status(&["--user", "alice:open"]), 200);
        }
        end.store(true, Ordering::Relaxed);
        guessing.into_iter().for_each(|thread| thread.join().expect("they are refused"));
    });
}
