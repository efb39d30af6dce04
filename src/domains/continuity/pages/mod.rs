//! What people see while the main program is away: plain pages, written by hand, that need no script.

mod acts;
mod html;
mod layout;
mod overview;
mod section;
mod times;
mod words;

pub use acts::{Asked, REPEATED, kept, note, repeated, sign_in};
pub use html::Html;
pub use layout::{Notice, View, fault_page, too_late};
pub use overview::{essence, is_shown, is_text, overview};
pub use section::{encoded, section};
pub use times::Zone;
pub use words::{Lang, of_fault};

/// The pages' one style sheet.
pub const STYLE: &str = include_str!("planb.css");
/// The pages' one script: it counts the age on and tells when the main program is back.
pub const SCRIPT: &str = include_str!("planb.js");
