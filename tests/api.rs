//! The API of the whole box, opened in memory: tables of requests with what they answer.

mod activity;
mod answers;
mod ask;
mod collections;
mod doors;
mod every_route;
mod keys;
mod papers;
mod people;
mod rights;
mod searches;
mod second_factor;
mod sockets;
mod spellings;
mod throttle;
