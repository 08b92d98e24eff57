//! Runs the load bench: all scenarios, or those named, and prints their tables as Markdown.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use waypost_load::args::Args;
use waypost_load::bench::{Bench, Scratch};
use waypost_load::server::Kind;
use waypost_load::{machine, netns, process, scenario, table};

const USAGE: &str = "\
usage: run [SCENARIO…] [options]       as root; without a scenario, all of them

--list               name the scenarios and end
--rounds N           rounds, each with every server in turn (5)
--seconds N          one measurement (5)
--long-seconds N     one measurement of a flood (20)
--only A,B,…         only these servers
--server-core N      the server's core (0)
--load-core N        the core of the load and of upstreams (1)
--out FILE           write the tables there too

environment: WAYPOST, COREDNS name the programs (target/release/waypost; without COREDNS it is left out)";

const KINDS: [Kind; 7] =
    [Kind::Bare, Kind::Waypost, Kind::Dnsmasq, Kind::Unbound, Kind::Dnsdist, Kind::Recursor, Kind::CoreDns];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("run: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut args = Args::of_process();
    if args.switch("--help") || args.switch("-h") {
        println!("{USAGE}");
        return Ok(());
    }
    if args.switch("--list") {
        scenario::all().for_each(|scenario| println!("{:16} {}", scenario.name, scenario.title));
        return Ok(());
    }
    let rounds: usize = args.value("--rounds")?.unwrap_or(5);
    let only: Option<String> = args.value("--only")?;
    let out: Option<PathBuf> = args.value("--out")?;
    let bench = Bench {
        server_core: args.value("--server-core")?.unwrap_or(0),
        load_core: args.value("--load-core")?.unwrap_or(1),
        seconds: args.value("--seconds")?.unwrap_or(5),
        long_seconds: args.value("--long-seconds")?.unwrap_or(20),
        dir: std::env::temp_dir().join(format!("waypost-load-{}", std::process::id())),
    };
    let names = args.rest()?;
    if let Some(unknown) = names.iter().find(|name| scenario::all().all(|known| known.name != **name)) {
        return Err(format!("there is no scenario {unknown:?} (see --list)"));
    }
    let wanted =
        |kind: Kind| only.as_deref().is_none_or(|only| only.split(',').any(|name| name == kind.name()));

    let mut text = machine::describe();
    for kind in KINDS.into_iter().filter(|&kind| wanted(kind)) {
        text += &format!("- {}: {}\n", kind.name(), kind.version());
    }
    text +=
        &format!("- {rounds} rounds; {} s a measurement, {} s a flood\n", bench.seconds, bench.long_seconds);
    netns::enter_fresh()?;
    process::pin_this_thread(bench.load_core)
        .map_err(|error| format!("core {}: {error}", bench.load_core))?;
    let _scratch = Scratch::make(&bench.dir)?;
    for scenario in scenario::all().filter(|known| names.is_empty() || names.iter().any(|n| n == known.name))
    {
        let (rows, notes) = scenario.run(&bench, rounds, wanted);
        text += &format!("\n### {}\n\n{}\n\n", scenario.name, scenario.title);
        text += &table::markdown(scenario.columns, &rows);
        for note in notes {
            text += &format!("\n{note}\n");
        }
        if let Some(out) = &out {
            fs::write(out, &text).map_err(|error| format!("{}: {error}", out.display()))?;
        }
    }
    println!("{text}");
    Ok(())
}
