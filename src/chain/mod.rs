//! The plugin chain: what a plugin is, what it sees, and the loop that asks one after the other.
//!
//! ```text
//!            going down: on_query                         going up: on_response
//!  router → block → errors → log → cache → hosts → forward
//!                     ▲        ▲      ▲                 │  answers, or "later"
//!                     └────────┴──────┴─────────────────┘
//! ```
//!
//! - [`Plugin`] the two hooks and what each may do; [`Step`] what a plugin says on the way down,
//! - [`Query`] the question and where it came from, [`Response`] the answer in wire form,
//! - [`driver`] the one place that knows the order, [`Router`] which block a name belongs to,
//! - [`PluginSpec`] a plugin as one value, [`Setup`] what it may ask for while it is built.
//!
//! Invariant: nothing here knows a plugin by name, and no plugin knows another: what one needs of another is a [`capability`].

mod block;
pub mod capability;
pub mod clock;
pub mod driver;
mod extensions;
mod intern;
mod listening;
mod metadata;
mod pages;
mod per_listener;
mod plugin;
mod query;
mod recent;
mod report;
mod response;
mod router;
mod setup;
mod shared;
mod spec;
#[cfg(test)]
pub mod testing;
pub mod zones;

pub use block::{Block, BlockBuilder};
pub use clock::Mono;
pub use driver::{Below, Top};
pub use extensions::{Alone, Extensions};
pub use intern::{intern, intern_labels};
pub use listening::{ListenerWishes, ProxyPolicy, ProxyTreatment, Said, SessionLimits, SocketCount};
pub use metadata::{Metadata, MetadataSource};
pub use pages::{Page, PageAddress};
pub use per_listener::PerListener;
pub use plugin::{Ahead, Cx, Failure, Late, Later, Plugin, Step};
pub use query::{Query, Transport};
pub use report::Report;
pub use response::{Response, State};
pub use router::{Filter, Router};
pub use setup::{
    Background, BlockSetup, Built, EndHook, EventHook, Labels, PlacedHook, Places, ReloadSettings, Setup,
    StartHook,
};
pub use shared::Shared;
pub use spec::{PluginSpec, Repeat};
