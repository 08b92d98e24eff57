//! Runs the trials, or those named, each for a given time, and prints what was held, what was done to the server,
//! what was lost, and what it weighed.

mod odd;
mod slow_tcp;
mod trial;
mod trials;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use waypost_load::args::Args;
use waypost_load::bench::{Bench, Scratch};
use waypost_load::server::Kind;
use waypost_load::{machine, netns, process};

use crate::trial::{Figures, Soak};

const USAGE: &str = "\
usage: soak [TRIAL…] [options]    as root; without a trial, all of them

--list               name the trials and end
--seconds N          how long each trial loads the server (60)
--server NAME        waypost or coredns (waypost)
--server-core N      the server's core (0)
--load-core N        the core of the load and of upstreams (1)
--out FILE           write the table there too

environment: WAYPOST, COREDNS name the programs. Exit code 1 when a watched query was lost or answered wrongly.";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let mut args = Args::of_process();
    if args.switch("--help") || args.switch("-h") {
        println!("{USAGE}");
        return Ok(true);
    }
    if args.switch("--list") {
        trials::ALL.iter().for_each(|trial| println!("{:16} {}", trial.name, trial.title));
        return Ok(true);
    }
    let seconds: u64 = args.value("--seconds")?.unwrap_or(60);
    let kind = match args.value::<String>("--server")?.as_deref() {
        None | Some("waypost") => Kind::Waypost,
        Some("coredns") => Kind::CoreDns,
        Some(other) => return Err(format!("--server {other}: waypost or coredns")),
    };
    let out: Option<PathBuf> = args.value("--out")?;
    let bench = Bench {
        server_core: args.value("--server-core")?.unwrap_or(0),
        load_core: args.value("--load-core")?.unwrap_or(1),
        seconds,
        long_seconds: seconds,
        dir: std::env::temp_dir().join(format!("waypost-soak-{}", std::process::id())),
    };
    let names = args.rest()?;
    if let Some(unknown) = names.iter().find(|name| trials::ALL.iter().all(|known| known.name != **name)) {
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
    let mut good = true;
    for trial in trials::ALL.iter().filter(|known| names.is_empty() || names.iter().any(|n| n == known.name))
    {
        let figures = (trial.run)(&soak);
        let row = match &figures {
            Ok(figures) => figures.row(trial.name),
            Err(error) => format!("| {} | failed: {error} |\n", trial.name),
        };
        good &= figures.is_ok_and(|figures| figures.good());
        eprint!("{row}");
        text += &row;
        if let Some(out) = &out {
            fs::write(out, &text).map_err(|error| format!("{}: {error}", out.display()))?;
        }
    }
    println!("{text}");
    Ok(good)
}
