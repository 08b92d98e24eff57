//! `waypost check`: everything but the sockets.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::args::Flags;
use super::run::source;
use crate::config::{self, Diagnostic, JsonDiagnostic, SourceMap};
use crate::instance::{LoadError, Source, plan};
use crate::log;

/// What was found in one file, for `-json`.
#[derive(Serialize)]
struct Report {
    file: String,
    ok: bool,
    findings: Vec<JsonDiagnostic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

/// Checks `files`, or the configuration that would be served; exit code 1 if one of them cannot be.
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what talks to the terminal")]
pub(super) fn check(flags: &Flags, files: &[PathBuf], json: bool) -> ExitCode {
    // Readers of JSON get nothing else on standard output.
    if !json {
        log::start();
    }
    let sources: Vec<_> = if files.is_empty() {
        vec![source(flags.conf.as_deref())]
    } else {
        files.iter().map(|file| Source::from_path(file.clone())).collect()
    };
    let mut all_good = true;
    let mut reports = Vec::new();
    for source in sources {
        let name = match &source {
            Ok(source) => source.name().unwrap_or("the configuration".into()).into_owned(),
            Err(LoadError::Unreadable(path, _)) => path.display().to_string(),
            Err(LoadError::Refused(_)) => "the configuration".to_owned(),
        };
        let planned = source.and_then(|source| plan(&source, flags.dns_port.unwrap_or(config::DNS_PORT)));
        let (ok, findings, texts, unreadable) = match planned {
            Ok(plan) => (true, plan.warnings, plan.sources, None),
            Err(LoadError::Refused(refused)) => {
                let mut findings: Vec<Diagnostic> =
                    refused.errors.into_iter().chain(refused.warnings).collect();
                config::sort_by_place(&mut findings);
                (false, findings, refused.sources, None)
            }
            Err(unreadable) => (false, Vec::new(), SourceMap::default(), Some(unreadable.to_string())),
        };
        all_good &= ok;
        if json {
            let findings = findings.iter().map(|finding: &Diagnostic| finding.to_json(&texts)).collect();
            reports.push(Report { file: name, ok, findings, unreadable });
            continue;
        }
        if let Some(what) = unreadable {
            eprintln!("{what}");
        }
        for finding in &findings {
            eprintln!("{}\n", finding.render(&texts));
        }
        let errors = findings.iter().filter(|f| f.is_error()).count();
        let warnings = findings.len() - errors;
        if ok {
            println!("{name}: good{}", counted(warnings, ", with ", "warning"));
        } else {
            println!(
                "{name}: not usable{}{}",
                counted(errors, ": ", "error"),
                counted(warnings, ", ", "warning")
            );
        }
    }
    if json {
        match serde_json::to_string_pretty(&reports) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("{error}"),
        }
    }
    if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn counted(n: usize, before: &str, what: &str) -> String {
    match n {
        0 => String::new(),
        1 => format!("{before}1 {what}"),
        n => format!("{before}{n} {what}s"),
    }
}
