//! The command line: CoreDNS's flags, and commands of our own.

mod args;
mod check;
mod daemon;
mod health;
mod pidfile;
mod run;
mod texts;
mod upgrade;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Command, Invocation, Parsed};

/// Carries out the arguments (without the program's name) and returns the exit code: 0 all well, 1 an error in the configuration or at
/// start, or a server that is not well, 2 an unknown flag.
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what talks to the terminal")]
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match args::parse(arguments) {
        Parsed::Invocation(Invocation { command, flags }) => match command {
            Command::Run => run::run(&flags),
            Command::Check { files, json } => check::check(&flags, &files, json),
            Command::Upgrade(server) => upgrade::upgrade(&server),
            Command::Health(target) => match health::ask(target.as_deref()) {
                Ok(said) => {
                    println!("{said}");
                    ExitCode::SUCCESS
                }
                Err(why) => {
                    eprintln!("{why}");
                    ExitCode::FAILURE
                }
            },
            Command::Plugins => {
                print!("{}", texts::plugins());
                ExitCode::SUCCESS
            }
            Command::Version => {
                println!("{}", texts::version());
                ExitCode::SUCCESS
            }
            Command::Explain(name) => match texts::manual(&name) {
                Ok(manual) => {
                    print!("{manual}");
                    ExitCode::SUCCESS
                }
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::FAILURE
                }
            },
        },
        Parsed::Help => {
            print!("{}", texts::HELP);
            ExitCode::SUCCESS
        }
        Parsed::BadFlag(message) => {
            eprint!("{message}\n{}", texts::HELP);
            ExitCode::from(2)
        }
        Parsed::Extra(words) => {
            eprintln!("extra command line arguments: [{}]\n\n{}", words.join(" "), texts::EXTRA_HINT);
            ExitCode::FAILURE
        }
    }
}
