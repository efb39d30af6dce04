//! The API of the whole box, opened in memory: tables of requests with what they answer.

mod activity;
mod answers;
pub mod ask;
mod attendance;
mod collections;
mod continuity;
mod conversations;
mod doors;
mod every_route;
mod history;
mod keys;
mod llm;
mod models;
mod openai;
mod papers;
mod people;
mod planb;
mod rights;
mod searches;
mod second_factor;
mod sockets;
mod spellings;
mod throttle;
mod writing;
