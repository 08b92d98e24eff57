//! What holds of any bytes that may be a Corefile, and of the files that it imports.

use std::io;

use waypost::config::{self, Input, Loader, Vocabulary};

/// Files are kept apart by NUL bytes: the first is the Corefile, the others are `a`, `b`, `c` … in the same directory.
pub(super) fn hold(bytes: &[u8]) {
    read(bytes, "Corefile", config::parse_corefile);
}

/// Reads the first file of `bytes` as `name` with `parse`.
pub(super) fn read(
    bytes: &[u8],
    name: &str,
    parse: impl Fn(&Input<'_>) -> Result<config::Config, config::Refused>,
) {
    let mut files = bytes.split(|byte| *byte == 0);
    let text = files.next().unwrap_or_default();
    let others = Files(files.take(26).collect());
    let input = Input {
        name,
        text,
        loader: &others,
        environment: &environment,
        vocabulary: Some(Vocabulary { known: &["hosts", "forward", "log", "whoami"], missing: &["sign"] }),
    };
    match parse(&input) {
        Ok(config) => {
            assert!(!config.blocks.is_empty(), "no blocks mean the default");
            for block in &config.blocks {
                assert!(!block.keys.is_empty());
                match config::addresses(block, 53) {
                    Ok(addresses) => assert!(addresses.iter().all(|a| a.zone.ends_with('.'))),
                    Err(errors) => errors.iter().for_each(|e| drop(e.render(&config.sources).to_string())),
                }
            }
            config.warnings.iter().for_each(|warning| drop(warning.render(&config.sources).to_string()));
            assert_eq!(config.fingerprint_hex().len(), 128);
        }
        Err(refused) => {
            assert!(!refused.errors.is_empty(), "a refusal has its reasons");
            for finding in refused.errors.iter().chain(&refused.warnings) {
                assert!(!finding.render(&refused.sources).to_string().is_empty());
                finding.to_json(&refused.sources);
            }
        }
    }
}

/// Short names are set, to values with something to replace and odd characters. One contains itself, and but one: to find that out takes as long
/// as reading a thousand words.
fn environment(name: &str) -> Option<String> {
    match name {
        "L" => Some("x{$L}".to_owned()),
        name => (name.len() < 3).then(|| "x{$NIX}\"#z".to_owned()),
    }
}

/// Files in memory.
struct Files<'a>(Vec<&'a [u8]>);

impl Files<'_> {
    fn find(&self, path: &str) -> Option<&[u8]> {
        let letter = path.strip_prefix("/etc/").filter(|name| name.len() == 1)?.as_bytes()[0];
        self.0.get(usize::from(letter.checked_sub(b'a')?)).copied()
    }
}

impl Loader for Files<'_> {
    fn absolute(&self, path: &str) -> io::Result<String> {
        Ok(if path.starts_with('/') { path.to_owned() } else { format!("/etc/{path}") })
    }

    fn exists(&self, path: &str) -> bool {
        path == "/etc" || self.find(path).is_some()
    }

    fn list(&self, directory: &str) -> Vec<String> {
        let names = (b'a'..).take(self.0.len()).map(|letter| char::from(letter).to_string());
        if directory == "/etc" { names.collect() } else { Vec::new() }
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.find(path).map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
