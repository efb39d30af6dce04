//! What every HTTP route leans on: faults on their way out, limits, guards, pages.

pub mod asker;
pub mod docs;
pub mod ends;
pub mod extract;
pub mod fault;
pub mod guard;
pub mod hub;
pub mod layers;
pub mod limits;
pub mod meters;
pub mod pages;
pub mod peer;
pub mod recognition;
pub mod routes;
pub mod run;
pub mod sheet;
pub mod squeeze;
pub mod trace;

pub use asker::Asker;
pub use extract::{Form, Json, Path, Query, Urlencoded};
pub use fault::{Answer, FaultBody, WebFault};
pub use peer::Peer;
pub use run::run;
