use super::*;
use crate::chain::{ListenerWishes, testing};

fn wishes(text: &str) -> ListenerWishes {
    let (built, setup) = testing::build(&SPEC, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert!(built.is_empty());
    setup.listeners
}

#[test]
fn each_option_sets_its_limit() {
    let value = |said: &Option<Said<Duration>>| said.as_ref().map(|said| said.value.as_secs());
    let check = |options: &str, want: [Option<u64>; 3]| {
        let wishes = wishes(&format!("timeouts {{\n{options}\n}}"));
        let got = [&wishes.read_timeout, &wishes.write_timeout, &wishes.idle_timeout].map(value);
        assert_eq!(got, want, "{options}");
    };
    check("read 1s", [Some(1), None, None]);
    check("write 24h\nidle 20", [None, Some(86_400), Some(20)]);
    check("read 1m30s\nread +7", [Some(7), None, None]);
    check("maxtcpqueries 5", [None; 3]);
    let queries = |text: &str| wishes(text).queries_max.map(|said| said.value);
    assert_eq!(queries("timeouts {\nmaxtcpqueries 5\n}"), Some(Some(5)));
    assert_eq!(queries("timeouts {\nmaxtcpqueries -1\n}"), Some(None));
    assert_eq!(queries("timeouts {\nmaxtcpqueries 99999999999\n}"), Some(Some(u32::MAX)));
    assert_eq!(queries("timeouts {\nread 5s\n}"), None);
    let both = wishes("timeouts {\nread 5s\n}\ntimeouts {\nidle 6s\n}");
    assert_eq!((value(&both.read_timeout), value(&both.idle_timeout)), (Some(5), Some(6)));
}

#[test]
fn errors_are_those_of_coredns() {
    let check = |text: &str, line: u32, message: &str| {
        let want = format!("plugin/timeouts: Corefile:{line} - Error during parsing: {message}");
        assert_eq!(testing::build(&SPEC, text).err(), Some(want), "{text}");
    };
    let twice = |text: &str, line: u32, message: &str| {
        let want =
            format!("plugin/timeouts: plugin/timeouts: Corefile:{line} - Error during parsing: {message}");
        assert_eq!(testing::build(&SPEC, text).err(), Some(want), "{text}");
    };
    twice("timeouts", 1, "timeouts block with no timeouts specified");
    twice("timeouts {\n}", 2, "timeouts block with no timeouts specified");
    twice("timeouts a {\nread 5s\n}", 1, "Wrong argument count or unexpected line ending after 'a'");
    let check_option = |option: &str, message: &str| check(&format!("timeouts {{\n{option}\n}}"), 2, message);
    check_option("read", "Wrong argument count or unexpected line ending after 'read'");
    check_option("read 1s 2s", "Wrong argument count or unexpected line ending after '2s'");
    check_option("read x", "failed to parse duration 'x'");
    check_option("foo x", "failed to parse duration 'x'");
    check_option("foo 5s", "unknown option: 'foo'");
    check_option("read 0s", "timeout provided '0s' needs to be between 1 second and 24 hours");
    check_option("idle -5", "timeout provided '-5s' needs to be between 1 second and 24 hours");
    check_option("write 25h", "timeout provided '25h0m0s' needs to be between 1 second and 24 hours");
    check_option("read 5s {\nx\n}", "Unexpected token '{', expecting argument");
    let atoi = "strconv.Atoi: parsing \"x\": invalid syntax";
    check_option("maxtcpqueries x", &format!("invalid value for maxtcpqueries 'x': {atoi}"));
    for number in ["0", "-2"] {
        let message = "needs to be -1 (unlimited) or a positive integer";
        check_option(
            &format!("maxtcpqueries {number}"),
            &format!("maxtcpqueries provided '{number}' {message}"),
        );
    }
}
