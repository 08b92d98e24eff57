//! What the command line says.

use crate::instance::platform;
use crate::plugins;

/// `waypost --help`.
pub(super) const HELP: &str = "\
waypost answers DNS queries as a configuration file, the Corefile, says.

Usage:
  waypost [run] [flags]         serve (the default command)
  waypost check [FILE…]         look at a configuration without serving it: all its errors and warnings at once
  waypost health [TARGET]       ask a running server whether it lives: exit code 0 if so, 1 if not
  waypost explain PLUGIN        print the manual of a plugin
  waypost plugins               list the plugins, in the order in which they see a query
  waypost upgrade -pid N        have the server N hand over to a new process of its program, without losing a query;
                                or -pidfile FILE, which the server has written
  waypost version               say which version this is

Flags:
  -conf FILE       the configuration; 'stdin' reads standard input, a name ending in .toml is read as TOML
                   (default: the file Corefile in the working directory; without one, answer who asked)
  -p PORT          the port of zones that name none (default 53); also -dns.port
  -pidfile FILE    write the process ID to FILE once serving, remove it at the end
  -quiet           do not print the zones and the version at start
  -json            with check: the findings as JSON
  -plugins         as the command plugins, in CoreDNS's form
  -version         as the command version
  -help            this text

Targets of the command health, which gives up after 3 seconds:
  http://HOST:PORT/PATH, HOST:PORT, :PORT   the page of the plugin health or ready; it has to answer 200
                                            (default: http://localhost:8080/health; without a path, /health)
  dns://HOST:PORT/NAME, dns://:PORT         DNS over UDP, where there is no such page: any response will do,
                                            for a NAME (type A) it has to be NOERROR
  dns://                                    the same, wherever a server of this user listens

A first Corefile, which answers from /etc/hosts and asks the system's resolvers for everything else:

  .:53 {
      hosts {
          fallthrough
      }
      forward . /etc/resolv.conf
      cache 30
      log
      errors
  }

Ask it with: dig @127.0.0.1 example.org

Signals: SIGUSR1 reads the configuration again, SIGUSR2 hands over to a new process as upgrade does, SIGTERM and SIGINT
end the server.
";

pub(super) const EXTRA_HINT: &str = "waypost -help lists commands and flags.";

/// `-plugins`: the names in order of the alphabet with `on` at the end, then an empty line, as CoreDNS prints them.
pub(super) fn plugins() -> String {
    let mut names: Vec<&str> = plugins::ORDER.iter().map(|spec| spec.name).collect();
    names.sort_unstable_by_key(|name| (*name == "on", *name));
    format!("{}\n\n", names.join("\n"))
}

/// `-version`: name, version, platform.
pub(super) fn version() -> String {
    format!("waypost-{}\n{}", env!("CARGO_PKG_VERSION"), platform())
}

/// `explain PLUGIN`.
pub(super) fn manual(name: &str) -> Result<&'static str, String> {
    plugins::find(name).map(|spec| spec.manual).ok_or_else(|| {
        let names: Vec<&str> = plugins::ORDER.iter().map(|spec| spec.name).collect();
        if plugins::COREDNS_ORDER.contains(&name) {
            format!("waypost does not have the plugin '{name}' yet; it has {}", names.join(", "))
        } else {
            format!("there is no plugin '{name}'; there are {}", names.join(", "))
        }
    })
}
