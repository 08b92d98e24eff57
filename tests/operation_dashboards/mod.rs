//! Dashboards and alerts made for CoreDNS, asked of a real Prometheus that asks a real server.

mod alerts;
mod panels;

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use self::alerts::{ALERTS, Alert, Fault};
use self::panels::{CHOICES, Is, MENUS, PANELS};
use crate::support::client::{Udp, ask, ask_tcp};
use crate::support::http::{get, sample};
use crate::support::message::{self, ResponseCode, edns_query, query, response, soa};
use crate::support::prometheus::{self, Prometheus, Sample, Target};
use crate::support::{Asked, Deed, PATIENCE, Server, Upstream, eventually, has_ipv6, next_port};

const JOB: &str = "kube-dns";
const POD: &str = "coredns-5d78c9869d-x2x7k";

#[test]
fn dashboards_made_for_coredns_show_what_they_are_to() {
    let test = "dashboards_made_for_coredns_show_what_they_are_to";
    let (page, health) = (next_port(), next_port());
    let upstream = Upstream::start(upstream_deed);
    let server = Server::start(&format!(
        ". {{
            prometheus 127.0.0.1:{page}
            errors
            health 127.0.0.1:{health}
            ready 127.0.0.1:{health}
            local
            acl {{
                block type CAA net *
                filter type DNSKEY net *
                allow net *
            }}
            cache 30
            loadbalance
            hosts {{
                192.0.2.7 a.hosts.test
                fallthrough
            }}
            forward . {} {{
                max_concurrent 1000
            }}
            reload
        }}
        zone.test {{
            prometheus 127.0.0.1:{page}
            errors
            whoami
        }}",
        upstream.address
    ));
    let clients = Clients::of(&server);
    clients.go_round();
    let labels = [("pod", POD), ("cluster", "prod"), ("monitor", "dns"), ("k8s_app", "coredns")];
    let Some(prometheus) = Prometheus::start(test, &[Target { job: JOB, port: page, labels: &labels }])
    else {
        return;
    };
    eventually("Prometheus knows the first round of queries", || {
        prometheus.ask("coredns_dns_requests_total").is_ok_and(|series| !series.is_empty())
    });
    clients.go_round();

    let mut questions = Vec::new();
    for panel in PANELS {
        for question in panel.asks {
            for (selector, range) in CHOICES {
                let question = filled(&question.replace("$s", selector).replace("$r", range), page);
                questions.push((panel, question));
            }
        }
    }
    questions.dedup_by(|a, b| a.1 == b.1);
    // Those that look at the last two scrapes alone one after the other, while these still tell of queries.
    questions.sort_by_key(|(_, question)| question.contains("irate"));
    let mut looks = Looks { prometheus: &prometheus, again: || clients.go_round(), wrong: Vec::new() };
    for (panel, question) in &questions {
        match panel.is {
            Is::Moving => looks.until(panel.shows, question, |found| {
                are_numbers(found) && found.iter().any(|sample| sample.value > 0.0)
            }),
            Is::There => looks.until(panel.shows, question, are_numbers),
            Is::Absent(why) => match prometheus.ask(question) {
                Ok(found) if found.is_empty() => {}
                found => looks.wrong.push(format!("{} ({why}): {question}\n  {found:?}", panel.shows)),
            },
        }
    }
    let (asked, wrong) = (questions.len(), looks.wrong);
    assert!(wrong.is_empty(), "{} of {asked} questions:\n{}", wrong.len(), wrong.join("\n"));
    for (label, series) in MENUS {
        let values = prometheus.label_values(label, &filled(series, page));
        assert!(!values.is_empty() && !values.contains(&String::new()), "{label} of {series}: {values:?}");
    }
    eventually("the page is taken", || {
        prometheus.targets() == [(JOB.to_owned(), "up".to_owned(), String::new())]
    });
    let said = prometheus.said();
    assert!(!said.contains("scrape"), "it has something against the page:\n{said}");
    assert_eq!(prometheus::check(&get(page, "/metrics").1), "", "promtool has something against the page");
}

#[test]
fn alerts_made_for_coredns_fire_when_they_are_to() {
    let test = "alerts_made_for_coredns_fire_when_they_are_to";
    let (page_of_well, page_of_ill, health) = (next_port(), next_port(), next_port());
    // The one that is well also plays a slow upstream for the other, in a block that nobody counts.
    let well = Server::start(&format!(
        ". {{
            prometheus 127.0.0.1:{page_of_well}
            health 127.0.0.1:{health}
            whoami
        }}
        late.test {{
            erratic {{
                delay 1 1200ms
            }}
        }}"
    ));
    let ill = Server::start(&format!(
        ". {{
            prometheus 127.0.0.1:{page_of_ill}
            errors
            forward . {} {{
                max_fails 1
            }}
        }}
        late.test {{
            prometheus 127.0.0.1:{page_of_ill}
            forward . {}
        }}
        slow.test {{
            prometheus 127.0.0.1:{page_of_ill}
            erratic {{
                delay 1 4500ms
            }}
        }}",
        Upstream::nowhere(),
        well.address()
    ));
    let ask_a = |server: &Server, name: &str| ask(server.address(), &query(name, RecordType::A));
    // Slow answers are not waited for: metrics tell of them.
    let client = Udp::connect(ill.address());
    let slow = ["slow.test.", "late.test."].map(|zone| (zone, Cell::new(0_u32)));
    let ask_slow = |(zone, asked): &(&str, Cell<u32>)| {
        client.send(&message::wire(&query(zone, RecordType::A)));
        asked.set(asked.get() + 1);
    };
    slow.iter().for_each(ask_slow);
    ask_a(&ill, "a.test.");
    ask_a(&well, "a.test.");
    let target = |job, port| Target { job, port, labels: &[] };
    let targets = [target("well", page_of_well), target("ill", page_of_ill)];
    let Some(prometheus) = Prometheus::start(test, &targets) else { return };
    let found =
        |question: &str| prometheus.ask(question).unwrap_or_else(|error| panic!("{question}: {error}"));
    let fires = |alert: &Alert, job: &str| !found(&alert.ask.replace("$job", job)).is_empty();
    for job in ["well", "ill"] {
        let series = format!("coredns_dns_responses_total{{job=\"{job}\"}}");
        eventually(&format!("Prometheus knows {job}"), || !found(&series).is_empty());
    }

    ask_a(&well, "b.test.");
    eventually("its upstream is found to be down", || {
        ask_a(&ill, "b.test.");
        sample(&get(page_of_ill, "/metrics").1, "coredns_forward_healthcheck_broken_total", "") > Some(0.0)
    });
    ill.dir.write("Corefile", ". {\n nonsense\n}\n");
    ill.signal("USR1");
    ill.wait_for_line("[ERROR] Restart failed");
    // Numbers have to grow from one scrape to another: while one answer is under way, the next is asked for, and so on.
    let ask_slow_again = || {
        for zone in &slow {
            let count = "coredns_dns_request_duration_seconds_count";
            let seen = found(&format!("{count}{{job=\"ill\",zone=\"{}\"}}", zone.0));
            let seen = seen.first().map_or(0.0, |sample| sample.value);
            if seen + 1.0 >= f64::from(zone.1.get()) {
                ask_slow(zone);
            }
        }
    };
    for alert in ALERTS.iter().filter(|alert| alert.under == Fault::Ill) {
        eventually(&format!("{} fires", alert.name), || {
            ask_slow_again();
            fires(alert, "ill")
        });
    }
    // A busy machine may make a scrape late; an alert has more patience than that.
    for alert in ALERTS {
        eventually(&format!("{} is silent for who is well", alert.name), || !fires(alert, "well"));
        if alert.under != Fault::Ill {
            eventually(&format!("{} is silent", alert.name), || !fires(alert, "ill"));
        }
    }
    for page in [page_of_well, page_of_ill] {
        assert_eq!(prometheus::check(&get(page, "/metrics").1), "");
    }
    ill.signal("KILL");
    for alert in ALERTS.iter().filter(|alert| alert.under == Fault::Gone) {
        eventually(&format!("{} fires", alert.name), || fires(alert, "ill"));
    }
}

/// Questions of dashboards, asked until they have their answers.
struct Looks<'a, A: Fn()> {
    prometheus: &'a Prometheus,
    /// Done before a question is asked again, so that the last seconds have queries too.
    again: A,
    /// What has no such answer.
    wrong: Vec<String>,
}

impl<A: Fn()> Looks<'_, A> {
    fn until(&mut self, shows: &str, question: &str, is_right: impl Fn(&[Sample]) -> bool) {
        // One that waits in vain is enough.
        let patience = if self.wrong.is_empty() { PATIENCE } else { Duration::ZERO };
        let deadline = Instant::now() + patience;
        loop {
            let found = self.prometheus.ask(question);
            if found.as_ref().is_ok_and(|found| is_right(found)) {
                return;
            }
            if found.is_err() || Instant::now() >= deadline {
                return self.wrong.push(format!("{shows}: {question}\n  {found:?}"));
            }
            (self.again)();
        }
    }
}

fn are_numbers(found: &[Sample]) -> bool {
    !found.is_empty() && found.iter().all(|sample| sample.value.is_finite())
}

/// `question` with what is chosen in the menus.
fn filled(question: &str, page: u16) -> String {
    let instance = format!("127.0.0.1:{page}");
    let choices = [
        ("$instance", instance.as_str()),
        ("$job", JOB),
        ("$cluster", "prod"),
        ("$pod", POD),
        ("$monitor", "dns"),
        ("$__rate_interval", "1m"),
        ("$__interval", "1m"),
    ];
    choices.iter().fold(question.to_owned(), |question, (variable, value)| question.replace(variable, value))
}

/// What a resolver knows of some names.
fn upstream_deed(asked: &Asked) -> Deed {
    let name = asked.query.queries[0].name.to_ascii();
    let says = |rcode| response(&asked.query, rcode, Vec::new());
    match name.split('.').next() {
        Some("nx") => {
            let mut absent = says(ResponseCode::NXDomain);
            absent.add_authority(soa("test.", 60));
            Deed::answer(&absent)
        }
        Some(first) if first.starts_with("fail") => Deed::answer(&says(ResponseCode::ServFail)),
        Some(first) if first.starts_with("refused") => Deed::answer(&says(ResponseCode::Refused)),
        _ => Deed::usual(asked),
    }
}

/// Clients that ask all kinds of things, each round the same but for names that no cache has.
struct Clients {
    server: SocketAddr,
    server_v6: Option<SocketAddr>,
    rounds: Cell<u32>,
}

impl Clients {
    fn of(server: &Server) -> Self {
        let server_v6 = has_ipv6().then(|| server.address_v6());
        Self { server: server.address(), server_v6, rounds: Cell::new(0) }
    }

    fn go_round(&self) {
        let round = self.rounds.replace(self.rounds.get() + 1);
        let expect = |query: &Message, answer: &Message, rcode: ResponseCode| {
            assert_eq!(answer.metadata.response_code, rcode, "{query:?}");
        };
        let a = |name: &str, rcode: ResponseCode| {
            let query = query(name, RecordType::A);
            expect(&query, &ask(self.server, &query), rcode);
        };
        for name in ["a.hosts.test.", "a.zone.test.", "known.test.", "known.test.", "localhost.test."] {
            a(name, ResponseCode::NoError);
        }
        a(&format!("new{round}.test."), ResponseCode::NoError);
        a("nx.test.", ResponseCode::NXDomain);
        a("nx.test.", ResponseCode::NXDomain);
        a(&format!("fail{round}.test."), ResponseCode::ServFail);
        a(&format!("refused{round}.test."), ResponseCode::Refused);
        for qtype in [RecordType::AAAA, RecordType::MX, RecordType::TXT, RecordType::SRV, RecordType::HTTPS] {
            ask(self.server, &query("known.test.", qtype));
        }
        ask(self.server, &query("7.2.0.192.in-addr.arpa.", RecordType::PTR));
        let blocked = query("known.test.", RecordType::CAA);
        expect(&blocked, &ask(self.server, &blocked), ResponseCode::Refused);
        ask(self.server, &query("known.test.", RecordType::DNSKEY));
        let mut signed = edns_query("known.test.", RecordType::A, 1232);
        signed.edns.as_mut().expect("it has one").set_dnssec_ok(true);
        ask(self.server, &signed);
        for name in ["known.test.", "a.zone.test."] {
            ask_tcp(self.server, &query(name, RecordType::A));
        }
        if let Some(server) = self.server_v6 {
            ask(server, &query("known.test.", RecordType::A));
        }
    }
}
