//! Jobs as people write and read them: JSON Lines in, JSON Lines out.
//!
//! ```text
//!  task file ──▶ reader, line ──▶ kinds ──▶ kind and payload ──▶ dispatcher ──▶ payload ──▶ result ──▶ writer, output
//!                 id: seen?         │                                                         ▲
//!                 resume: done?     └──────── ticket: id, place, how the output is told ──────┘
//! ```
//!
//! [`reader::TaskReader`] turns a file into [`ticket::TaskLine`]s one at a time, so that a file of any length
//! runs in constant memory (but for the ids, see [`id`]). Every line has exactly one result: a line that
//! cannot be sent carries its error already. The dispatcher sees kinds and payloads alone; the
//! [`ticket::Ticket`] that waits beside them knows how the result is to be told. What a kind's lines look
//! like, both ways, is said in its module under [`kinds`] and nowhere else.
//!
//! Everything here blocks on files, and belongs on a thread that may.

pub mod answer;
pub mod fields;
pub mod files;
pub mod id;
pub mod kinds;
pub mod line;
pub mod npy;
pub mod output;
pub mod place;
pub mod reader;
pub mod replace;
pub mod result;
pub mod resume;
pub mod stream;
pub mod text;
pub mod ticket;
pub mod writer;
