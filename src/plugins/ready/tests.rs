use super::*;
use crate::chain::{BlockSetup, Places, testing};
use crate::control::http::Request;
use crate::wire::Name;

/// Ready when told.
struct Switch(&'static str, AtomicBool);

impl Ready for Switch {
    fn name(&self) -> &'static str {
        self.0
    }
    fn is_ready(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }
}

fn switch(name: &'static str) -> Arc<Switch> {
    Arc::new(Switch(name, AtomicBool::new(false)))
}

/// A block of `text` whose plugins are `switches`, beside others that share with `like`.
fn block(text: &str, switches: &[&Arc<Switch>], like: Option<&BlockSetup>) -> BlockSetup {
    let mut setup = BlockSetup::default();
    if let Some(like) = like {
        setup.shared = Arc::clone(&like.shared);
    }
    let (built, mut setup) = testing::build_in(&SPEC, &[Name::root()], setup, text).unwrap();
    assert!(built.is_empty());
    for switch in switches {
        setup.capabilities.offer::<Arc<dyn Ready>>(Arc::clone(switch) as _);
    }
    let hooks = std::mem::take(&mut setup.when_placed);
    let places = Places { labels: &[], plugins: &[], capabilities: &setup.capabilities };
    hooks.into_iter().for_each(|hook| hook(&places));
    setup
}

fn ask(setup: &BlockSetup) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let request = Request { path: PATH.to_owned(), query: String::new() };
    let reply = runtime.block_on((setup.pages[0].handler)(request));
    (reply.status, String::from_utf8(reply.body).unwrap())
}

fn set(switch: &Switch, ready: bool) {
    switch.1.store(ready, Ordering::Relaxed);
}

#[test]
fn without_plugins_to_wait_for_all_is_ready() {
    let setup = block("ready", &[], None);
    assert_eq!(ask(&setup), (200, "OK".to_owned()));
    assert!(setup.pages[0].ends_at_once);
}

#[test]
fn the_plugins_of_all_blocks_are_waited_for_once() {
    let (erratic, kubernetes, again) = (switch("erratic"), switch("kubernetes"), switch("kubernetes"));
    let one = block("ready", &[&kubernetes, &erratic], None);
    let other = block("ready :1", &[&again], Some(&one));
    assert_eq!(ask(&one), (503, "erratic,kubernetes".to_owned()));
    set(&erratic, true);
    set(&kubernetes, true);
    assert_eq!(ask(&other), (503, "kubernetes".to_owned()), "of two of a name both count");
    set(&again, true);
    assert_eq!(ask(&one), (200, "OK".to_owned()));
    set(&again, false);
    assert_eq!(ask(&one).0, 200, "once ready is ready");
}

#[test]
fn monitored_continuously_a_plugin_may_become_unready() {
    let erratic = switch("erratic");
    let setup = block("ready {\n monitor continuously\n}", &[&erratic], None);
    for ready in [false, true, false, true] {
        set(&erratic, ready);
        assert_eq!(ask(&setup).0, if ready { 200 } else { 503 });
    }
}

#[test]
fn directives_are_read() {
    let check = |text: &str, want: (&str, u16, Monitor)| {
        let (directives, _) = testing::directives(text);
        let want = (PageAddress::new(want.0, want.1), want.2);
        assert_eq!(read(&directives[0]).unwrap(), want, "{text}");
    };
    check("ready", ("", 8181, Monitor::UntilReady));
    check("ready localhost:8091", ("localhost", 8091, Monitor::UntilReady));
    check("ready [::1]:1 {\n monitor continuously\n}", ("::1", 1, Monitor::Continuously));
    check("ready {\n monitor continuously\n monitor until-ready\n}", ("", 8181, Monitor::UntilReady));
}

#[test]
fn errors_are_those_of_coredns() {
    let check = |text: &str, want: &str| {
        let got = testing::build(&SPEC, text).err();
        assert_eq!(got, Some(format!("plugin/ready: {want}")), "{text}");
    };
    let count = |line: u32, word: &str| {
        format!(
            "Corefile:{line} - Error during parsing: Wrong argument count or unexpected line ending after '{word}'"
        )
    };
    check("ready bla", "address bla: missing port in address");
    check("ready ::1:80", "address ::1:80: too many colons in address");
    check("ready bla bla", &count(1, "bla"));
    check("ready {\n monitor\n}", &count(2, "monitor"));
    check("ready {\n monitor a b\n}", &count(2, "b"));
    check("ready {\n monitor 404\n}", "Corefile:2 - Error during parsing: monitor type '404' not supported");
    check("ready {\n monitro x\n}", "Corefile:2 - Error during parsing: unknown property 'monitro'");
    check("ready\nready", "this plugin can only be used once per Server Block");
}
