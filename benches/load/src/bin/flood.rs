//! The load generator on the command line: prints one line of JSON.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use waypost_load::args::Args;
use waypost_load::flood::{self, Expect, Pace, Plan, Stream};
use waypost_load::message::TYPE_A;
use waypost_load::names::Names;
use waypost_load::report;

const USAGE: &str = "\
usage: flood --target ADDRESS:PORT NAMES PACE [options]

NAMES  --file FILE               lines of NAME [A|AAAA], asked in order, again and again
       --pattern P --names N     numbered names, {} in P stands for the number
       --unique SUFFIX           random names under SUFFIX, none twice  [--seed N]
PACE   --window N                so many unanswered queries a socket, as fast as they are answered
       --rate N                  so many queries a second, answered or not

--sockets N       client sockets (8)
--seconds N       how long (5)
--max N           how many queries at most (100000000)
--timeout-ms N    when a query counts as lost (2000)
--any             count any response as good, not only NOERROR with an answer
--no-gso          send by sendmmsg
--spin            poll without sleeping: only on a core of its own
--stamped         latency to the answer's arrival by the kernel's stamp, not to our reading it
--beside FILE     names asked beside, as a stream of its own, over 8 sockets  [--beside-rate N (1000)]";

fn main() -> ExitCode {
    match run() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("flood: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, String> {
    let mut args = Args::of_process();
    let target: SocketAddr = args.value("--target")?.ok_or(USAGE)?;
    let names = names(&mut args)?;
    let pace = match (args.value("--window")?, args.value("--rate")?) {
        (Some(window), None) => Pace::Window(window),
        (None, Some(rate)) => Pace::Rate(rate),
        _ => return Err("one of --window and --rate is needed".into()),
    };
    let expect = if args.switch("--any") { Expect::Any } else { Expect::Answer };
    let sockets = args.value("--sockets")?.unwrap_or(8);
    let mut streams = vec![Stream {
        label: "flood".into(),
        names,
        sockets,
        pace,
        expect,
        stamped: args.switch("--stamped"),
    }];
    let beside_rate = args.value("--beside-rate")?.unwrap_or(1000);
    if let Some(file) = args.value::<PathBuf>("--beside")? {
        streams.push(Stream {
            label: "beside".into(),
            names: Names::from_file(&file)?,
            sockets: 8,
            pace: Pace::Rate(beside_rate),
            expect: Expect::Answer,
            stamped: true,
        });
    }
    let seconds = args.value("--seconds")?.unwrap_or(5.0);
    let plan = Plan {
        target,
        streams,
        duration: Duration::try_from_secs_f64(seconds).map_err(|error| format!("--seconds: {error}"))?,
        queries_max: args.value("--max")?.unwrap_or(100_000_000),
        timeout: Duration::from_millis(args.value("--timeout-ms")?.unwrap_or(2000)),
        gso: !args.switch("--no-gso"),
        spin: args.switch("--spin"),
    };
    args.end()?;
    flood::run(plan).map(|outcomes| report::json(&outcomes)).map_err(|error| error.to_string())
}

fn names(args: &mut Args) -> Result<Names, String> {
    let file = args.value::<PathBuf>("--file")?;
    let pattern = args.value::<String>("--pattern")?;
    let count = args.value("--names")?.unwrap_or(10_000);
    let suffix = args.value::<String>("--unique")?;
    let seed = args.value("--seed")?.unwrap_or(0);
    match (file, pattern, suffix) {
        (Some(file), None, None) => Names::from_file(&file),
        (None, Some(pattern), None) => Names::from_pattern(&pattern, count, TYPE_A),
        (None, None, Some(suffix)) => Names::unique(&suffix, seed),
        _ => Err("one of --file, --pattern and --unique is needed".into()),
    }
}
