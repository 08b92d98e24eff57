//! The machine's network interfaces and their addresses.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

/// Interfaces by name, as they are at one moment.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    names: BTreeSet<String>,
    /// Name (of IPv4 addresses the label, which begins with it), index and address.
    addresses: Vec<(String, u32, IpAddr)>,
}

impl Interfaces {
    /// Those the machine has now, in the process's network namespace.
    ///
    /// # Errors
    /// If the kernel does not list them.
    pub(super) fn of_machine() -> io::Result<Self> {
        let listed = if_addrs::get_if_addrs()?.into_iter().map(|interface| {
            let address = interface.ip();
            (interface.name, interface.index.unwrap_or(0), address)
        });
        // An interface without an address is listed nowhere else. Without /proc it is as if it did not exist.
        let table = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
        let names = table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
        Ok(Self::of(names, listed))
    }

    /// Those of these names and addresses.
    pub(super) fn of(
        names: impl IntoIterator<Item = impl Into<String>>,
        addresses: impl IntoIterator<Item = (impl Into<String>, u32, IpAddr)>,
    ) -> Self {
        let addresses: Vec<_> =
            addresses.into_iter().map(|(name, index, ip)| (name.into(), index, ip)).collect();
        let mut names: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        names.extend(addresses.iter().map(|(name, ..)| interface_of(name).to_owned()));
        Self { names, addresses }
    }

    /// The addresses of the interface `name`, with its index where they are link-local; `None` if there is no such interface.
    pub(super) fn addresses(&self, name: &str) -> Option<impl Iterator<Item = (IpAddr, u32)> + '_> {
        let name = self.names.get(name)?;
        let own = self.addresses.iter().filter(move |(label, ..)| interface_of(label) == name);
        Some(own.map(|&(_, index, address)| (address, if is_link_local(address) { index } else { 0 })))
    }

    /// All names.
    pub(super) fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }
}

/// An IPv4 address may have a label `INTERFACE:SUFFIX`, which the C library shows in place of the name; a name itself has no colon.
fn interface_of(label: &str) -> &str {
    label.split_once(':').map_or(label, |(name, _)| name)
}

/// Whether an address means something only together with an interface.
fn is_link_local(address: IpAddr) -> bool {
    const LINK_LOCAL_MULTICAST: u16 = 0xFF02;
    let is_scoped =
        |v6: Ipv6Addr| v6.is_unicast_link_local() || v6.segments()[0] & 0xFF0F == LINK_LOCAL_MULTICAST;
    matches!(address, IpAddr::V6(v6) if is_scoped(v6))
}
