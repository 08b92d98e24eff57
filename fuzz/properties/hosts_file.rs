//! What holds of any bytes that may be a hosts file.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use waypost::chain::{
    Block, BlockBuilder, BlockSetup, Plugin, Query, Response, Router, Setup, State, driver,
};
use waypost::config::{self, Input};
use waypost::plugins;
use waypost::wire::{Class, Flags, Name, Rcode, Rtype, header, record};

/// Every name and address of it can be asked for, and the answer is a whole message.
pub(super) fn hold(bytes: &[u8]) {
    let path = path();
    fs::write(path, bytes).expect("room for a file");
    let hosts = build(path);
    let text = String::from_utf8_lossy(bytes);
    for word in text.split_whitespace().take(64) {
        if let Ok(name) = Name::from_text(word) {
            ask(&hosts, &name, Rtype::A);
            ask(&hosts, &name, Rtype::AAAA);
            ask(&hosts, &name, Rtype::TXT);
        }
        if let Ok(IpAddr::V4(v4)) = word.parse() {
            let [a, b, c, d] = v4.octets();
            let reverse = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
            ask(&hosts, &Name::from_text(&reverse).expect("a name"), Rtype::PTR);
        }
    }
}

/// A file of this process, in memory where there is such a file system.
fn path() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
        folder.join(format!("waypost-hosts-{}", std::process::id()))
    })
}

/// A block with `hosts PATH` alone, started.
fn build(path: &std::path::Path) -> (Arc<Router>, Arc<Block>) {
    let text = format!(".\nhosts {}\n", path.display());
    let input = Input {
        name: "Corefile",
        text: text.as_bytes(),
        loader: &config::Filesystem,
        environment: &config::process_environment,
        vocabulary: None,
    };
    let config = config::parse_corefile(&input).expect("a Corefile");
    let directives: Vec<_> = config.blocks[0].named("hosts").collect();
    let addresses = config::addresses(&config.blocks[0], 53).expect("a zone");
    let mut block = BlockSetup::default();
    let spec = plugins::find("hosts").expect("the plugin");
    let mut setup =
        Setup { directives: &directives, zones: &[Name::root()], addresses: &addresses, block: &mut block };
    let built: Vec<Arc<dyn Plugin>> = (spec.build)(&mut setup).expect("a good configuration");
    block.on_start.drain(..).for_each(|hook| hook().expect("a start"));
    let mut builder = BlockBuilder::default();
    built.into_iter().for_each(|plugin| builder.push("hosts", plugin));
    let block = Arc::new(builder.build());
    let mut router = Router::new("dns://:53");
    router.add(&Name::root(), &block, "", None);
    (Arc::new(router), block)
}

fn ask((router, block): &(Arc<Router>, Arc<Block>), name: &Name, qtype: Rtype) {
    let mut wire = vec![0; header::HEADER_LEN];
    header::set_count(&mut wire, 0, 1);
    wire.extend_from_slice(name.as_bytes());
    wire.extend_from_slice(&qtype.0.to_be_bytes());
    wire.extend_from_slice(&Class::IN.0.to_be_bytes());
    let mut query = Query::default();
    query.take_up(&wire).expect("a query");
    let mut response = Response::default();
    assert!(driver::run(router, block, 0, &mut query, &mut response).is_none(), "hosts waits for nobody");
    match response.state() {
        State::Written => {
            assert!(response.flags().has(Flags::QR | Flags::AA));
            for record in record::records(response.wire()) {
                let record = record.expect("a whole record");
                let owner = record.owner(response.wire()).expect("a name");
                assert_eq!((owner, record.rtype), (name.clone(), qtype));
                let rdata = record.rdata(response.wire());
                match qtype {
                    Rtype::A => assert_eq!(rdata.len(), 4),
                    Rtype::AAAA => assert_eq!(rdata.len(), 16),
                    _ => assert!(Name::parse_plain(rdata, 0).is_ok_and(|(_, end)| end == rdata.len())),
                }
            }
        }
        state => assert_eq!(state, State::Failed(Rcode::SERVFAIL)),
    }
}
