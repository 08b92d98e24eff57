//! Runs the whole soak, or one trial after the other, and prints what was held, what was done to the server, what was
//! lost, and what it weighed.

mod odd;
mod slow_tcp;
mod trial;
mod trials;
mod whole;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use waypost_load::args::Args;
use waypost_load::bench::{Bench, Scratch};
use waypost_load::server::Kind;
use waypost_load::{machine, netns, process};

use crate::trial::{Figures, Soak};
use crate::whole::{Settings, harms};

const USAGE: &str = "\
usage: soak [options]                as root; the whole run: all harm side by side
       soak TRIAL… [options]         or these trials, or `all`, one after the other, each with one kind of harm

--list               name the harms and the trials, and end
--minutes N          how long the whole run loads the server (2)
--seconds N          the same in seconds, 30 at least; of a trial (60)
--rate N             queries a second of the whole run's load (20000)
--seed N             what the whole run's harm is drawn from (by chance; printed)
--only A,B,…         do these harms only
--without A,B,…      do all but these
--server NAME        waypost or coredns (waypost)
--server-cores A,B   the server's cores (0,1; a trial's is the first)
--load-core N        the core of the load and of upstreams (1)
--out FILE           write the tables there too

environment: WAYPOST, COREDNS name the programs. Exit code 1 when something that must hold did not.";

/// Set for the process that is in namespaces of its own: the directory for its files.
const INSIDE: &str = "WAYPOST_SOAK_INSIDE";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, String> {
    let mut args = Args::of_process();
    if args.switch("--help") || args.switch("-h") {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    if args.switch("--list") {
        harms::all().iter().for_each(|harm| println!("{:20} {}: {}", harm.name, harm.lane, harm.counted));
        println!();
        trials::ALL.iter().for_each(|trial| println!("{:20} {}", trial.name, trial.title));
        return Ok(ExitCode::SUCCESS);
    }
    let minutes: Option<u64> = args.value("--minutes")?;
    let seconds: Option<u64> = args.value("--seconds")?;
    let rate: u64 = args.value("--rate")?.unwrap_or(20_000);
    let seed: Option<u64> = args.value("--seed")?;
    let list = |text: Option<String>| -> Vec<String> {
        text.iter().flat_map(|text| text.split(',')).map(String::from).collect()
    };
    let (only, without) = (list(args.value("--only")?), list(args.value("--without")?));
    let kind = match args.value::<String>("--server")?.as_deref() {
        None | Some("waypost") => Kind::Waypost,
        Some("coredns") => Kind::CoreDns,
        Some(other) => return Err(format!("--server {other}: waypost or coredns")),
    };
    let cores = args.value::<String>("--server-cores")?.unwrap_or("0,1".into());
    let cores = cores.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>();
    let server_cores = cores.map_err(|error| format!("--server-cores: {error}"))?;
    let load_core = args.value("--load-core")?.unwrap_or(1);
    let out: Option<PathBuf> = args.value("--out")?;
    let names = args.rest()?;
    if !names.is_empty() {
        let seconds = minutes.map(|minutes| minutes * 60).or(seconds).unwrap_or(60);
        return run_trials(kind, server_cores[0], load_core, seconds, &names, out);
    }
    let Some(dir) = std::env::var_os(INSIDE) else {
        let dir = std::env::temp_dir().join(format!("waypost-soak-{}", std::process::id()));
        let _scratch = Scratch::make(&dir)?;
        let status = netns::run_inside(INSIDE, &dir)?;
        return Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2)));
    };
    let whole = Duration::from_secs(minutes.map(|minutes| minutes * 60).or(seconds).unwrap_or(120));
    if whole < whole::SHORTEST {
        return Err(format!("the whole run takes {} s at least", whole::SHORTEST.as_secs()));
    }
    let by_chance = || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::from(now.subsec_nanos())
    };
    let seed = seed.unwrap_or_else(by_chance);
    let head = format!(
        "{}- {}: {}\n- {} s, seed {seed}\n\n",
        machine::describe(),
        kind.name(),
        kind.version(),
        whole.as_secs()
    );
    eprint!("{head}");
    let settings =
        Settings { kind, whole, rate, seed, dir: dir.into(), server_cores, load_core, only, without };
    let (text, is_good) = whole::run(&settings)?;
    write_out(out.as_ref(), &format!("{head}{text}"))?;
    println!("{head}{text}");
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_trials(
    kind: Kind,
    server_core: usize,
    load_core: usize,
    seconds: u64,
    names: &[String],
    out: Option<PathBuf>,
) -> Result<ExitCode, String> {
    let bench = Bench {
        server_core,
        load_core,
        seconds,
        long_seconds: seconds,
        dir: std::env::temp_dir().join(format!("waypost-soak-{}", std::process::id())),
    };
    let is_all = names == ["all"];
    if let Some(unknown) =
        names.iter().find(|name| !is_all && trials::ALL.iter().all(|known| known.name != **name))
    {
        return Err(format!("there is no trial {unknown:?} (see --list)"));
    }
    let mut text =
        format!("{}- {}: {}\n- {seconds} s a trial\n\n", machine::describe(), kind.name(), kind.version());
    netns::enter_fresh()?;
    process::pin_this_thread(bench.load_core)
        .map_err(|error| format!("core {}: {error}", bench.load_core))?;
    let _scratch = Scratch::make(&bench.dir)?;
    let soak = Soak { bench, kind, duration: Duration::from_secs(seconds) };
    text += Figures::HEAD;
    let mut is_good = true;
    for trial in trials::ALL.iter().filter(|known| is_all || names.iter().any(|n| n == known.name)) {
        let figures = (trial.run)(&soak);
        let row = match &figures {
            Ok(figures) => figures.row(trial.name),
            Err(error) => format!("| {} | failed: {error} |\n", trial.name),
        };
        is_good &= figures.is_ok_and(|figures| figures.good());
        eprint!("{row}");
        text += &row;
        write_out(out.as_ref(), &text)?;
    }
    println!("{text}");
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write_out(out: Option<&PathBuf>, text: &str) -> Result<(), String> {
    let Some(out) = out else { return Ok(()) };
    fs::write(out, text).map_err(|error| format!("{}: {error}", out.display()))
}
